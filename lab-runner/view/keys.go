package view

import (
	tea "charm.land/bubbletea/v2"

	"wheelhouse/lab-runner/render"
)

// leaveAgain is said to the first Ctrl+C that has nothing to interrupt.
const leaveAgain = "no command runs; ctrl+c again leaves ('lab' resumes here)"

// key does what a key is for.
func (m *Model) key(key string) tea.Cmd {
	switch {
	case key == "ctrl+c" && m.lab != nil && m.lab.running != "":
		return m.fx.interrupt(m.lab.lab)
	case key == "ctrl+c" && m.lab != nil && m.notice != leaveAgain:
		// The command may have ended on its own just now: who wanted to interrupt it stays in the lab.
		m.say(leaveAgain, false)
		return nil
	case key == "ctrl+c" || key == "q" && m.prompt == noPrompt:
		return m.quit()
	case m.prompt != noPrompt:
		return m.answerPrompt(key)
	case key == "?":
		m.prompt, m.helpTop = helpPrompt, 0
		return nil
	case m.busy != "": // one action at a time, as the notice says; what is shown can be moved
		if m.lab != nil {
			m.scrollKey(key)
		}
		return nil
	case m.lab == nil:
		return m.listKey(key)
	}
	return m.labKey(key)
}

func (m *Model) quit() tea.Cmd {
	if m.lab == nil {
		return tea.Quit
	}
	return tea.Sequence(m.fx.closeLab(m.lab.number, m.lab.lab), tea.Quit)
}

func (m *Model) listKey(key string) tea.Cmd {
	switch key {
	case "up", "k":
		m.list.move(-1)
	case "down", "j":
		m.list.move(1)
	case "pgup":
		m.list.move(-10)
	case "pgdown":
		m.list.move(10)
	case "enter":
		if e, ok := m.list.current(); ok {
			return m.open(e.ID)
		}
	default:
		m.noSuchKey(key, "in the list")
	}
	return nil
}

// noSuchKey says that a key does nothing: a newcomer would press it again.
func (m *Model) noSuchKey(key, where string) {
	m.say("the key "+render.Visible(key)+" does nothing "+where+"; ? lists the keys", false)
}

func (m *Model) labKey(key string) tea.Cmd {
	l := m.lab
	if m.scrollKey(key) {
		return nil
	}
	if !m.wide() && l.page != textPage && (key == "enter" || key == "esc") {
		l.page = textPage
		return nil
	}
	switch key {
	case "l", "esc":
		m.lab = nil
		m.say("", false)
		return tea.Batch(m.fx.closeLab(l.number, l.lab), m.fx.entries(false))
	case "enter":
		return m.run()
	case "n", "right":
		return m.do(Action{Verb: Next})
	case "N":
		return m.do(Action{Verb: Skip})
	case "b", "left":
		return m.do(Action{Verb: Back})
	case "h":
		return m.do(Action{Verb: Hint})
	case "c":
		return m.do(Action{Verb: Check})
	case "w":
		return m.do(Action{Verb: Why})
	case "s", "r":
		m.prompt, m.asked = confirmPrompt, Solve
		if key == "r" {
			m.asked = Reset
		}
	case "g":
		m.prompt, m.gotoCursor = gotoPrompt, l.state.Step
	case "x", "!":
		if l.running == "" {
			return m.fx.shell(l.number, l.lab)
		}
		m.say(stillRuns, true)
	default:
		m.noSuchKey(key, "here")
	}
	return nil
}

// scrollKey reports whether a key moves something, and moves it.
func (m *Model) scrollKey(key string) bool {
	l := m.lab
	by := map[string]int{"up": -1, "k": -1, "down": 1, "j": 1, "pgup": -l.text.height + 1, "pgdown": l.text.height - 1, "space": l.text.height - 1}[key]
	switch {
	case key == "tab":
		m.nextPage()
	case by == 0:
		return false
	case l.focus && m.wide() || !m.wide() && l.page == outputPage:
		l.out.up = max(0, l.out.up-by)
	case by*by == 1:
		l.text.move(by)
	default:
		l.text.scroll(by)
	}
	return true
}

// nextPage shows the next page, or where all are in sight lets the keys scroll the output.
func (m *Model) nextPage() {
	l := m.lab
	if m.wide() {
		if l.focus = !l.focus && !l.out.empty(); l.out.empty() {
			m.say("there is no output yet; Enter runs a command", false)
		}
		return
	}
	l.page = (l.page + 1) % pages
	if l.page == outputPage && l.out.empty() {
		l.page = textPage
	}
	m.lay()
}

// run runs the command under the cursor, or gives the answer.
func (m *Model) run() tea.Cmd {
	l := m.lab
	t := l.text.current()
	switch {
	case t == nil:
		m.say("the text of this step has no command; x opens a shell for your own, n is the next step", false)
		return nil
	case t.command == nil && l.state.answered(t.question):
		m.say("this question is answered; "+l.state.goOn(), false)
		return nil
	case t.command == nil:
		return m.do(Action{Verb: Answer, Question: t.question, Choice: t.choice})
	case l.running != "":
		m.say(stillRuns, true)
		return nil
	}
	l.running = t.command.Text
	l.out.begin(t.command.Text)
	m.say("", false)
	m.showOutput()
	return m.fx.run(l.number, l.lab, *t.command, l.text.cursor, l.state.Step)
}

// do carries an action out, unless a command runs whose shell it needs.
func (m *Model) do(a Action) tea.Cmd {
	l := m.lab
	if l.running != "" && a.Verb != Hint && a.Verb != Answer && a.Verb != Check && a.Verb != Why {
		m.say(stillRuns, true)
		return nil
	}
	m.busy = string(a.Verb)
	m.notice = ""
	m.lay()
	return m.fx.do(l.number, l.lab, a)
}

// answerPrompt takes a key while the learner is asked something.
func (m *Model) answerPrompt(key string) tea.Cmd {
	asked := m.prompt
	if asked == helpPrompt {
		if by := map[string]int{"down": 1, "j": 1, "up": -1, "k": -1, "space": m.body(), "pgdown": m.body(), "pgup": -m.body()}[key]; by != 0 {
			m.helpTop = max(0, min(m.helpTop+by, len(helpRows(m.width))-m.body()))
			return nil
		}
	}
	if asked == gotoPrompt {
		switch key {
		case "up", "k":
			m.gotoCursor = max(0, m.gotoCursor-1)
			return nil
		case "down", "j":
			m.gotoCursor = min(len(m.lab.state.Steps)-1, m.gotoCursor+1)
			return nil
		}
	}
	m.prompt = noPrompt
	switch {
	case asked == gotoPrompt && key == "enter":
		m.showOutput()
		return m.do(Action{Verb: Goto, Step: m.gotoCursor})
	case asked == confirmPrompt && (key == "y" || key == "enter"):
		m.showOutput()
		return m.do(Action{Verb: m.asked})
	}
	return nil
}
