package view

import (
	"fmt"
	"strings"

	tea "charm.land/bubbletea/v2"

	"wheelhouse/lab-runner/clustermap"
)

// page is what is shown where there is room for one column only.
type page int

const (
	textPage page = iota
	sidePage
	outputPage
	pages
)

// prompt is what the keys are for while the learner is asked something.
type prompt int

const (
	noPrompt prompt = iota
	confirmPrompt
	gotoPrompt
	helpPrompt
)

// Model is the state of the view. Update changes it and returns what is to be done; it does
// nothing of that itself, so that both are tested without a terminal and a cluster.
type Model struct {
	fx            effects
	width, height int
	list          listPane
	lab           *labPane // nil: the list is shown
	prompt        prompt
	asked         Verb // what confirmPrompt is about
	gotoCursor    int
	helpTop       int    // the first row of the help that is shown
	notice        string // what was last to be said; above the keys
	failed        bool   // the notice is an error
	busy          string // the action that is carried out; empty: none
	number        int    // of the lab that was opened last
}

// labPane is an open lab.
type labPane struct {
	lab     Lab
	number  int
	state   State
	known   bool // the state was received
	text    textPane
	out     output
	running string // the command that runs; empty: none
	cluster clustermap.Map
	page    page
	focus   bool // the keys that scroll are for the output
}

// The messages. Those of a lab that was closed have another number, and are dropped.
type (
	entriesMsg struct {
		entries []Entry
		err     error
		resume  bool
	}
	openedMsg struct {
		number int
		lab    Lab
		err    error
	}
	stateMsg struct {
		number int
		state  State
	}
	mapMsg struct {
		number  int
		cluster clustermap.Map
	}
	outputMsg struct {
		number int
		text   []byte
	}
	ranMsg struct {
		number, target, step int
		status               int
		err                  error
	}
	didMsg struct {
		number int
		action Action
		result Result
		err    error
	}
	shellMsg struct {
		number int
		err    error
	}
	watchEndedMsg struct {
		number int
		err    error
	}
)

// Init reads the list of labs, and resumes the lab that the learner was at.
func (m *Model) Init() tea.Cmd { return m.fx.entries(true) }

// Update changes the model by a message.
func (m *Model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
		m.lay()
	case tea.KeyPressMsg:
		return m, m.key(msg.String())
	case entriesMsg:
		return m, m.listed(msg)
	case openedMsg:
		return m, m.opened(msg)
	default:
		if m.lab != nil {
			m.updateLab(msg)
		}
	}
	return m, nil
}

// updateLab changes the open lab.
func (m *Model) updateLab(msg tea.Msg) {
	switch msg := msg.(type) {
	case stateMsg:
		if msg.number == m.lab.number {
			m.changed(msg.state)
		}
	case mapMsg:
		if msg.number == m.lab.number {
			m.lab.cluster = msg.cluster
		}
	case outputMsg:
		if msg.number == m.lab.number {
			first := m.lab.out.empty()
			m.lab.out.write(msg.text)
			if first {
				m.lay()
			}
		}
	case ranMsg:
		m.ran(msg)
	case didMsg:
		m.did(msg)
	case shellMsg:
		if msg.err != nil && msg.number == m.lab.number {
			m.say(fmt.Sprintf("the shell ended: %v", msg.err), false)
		}
	case watchEndedMsg:
		if msg.err != nil && msg.number == m.lab.number {
			m.say("the checks are not evaluated any more: "+msg.err.Error(), true)
		}
	}
}

// stillRuns is what is said to a key that has to wait for the command; it is dropped when that ends.
const stillRuns = "a command runs: ctrl+c interrupts it"

func (m *Model) say(notice string, failed bool) {
	m.notice, m.failed = notice, failed
	m.lay()
}

func (m *Model) listed(msg entriesMsg) tea.Cmd {
	if msg.err != nil {
		m.say(msg.err.Error(), true)
		return nil
	}
	m.list.set(msg.entries)
	if e, ok := m.list.current(); ok && msg.resume && e.Current && m.lab == nil {
		return m.open(e.ID)
	}
	return nil
}

