package render

import (
	"bufio"
	"io"
	"strings"
)

// Options of Terminal.
type Options struct {
	Width int  // columns; 0: 80
	Color bool // false: no escape sequence is written
}

// Terminal writes a Markdown text, laid out, with a line feed after each line. Lines of fenced
// blocks stay whole: a command that is copied from the terminal is the command. Without color a
// heading has a line below it.
func Terminal(w io.Writer, markdown string, o Options) error {
	if o.Width == 0 {
		o.Width = 80
	}
	out := bufio.NewWriter(w)
	for _, line := range lay(&layout{width: max(o.Width, 10), whole: true}, markdown) {
		text := line.String()
		if o.Color {
			text = line.Colored()
		}
		_, _ = out.WriteString(text + "\n") // Flush returns the error
		if !o.Color && len(line.Spans) == 1 && line.Spans[0].Style == Heading {
			_, _ = out.WriteString(strings.Repeat("-", min(len(text), o.Width)) + "\n")
		}
	}
	return out.Flush()
}

// codes are the SGR parameters of the styles: attributes and the terminal's own sixteen colors,
// which it keeps readable on its background.
var codes = [...]string{Heading: "1", Strong: "1", Emphasis: "3", Code: "36", Command: "1;36", Output: "2", Muted: "2"}

// Colored returns the line with escape sequences for the styles, the only ones in it.
func (l Line) Colored() string {
	var b strings.Builder
	for _, s := range l.Spans {
		if code := codes[s.Style]; code != "" {
			b.WriteString("\x1b[" + code + "m" + s.Text + "\x1b[m")
		} else {
			b.WriteString(s.Text)
		}
	}
	return b.String()
}
