package view

import (
	"fmt"
	"strings"

	"wheelhouse/lab-runner/clustermap"
	"wheelhouse/lab-runner/render"
)

// narrowest is the width from which on the text and the checks stand side by side.
const narrowest = 72

func (m *Model) wide() bool { return m.width >= narrowest }

// columns returns the widths of the text and of what is right of it.
func (m *Model) columns() (left, right int) {
	if !m.wide() {
		return m.width, m.width
	}
	right = max(30, m.width*2/5)
	return m.width - right - 3, right
}

// body is the number of rows between the title and the notice and keys.
func (m *Model) body() int {
	return max(m.height-2-len(m.noticeRows()), 1)
}

// heights returns the rows of the text and of the output below it.
func (m *Model) heights() (text, out int) {
	body := m.body()
	if m.lab.out.empty() || !m.wide() {
		return body, body
	}
	out = min(max(body*2/5, 4), body-1)
	return body - out, out
}

// lay lays the text out again, when the state or a size has changed.
func (m *Model) lay() {
	if m.lab == nil || m.width == 0 {
		return
	}
	left, _ := m.columns()
	height, _ := m.heights()
	m.lab.text.lay(&m.lab.state, left, height)
}

// screen returns the lines of the screen.
func (m *Model) screen() []string {
	if m.width < 4 || m.height < 3 {
		return nil
	}
	var rows []row
	rows = append(rows, m.title().fit(m.width))
	switch {
	case m.prompt == helpPrompt:
		rows = append(rows, window(helpRows(m.width), m.helpTop, m.width, m.body())...)
	case m.lab == nil:
		rows = append(rows, m.list.draw(m.width, m.body())...)
	case m.prompt == gotoPrompt:
		rows = append(rows, m.gotoRows()...)
	case m.wide():
		rows = append(rows, m.bothColumns()...)
	default:
		rows = append(rows, m.onePage()...)
	}
	for _, r := range m.noticeRows() {
		rows = append(rows, r.fit(m.width))
	}
	rows = append(rows, m.keysRow().fit(m.width))
	out := make([]string, len(rows))
	for i, r := range rows {
		out[i] = r.string()
	}
	return out
}

func (m *Model) title() row {
	if m.lab == nil {
		return row{{bold, "Labs"}, {plain, "  choose one with the arrow keys and Enter"}}
	}
	s := &m.lab.state
	r := row{{bold, render.Visible(s.ID)}}
	if !m.lab.known {
		return append(r, segment{faint, "reading the state of the lab"})
	}
	if !m.wide() {
		_, name, _ := strings.Cut(s.ID, "/")
		return row{{bold, render.Visible(name)}, {plain, fmt.Sprintf("  step %d/%d  checks %d/%d", s.Step+1, len(s.Steps), len(s.Checks)-s.open(), len(s.Checks))}}
	}
	r = append(r, segment{plain, fmt.Sprintf("  step %d of %d  ", s.Step+1, len(s.Steps))})
	for i, step := range s.Steps {
		mark, code := ".", faint
		switch {
		case i == s.Step:
			mark, code = ">", bold
		case step.State == "done":
			mark, code = "x", green
		case step.State == "solved":
			mark, code = "s", yellow
		}
		r = append(r, segment{code, mark})
	}
	if total := len(s.Checks); total > 0 {
		checks := fmt.Sprintf("%d/%d checks", total-s.open(), total)
		code := plain
		if s.open() == 0 {
			code = green
		}
		if gap := m.width - r.width() - len(checks); gap > 0 {
			r = append(r, segment{plain, strings.Repeat(" ", gap)}, segment{code, checks})
		}
	}
	return r
}

// bothColumns has the text, the output below it, and the checks and the map beside them: beside the text alone where the
// last command has printed a line, such as a table's, that is wider than the text.
func (m *Model) bothColumns() []row {
	l := m.lab
	left, right := m.columns()
	height, below := m.heights()
	across := l.out.width > left
	column, beside := l.text.draw(left, height), m.body()
	switch {
	case l.out.empty():
	case across:
		beside = height
	default:
		column = append(column, m.outputRows(left, below)...)
	}
	out := m.sideRows(right, beside)
	for i := range out {
		out[i] = append(append(column[i], segment{faint, " │ "}), out[i]...)
	}
	if across && !l.out.empty() {
		out = append(out, m.outputRows(m.width, below)...)
	}
	return out
}

// onePage has what fits on a narrow screen.
func (m *Model) onePage() []row {
	switch m.lab.page {
	case sidePage:
		return m.sideRows(m.width, m.body())
	case outputPage:
		return m.outputRows(m.width, m.body())
	}
	return m.lab.text.draw(m.width, m.body())
}

func (m *Model) outputRows(width, height int) []row {
	l := m.lab
	title, code := "output", faint
	if l.running != "" {
		title, code = "runs: ctrl+c interrupts it", yellow
	}
	if height < 1 {
		return nil
	}
	rows, above := l.out.rows(width, height-1)
	switch {
	case !m.wide():
		title += " (Enter: the text)"
	case l.focus:
		title += " (arrow keys scroll)"
	case above && l.running == "":
		title += ", more above (Tab, then Up)"
	}
	return append([]row{rule(title, code, width)}, window(rows, 0, width, height-1)...)
}

