package why

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode"

	"wheelhouse/lab-runner/render"
)

// Format is how explanations are printed.
type Format struct {
	JSON  bool
	Color bool
	Width int // columns; 0 is 80
}

// Print writes one explanation.
func Print(out io.Writer, e *Explanation, f Format) error {
	if f.JSON {
		return printJSON(out, e)
	}
	p := printer{Format: f}
	p.explanation(e)
	_, err := io.WriteString(out, p.text.String())
	return err
}

func printJSON(out io.Writer, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	var b strings.Builder
	for _, r := range string(text) {
		if r < 0x80 || unicode.IsPrint(r) {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, `\u%04x`, r) // a mark of writing direction, which JSON leaves as it is
		}
	}
	_, err = fmt.Fprintln(out, b.String())
	return err
}

// PrintSurvey writes a line for each explanation, and the first one that is not fine in full.
func PrintSurvey(out io.Writer, namespace string, all []*Explanation, f Format) error {
	if f.JSON {
		return printJSON(out, all)
	}
	p := printer{Format: f}
	if len(all) == 0 {
		fmt.Fprintf(&p.text, "Namespace %s has no objects that can be explained.\n", render.Visible(namespace))
	} else {
		p.line("1", "Namespace "+namespace)
		for _, e := range all {
			text := ""
			if last := e.Last(); e.State != Fine {
				text = last.Name + ": " + last.Text
			}
			p.entry(e.State, e.Object, text, 30)
		}
		if e := all[0]; e.State != Fine {
			p.text.WriteString("\n")
			p.explanation(e)
		}
	}
	_, err := io.WriteString(out, p.text.String())
	return err
}

type printer struct {
	Format
	text strings.Builder
}

func (p *printer) paint(code, text string) string {
	if !p.Color || code == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (p *printer) line(code, text string) {
	p.text.WriteString(p.paint(code, render.Visible(text)) + "\n")
}

// marks are words, not signs, for screen readers; all have the same width.
var marks = map[State]struct{ word, color string }{
	Fine: {"ok    ", "32"}, Waiting: {"wait  ", "33"}, Broken: {"BROKEN", "31"}, Unknown: {"?     ", "2"},
}

// entry writes a mark, a name in a column of its width, and a text that is wrapped under itself.
func (p *printer) entry(s State, name, text string, width int) {
	m := marks[s]
	name = render.Visible(name)
	p.text.WriteString(p.paint(m.color, m.word) + " " + fmt.Sprintf("%-*s ", width, name))
	indent := 8 + max(width, len([]rune(name)))
	if indent > 40 {
		p.text.WriteString("\n")
		indent = 10
		p.text.WriteString(strings.Repeat(" ", indent))
	}
	p.wrapped(text, indent)
}

// wrapped writes a text from column indent on.
func (p *printer) wrapped(text string, indent int) {
	width := p.Width
	if width < 40 {
		width = 80
	}
	at := indent
	for i, word := range strings.Fields(render.Visible(text)) {
		n := len([]rune(word))
		if i > 0 && at+1+n > width {
			p.text.WriteString("\n" + strings.Repeat(" ", indent))
			at = indent
		} else if i > 0 {
			p.text.WriteString(" ")
			at++
		}
		p.text.WriteString(word)
		at += n
	}
	p.text.WriteString("\n")
}

var verdicts = map[State]string{Fine: "is fine", Waiting: "is not there yet", Broken: "is broken", Unknown: "is unknown"}

func (p *printer) explanation(e *Explanation) {
	title := e.Object
	if e.Namespace != "" {
		title += " in namespace " + e.Namespace
	}
	p.line("1", title+" "+verdicts[e.State])
	about := e.Object
	width := 12
	for _, h := range e.Hops {
		width = max(width, min(len(h.Name), 20))
	}
	for _, h := range e.Hops {
		if h.Object != about {
			p.line("2", h.Object)
			about = h.Object
		}
		p.entry(h.State, h.Name, h.Text, width)
		for _, d := range h.Details {
			p.text.WriteString(strings.Repeat(" ", 8+width))
			p.wrapped("- "+d, 8+width)
		}
	}
	p.remedy(e.Do)
	for _, u := range e.Unread {
		p.line("2", "not read: "+u)
	}
}

// remedy writes what to do. A command stands on a line of its own, unbroken, to be copied.
func (p *printer) remedy(text string) {
	if text == "" {
		return
	}
	p.text.WriteString("\n" + p.paint("1", "Do: "))
	words, command, ok := strings.Cut(text, ": kubectl ")
	if !ok || strings.Contains(command, ", then ") || strings.HasSuffix(command, ".") {
		p.wrapped(text, 4)
		return
	}
	p.wrapped(words+":", 4)
	p.text.WriteString("    " + p.paint("36", render.Visible("kubectl "+command)) + "\n")
}
