package view

import (
	"fmt"
	"strings"

	"wheelhouse/lab-runner/catalog"
	"wheelhouse/lab-runner/render"
)

// listPane is the list of labs.
type listPane struct {
	entries []Entry
	cursor  int
	top     int
}

func (p *listPane) set(entries []Entry) {
	p.entries = entries
	for i, e := range entries {
		if e.Current {
			p.cursor = i
		}
	}
	p.cursor = max(0, min(p.cursor, len(entries)-1))
}

func (p *listPane) move(by int) {
	p.cursor = max(0, min(p.cursor+by, len(p.entries)-1))
}

func (p *listPane) current() (Entry, bool) {
	if p.cursor < 0 || p.cursor >= len(p.entries) {
		return Entry{}, false
	}
	return p.entries[p.cursor], true
}

// draw returns the list, and below it what the lab under the cursor is about.
func (p *listPane) draw(width, height int) []row {
	var rows []row
	track, at, lines := "", 0, make([]int, len(p.entries))
	for i, e := range p.entries {
		if t, _, _ := strings.Cut(e.ID, "/"); t != track {
			if track = t; i > 0 {
				rows = append(rows, row{})
			}
			rows = append(rows, text(bold, track))
		}
		r := e.row(width)
		if i == p.cursor {
			at = len(rows)
			r = append(row{{bold, "> "}}, r.emphasized()...)
		} else {
			r = append(row{{plain, "  "}}, r...)
		}
		lines[i] = len(rows)
		rows = append(rows, r)
	}
	about := p.about(width)
	room := max(height-len(about), 1)
	p.top = max(0, min(p.top, len(rows)-room, at-1))
	if at >= p.top+room {
		p.top = at - room + 1
	}
	below := 0
	for _, line := range lines {
		if line >= p.top+room {
			below++
		}
	}
	if below > 0 {
		about[0] = text(faint, fmt.Sprintf("── %d more below ", below)+strings.Repeat("─", max(0, width-render.Width(fmt.Sprintf("── %d more below ", below)))))
	}
	return append(window(rows, p.top, width, room), window(about, 0, width, height-room)...)
}

func (e Entry) row(width int) row {
	mark, code := "[ ]", plain
	switch {
	case e.Steps > 0 && e.Done >= e.Steps:
		mark, code = "[x]", green
	case e.Done > 0 || e.Current:
		mark, code = "[.]", yellow
	}
	_, name, _ := strings.Cut(e.ID, "/")
	progress := fmt.Sprintf("%d/%d", e.Done, e.Steps)
	r := row{{code, mark + " "}, {plain, fmt.Sprintf("%-5s ", progress)}, {bold, render.Visible(name)}}
	if width >= narrowest {
		r = append(r, segment{plain, strings.Repeat(" ", max(1, 16-render.Width(name))) + render.Visible(e.Title)})
	}
	return r
}

func (p *listPane) about(width int) []row {
	e, ok := p.current()
	if !ok {
		return []row{text(plain, "no labs")}
	}
	rows := []row{text(faint, strings.Repeat("─", width))}
	rows = append(rows, wrapped(bold, "", e.Title, width)...)
	rows = append(rows, markup(plain, "", e.About, width)...)
	var facts []string
	if e.Minutes > 0 {
		facts = append(facts, fmt.Sprintf("%d minutes", e.Minutes))
	}
	var labs, needs []string
	for _, r := range e.Requires {
		if words := catalog.Needs(r); words != "" {
			needs = append(needs, words)
		} else {
			labs = append(labs, r)
		}
	}
	if len(labs) > 0 {
		facts = append(facts, "comes after "+strings.Join(labs, " and "))
	}
	if len(needs) > 0 {
		facts = append(facts, "needs "+strings.Join(needs, ", "))
	}
	return append(rows, wrapped(faint, "", strings.Join(facts, "; "), width)...)
}