func rule(title, code string, width int) row {
	r := row{{faint, "── "}, {code, title + " "}}
	return append(r, segment{faint, strings.Repeat("─", max(0, width-r.width()))}).fit(width)
}

// sideRows has the checks, and below them the map.
func (m *Model) sideRows(width, height int) []row {
	checks := m.checkRows(width)
	most := max(height-8, height/2, 1)
	if len(checks) > most {
		checks = append(checks[:most-1:most-1], text(faint, fmt.Sprintf("(%d more rows)", len(checks)-most+1)))
	}
	out := append([]row{}, checks...)
	if left := height - len(out) - 1; left > 0 {
		out = append(out, rule(render.Visible(m.lab.state.Namespace), faint, width))
		for _, r := range m.lab.cluster.Draw(width, left) {
			out = append(out, mapRow(r))
		}
	}
	return window(out, 0, width, height)
}

func mapRow(r clustermap.Row) row {
	code := map[clustermap.Mark]string{clustermap.Well: green, clustermap.UnderWay: yellow, clustermap.Failed: red, clustermap.Over: faint}[r.Mark]
	if r.Title && r.Mark == clustermap.Well {
		code = bold
	}
	return row{{code, r.Text}}
}

func (m *Model) checkRows(width int) []row {
	s := &m.lab.state
	var rows []row
	for _, c := range s.Checks {
		mark, code := "[ ] ", plain
		switch c.State {
		case "done":
			mark, code = "[x] ", green
		case "lost":
			mark, code = "[!] ", red
		}
		rows = append(rows, wrapped(code, mark, c.Name, width)...)
		if c.State == "lost" {
			rows = append(rows, wrapped(red, "    ", "was done, and is not any more", width)...)
		}
		if c.Reason != "" && c.State != "done" {
			rows = append(rows, reasonRows(c.Reason, width)...)
		}
	}
	switch {
	case len(s.Checks) == 0 && s.asks():
		rows = append(rows, wrapped(faint, "", "No check here: answer the question.", width)...)
	case len(s.Checks) == 0:
		rows = append(rows, wrapped(faint, "", "This step has no check. "+s.goOn(), width)...)
	case s.open() == 0 && s.asks():
		rows = append(rows, wrapped(green, "", "All checks are done: answer the question.", width)...)
	case s.open() == 0:
		rows = append(rows, wrapped(green, "", doneText("All done. ", m.lab.text.left())+s.goOn(), width)...)
	}
	return rows
}

// doneText says that all checks are done, and how many commands of the text are left then; without one it is all.
func doneText(all string, left int) string {
	switch left {
	case 0:
		return all
	case 1:
		return "All checks are done. The text goes on with 1 more command. "
	}
	return fmt.Sprintf("All checks are done. The text goes on with %d more commands. ", left)
}

// goOn says what follows the step.
func (s *State) goOn() string {
	if s.Step+1 >= len(s.Steps) {
		return "This was the last step. l: the labs"
	}
	return "n: the next step"
}

// reasonRows has the beginning of a reason: "c" and "w" show all of it.
func reasonRows(reason string, width int) []row {
	const most = 4
	var rows []row
	for line := range strings.SplitSeq(reason, "\n") {
		rows = append(rows, wrapped(faint, "    ", line, width)...)
	}
	if len(rows) > most {
		rows = append(rows[:most:most], text(faint, "    (c: all of it)"))
	}
	return rows
}

func (m *Model) gotoRows() []row {
	rows := []row{text(plain, "Go to which step? Enter builds its state."), {}}
	for i, step := range m.lab.state.Steps {
		mark := map[string]string{"done": "[x] ", "solved": "[s] ", "skipped": "[-] "}[step.State]
		if mark == "" {
			mark = "[ ] "
		}
		r := text(plain, fmt.Sprintf("%s%d. %s", mark, i+1, step.Title))
		if i == m.gotoCursor {
			r = append(row{{bold, "> "}}, r.emphasized()...)
		} else {
			r = append(row{{plain, "  "}}, r...)
		}
		rows = append(rows, r)
	}
	return window(rows, max(0, m.gotoCursor+4-m.body()), m.width, m.body())
}

// noticeRows has what is to be said or asked, in at most four rows.
func (m *Model) noticeRows() []row {
	notice, code := m.notice, yellow
	switch {
	case m.prompt == confirmPrompt && m.asked == Solve:
		notice = "Solve this step for you? It is noted as solved, not as done. y: yes, any other key: no"
	case m.prompt == confirmPrompt:
		notice = "Reset: bring back the state before this step? y: yes, any other key: no"
	case m.busy != "":
		notice = "please wait: " + m.busy
	case m.failed:
		code = red
	}
	if notice == "" {
		return nil
	}
	var rows []row
	for line := range strings.SplitSeq(strings.TrimSpace(notice), "\n") {
		rows = append(rows, wrapped(code, "", line, m.width)...)
	}
	return rows[:max(0, min(len(rows), 4, m.height-3))]
}
