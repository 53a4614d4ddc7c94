package view

import (
	"strings"

	"wheelhouse/lab-runner/render"
)

// row is one line of the screen.
type row []segment

// segment is text without control characters, with the SGR parameters that it is drawn with.
type segment struct{ code, text string }

// The SGR parameters: attributes and the terminal's sixteen colors. Without color the attributes
// are left, and every state has a word or a symbol of its own.
const (
	plain    = ""
	bold     = "1"
	faint    = "2"
	reverse  = "7"
	green    = "32"
	red      = "31"
	yellow   = "33"
	cyan     = "36"
	boldCyan = "1;36"
)

var codes = map[render.Style]string{
	render.Heading: bold, render.Strong: bold, render.Emphasis: "3", render.Code: cyan,
	render.Command: boldCyan, render.Output: faint, render.Muted: faint,
}

func text(code, s string) row {
	return row{{code, render.Visible(strings.ReplaceAll(s, "\n", " "))}}
}

// lines returns a layout as rows.
func lines(layout []render.Line) []row {
	var out []row
	for _, l := range layout {
		var r row
		for _, s := range l.Spans {
			r = append(r, segment{codes[s.Style], s.Text})
		}
		out = append(out, r)
	}
	return out
}

// wrapped returns a text in rows of at most width columns, after a head in the first row, and as
// many spaces in the others.
func wrapped(code, head, s string, width int) []row {
	return hanging(code, head, render.Wrap(render.Plain, s, width-render.Width(head)))
}

// markup is wrapped for one line of Markdown. Where it has no style of its own, it has the code.
func markup(code, head, s string, width int) []row {
	return hanging(code, head, render.Inline(s, width-render.Width(head)))
}

func hanging(code, head string, layout []render.Line) []row {
	out := lines(layout)
	for i := range out {
		for j := range out[i] {
			if out[i][j].code == plain {
				out[i][j].code = code
			}
		}
		if head != "" {
			out[i] = append(row{{code, head}}, out[i]...)
			head = strings.Repeat(" ", render.Width(head))
		}
	}
	return out
}

func (r row) width() (n int) {
	for _, s := range r {
		n += render.Width(s.text)
	}
	return n
}

// fit returns the row with exactly width columns.
func (r row) fit(width int) row {
	var out row
	left := width
	for _, s := range r {
		if w := render.Width(s.text); w > left {
			head, _ := render.Cut(s.text, left)
			if render.Width(head) > left {
				head = ""
			}
			s.text = head
		}
		left -= render.Width(s.text)
		out = append(out, s)
		if left == 0 {
			break
		}
	}
	if left > 0 {
		out = append(out, segment{plain, strings.Repeat(" ", left)})
	}
	return out
}

// emphasized returns the row in reverse, with the same text.
func (r row) emphasized() row {
	out := make(row, len(r))
	for i, s := range r {
		out[i] = segment{reverse, s.text}
	}
	return out
}

// string returns the row with escape sequences for the colors.
func (r row) string() string {
	var b strings.Builder
	for _, s := range r {
		if s.code == plain {
			b.WriteString(s.text)
		} else {
			b.WriteString("\x1b[" + s.code + "m" + s.text + "\x1b[m")
		}
	}
	return b.String()
}

// window returns height rows of which the first is rows[top], each of width columns.
func window(rows []row, top, width, height int) []row {
	out := make([]row, 0, height)
	for i := top; len(out) < height; i++ {
		if i >= 0 && i < len(rows) {
			out = append(out, rows[i].fit(width))
		} else {
			out = append(out, row{}.fit(width))
		}
	}
	return out
}
