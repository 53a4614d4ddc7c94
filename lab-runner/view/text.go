package view

import (
	"fmt"

	"wheelhouse/lab-runner/render"
	"wheelhouse/lab-runner/script"
)

// gutter is the width of the column left of the text, which marks the cursor and what was run.
const gutter = 2

// target is what the cursor can be on: a command to run, or an answer to give.
type target struct {
	first, last int          // rows of the text
	until       int          // the last row that belongs to it: of a question, that of its verdict
	command     *script.Item // or
	question    int
	choice      int
}

// textPane is a step's text, and the cursor on its commands and answers.
type textPane struct {
	rows    []row
	targets []target
	cursor  int         // of targets
	top     int         // the first row that is shown
	ran     map[int]int // exit statuses by target
	height  int
}

// lay lays the text of a state out. The cursor stays on its target, and the text where it is,
// unless the step is another.
func (p *textPane) lay(s *State, width, height int) {
	p.rows, p.targets = nil, nil
	width = max(width-gutter, 10)
	if s.Step < len(s.Steps) {
		p.rows = append(p.rows, markup(bold, "", s.Steps[s.Step].Title, width)...)
		p.rows = append(p.rows, row{})
	}
	question := 0
	for _, b := range s.Blocks {
		if b.Question != nil {
			p.question(b.Question, question, width)
			question++
			continue
		}
		p.markdown(b, width)
	}
	for i, h := range s.Hints {
		p.rows = append(p.rows, markup(yellow, "", fmt.Sprintf("Hint %d of %d: %s", i+1, s.HintsOf, h), width)...)
		p.rows = append(p.rows, row{})
	}
	for len(p.rows) > 0 && len(p.rows[len(p.rows)-1]) == 0 {
		p.rows = p.rows[:len(p.rows)-1]
	}
	if p.height = height; len(p.rows) > height && height > 3 {
		p.height-- // the last row says how many follow
	}
	p.cursor = max(0, min(p.cursor, len(p.targets)-1))
	p.top = max(0, min(p.top, len(p.rows)-p.height))
}

func (p *textPane) markdown(b Block, width int) {
	first := len(p.targets)
	for i := range b.Commands {
		p.targets = append(p.targets, target{first: -1, command: &b.Commands[i]})
	}
	layout := render.Layout(b.Markdown, width)
	for i, l := range layout {
		if l.Command < 0 || l.Command >= len(b.Commands) {
			continue
		}
		t := &p.targets[first+l.Command]
		if t.first < 0 {
			t.first = len(p.rows) + i
		}
		t.last, t.until = len(p.rows)+i, len(p.rows)+i
	}
	p.rows = append(append(p.rows, lines(layout)...), row{})
}

func (p *textPane) question(q *Question, number, width int) {
	p.rows = append(p.rows, markup(bold, "", q.Text, width)...)
	first := len(p.targets)
	for i, a := range q.Answers {
		mark, code := "( ) ", plain
		switch {
		case q.Given < 0:
		case i == q.Right:
			mark, code = "(x) ", green
		case i == q.Given:
			mark, code = "(-) ", red
		}
		t := target{first: len(p.rows), question: number, choice: i}
		p.rows = append(p.rows, markup(code, mark, a, width)...)
		t.last = len(p.rows) - 1
		p.targets = append(p.targets, t)
	}
	if q.Given >= 0 {
		verdict, code := "Right. ", green
		if q.Given != q.Right {
			verdict, code = "No. ", red
			if q.Explanation == "" {
				verdict += "Try another answer."
			}
		}
		p.rows = append(p.rows, markup(code, "", verdict+q.Explanation, width)...)
	}
	for i := range p.targets[first:] {
		p.targets[first+i].until = len(p.rows) - 1
	}
	p.rows = append(p.rows, row{})
}

// move takes the cursor to the next target, or the one before, if it is in sight; else the text
// moves by a row.
func (p *textPane) move(by int) {
	next := p.cursor + by
	if cur := p.current(); cur != nil && (cur.last < p.top || cur.first >= p.top+p.height) {
		next = p.visible(by) // the cursor was left behind
	}
	if next >= 0 && next < len(p.targets) {
		t := p.targets[next]
		if t.first >= p.top-1 && t.first <= p.top+p.height {
			p.cursor = next
			p.revealTarget()
			return
		}
	}
	p.scroll(by)
}

// revealTarget scrolls so that what the cursor is on is shown, of a question all answers and the verdict.
func (p *textPane) revealTarget() {
	if t := p.current(); t != nil {
		p.reveal(t.first, t.until)
	}
}

// visible returns the first target that is shown, or the last if by is negative; -1 if none is.
func (p *textPane) visible(by int) int {
	found := -1
	for i, t := range p.targets {
		if t.first >= p.top && t.first < p.top+p.height {
			if found < 0 || by < 0 {
				found = i
			}
		}
	}
	return found
}

func (p *textPane) scroll(by int) {
	p.top = max(0, min(p.top+by, len(p.rows)-p.height))
}

// reveal scrolls so that rows are shown.
func (p *textPane) reveal(first, last int) {
	if last >= p.top+p.height {
		p.top = last - p.height + 1
	}
	if first < p.top {
		p.top = first
	}
}

// current returns the target under the cursor.
func (p *textPane) current() *target {
	if p.cursor >= 0 && p.cursor < len(p.targets) {
		return &p.targets[p.cursor]
	}
	return nil
}

// left returns how many commands follow the last one that was run.
func (p *textPane) left() (n int) {
	for i := len(p.targets) - 1; i >= 0; i-- {
		if _, ok := p.ran[i]; ok {
			break
		}
		if p.targets[i].command != nil {
			n++
		}
	}
	return n
}

// draw returns the rows that are shown.
func (p *textPane) draw(width, height int) []row {
	marks := map[int]segment{}
	for i, status := range p.ran {
		if i < len(p.targets) && p.targets[i].command != nil {
			mark := segment{green, "v "}
			if (status != 0) != p.targets[i].command.Fails {
				mark = segment{red, "! "}
			}
			marks[p.targets[i].first] = mark
		}
	}
	cur := p.current()
	out := make([]row, 0, height)
	for i := p.top; len(out) < height; i++ {
		if left := len(p.rows) - i; len(out) == p.height && left > 0 {
			out = append(out, rule(fmt.Sprintf("%d more below (Space)", left), faint, width))
			continue
		}
		if i >= len(p.rows) {
			out = append(out, row{}.fit(width))
			continue
		}
		mark, ok := marks[i]
		if !ok {
			mark = segment{plain, "  "}
		}
		r := append(row{mark}, p.rows[i]...)
		if cur != nil && i >= cur.first && i <= cur.last {
			mark.text = mark.text[:1] // it stays to be seen
			r = append(row{{bold, ">"}, mark}, p.rows[i].emphasized()...)
		}
		out = append(out, r.fit(width))
	}
	return out
}