func (m *Model) open(id string) tea.Cmd {
	m.number++
	m.busy = "opening " + id
	m.say("", false)
	return m.fx.open(m.number, id)
}

func (m *Model) opened(msg openedMsg) tea.Cmd {
	if msg.number != m.number {
		if msg.lab != nil {
			return m.fx.closeLab(msg.number, msg.lab)
		}
		return nil
	}
	m.busy = ""
	if msg.err != nil {
		m.say(msg.err.Error(), true)
		return nil
	}
	m.lab = &labPane{lab: msg.lab, number: msg.number}
	m.lay()
	return m.fx.watch(msg.number, msg.lab)
}

// changed takes over the state of the lab, and says what came to be done, or was lost.
func (m *Model) changed(s State) {
	l := m.lab
	if !l.known || l.state.Step != s.Step || l.state.ID != s.ID {
		l.text = textPane{ran: map[int]int{}}
		l.page = textPage
	} else {
		m.announce(l.state, s)
	}
	l.state, l.known = s, true
	m.lay()
}

// announce compares the checks of two states of one step.
func (m *Model) announce(before, after State) {
	was := map[string]string{}
	for _, c := range before.Checks {
		was[c.Name] = c.State
	}
	for _, c := range after.Checks {
		switch text := "not true any more: " + c.Name; {
		case c.State == "lost" && was[c.Name] == "done":
			m.say(text, true)
		case c.State == "done" && m.notice == text:
			m.say("", false)
		}
	}
	if before.open() > 0 && after.open() == 0 && !m.wide() {
		m.say(doneText("All checks of this step are done. ", m.lab.text.left())+after.goOn(), false)
	}
}

func (m *Model) ran(msg ranMsg) {
	l := m.lab
	if msg.number != l.number {
		return
	}
	l.running = ""
	if m.notice == stillRuns {
		m.notice = ""
	}
	there := msg.step == l.state.Step && msg.target < len(l.text.targets)
	switch {
	case msg.err != nil:
		l.out.say(red, msg.err.Error())
	case msg.status != 0 && there && l.text.targets[msg.target].command != nil && l.text.targets[msg.target].command.Fails:
		l.out.say(faint, fmt.Sprintf("(exit status %d: this command shall fail)", msg.status))
	case msg.status != 0:
		l.out.say(faint, fmt.Sprintf("(exit status %d)", msg.status))
	default:
		l.out.say(faint, "(done)")
	}
	if there && msg.err == nil {
		l.text.ran[msg.target] = msg.status
		if next := msg.target + 1; l.text.cursor == msg.target && next < len(l.text.targets) {
			l.text.cursor = next
		}
	}
	m.lay()
	l.text.revealTarget()
}

func (m *Model) did(msg didMsg) {
	l := m.lab
	if msg.number != l.number {
		return
	}
	m.busy = ""
	if msg.err != nil {
		m.say(msg.err.Error(), true)
		return
	}
	m.say("", false)
	m.changed(msg.result.State)
	if msg.result.Text != "" {
		l.out.say(plain, msg.result.Text)
		m.showOutput()
	}
	switch msg.action.Verb {
	case Hint: // hints are at the end of the text
		l.text.scroll(len(l.text.rows))
		l.page = textPage
	case Solve, Reset, Goto:
		l.out.say(faint, "("+string(msg.action.Verb)+" is done)")
	}
	m.lay()
	if msg.action.Verb == Answer {
		l.text.revealTarget()
	}
}

// showOutput brings the output into sight where there is one column only.
func (m *Model) showOutput() {
	if !m.wide() {
		m.lab.page = outputPage
	}
	m.lab.out.up = 0
	m.lay()
}

// View returns the screen.
func (m *Model) View() tea.View {
	v := tea.NewView(strings.Join(m.screen(), "\n"))
	v.AltScreen = true
	return v
}
