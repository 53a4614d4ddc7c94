// Package render lays Markdown out for a terminal: headings, paragraphs, lists, quotes, tables as
// they are written, fenced blocks, and code, emphasis and links in a line. It is the part of
// Markdown that labs use; what it does not recognize is shown as it is written. Comments are left
// out. No text reaches the terminal as a command: see Visible. The work is linear in the text.
package render

import "strings"

// Style of a Span. What it looks like is for the caller to say, or for Terminal.
type Style int

// The styles. Command is a line to type, Output what a command prints.
const (
	Plain Style = iota
	Heading
	Strong
	Emphasis
	Code
	Command
	Output
	Muted
)

// Span is text of one style, without line feeds and control characters.
type Span struct {
	Style Style
	Text  string
}

// Line is one line of the layout.
type Line struct {
	Spans   []Span
	Command int // the number of the command that the line belongs to, from 0 in the order of the text; -1: of none
}

// String returns the line's text without trailing spaces.
func (l Line) String() string {
	var b strings.Builder
	for _, s := range l.Spans {
		b.WriteString(s.Text)
	}
	return strings.TrimRight(b.String(), " ")
}

// Text returns a line of one style.
func Text(style Style, text string) Line {
	return Line{Spans: []Span{{style, Visible(strings.ReplaceAll(text, "\n", " "))}}, Command: -1}
}

// narrow is the width from which on fenced blocks are indented.
const narrow = 50

// Layout returns a Markdown text in lines of at most width columns (at least 10). Words that are
// longer are divided. Paragraphs are separated by one empty line.
func Layout(markdown string, width int) []Line {
	return lay(&layout{width: max(width, 10)}, markdown)
}

func lay(p *layout, markdown string) []Line {
	for line := range strings.SplitSeq(Visible(markdown), "\n") {
		p.line(line)
	}
	p.endOutput() // of a block that is not closed
	p.flush()
	for len(p.lines) > 0 && len(p.lines[len(p.lines)-1].Spans) == 0 {
		p.lines = p.lines[:len(p.lines)-1]
	}
	return p.lines
}

// layout is the state between two lines of the source.
type layout struct {
	width    int
	whole    bool // lines of fenced blocks are not divided
	lines    []Line
	text     []string // of the open paragraph, item or quote
	marker   string   // before its first line: "- ", "> "
	fence    string   // of the open block
	more     bool     // the command continues on the next line
	commands int
	comment  bool
	printed  []string // lines of output that are not laid out yet: those of a table belong together
}

func (p *layout) line(line string) {
	trimmed := strings.TrimSpace(line)
	switch {
	case p.fence != "" && isFence(trimmed) && strings.Trim(trimmed, p.fence[:1]) == "" && len(trimmed) >= len(p.fence):
		p.endOutput()
		p.fence = ""
		p.empty()
	case p.fence != "":
		p.fenced(line)
	case p.comment || strings.HasPrefix(trimmed, "<!--"):
		p.comment = !strings.Contains(trimmed, "-->")
	case isFence(trimmed):
		p.flush()
		info := strings.TrimLeft(trimmed, trimmed[:1])
		p.fence, p.more = trimmed[:len(trimmed)-len(info)], false
		for _, word := range strings.Fields(info) {
			if word == "fails" {
				p.put(wrap([]Span{{Muted, "Each command here must end with an error:"}}, p.width, "")...)
			}
		}
	case trimmed == "":
		p.flush()
	case strings.HasPrefix(trimmed, "|"):
		if len(p.text) > 0 {
			p.flush()
		}
		p.put(wrap([]Span{{Output, line}}, p.width, "")...)
	default:
		p.prose(line, trimmed)
	}
}

// prose takes a line of a heading, a list, a quote or a paragraph.
func (p *layout) prose(line, trimmed string) {
	if text := strings.TrimLeft(trimmed, "#"); text != trimmed && strings.HasPrefix(text, " ") && len(trimmed)-len(text) <= 6 {
		p.flush()
		p.put(wrap([]Span{{Heading, strings.TrimSpace(text)}}, p.width, "")...)
		p.empty()
		return
	}
	indent := len(line) - len(strings.TrimLeft(line, " "))
	if marker := listMarker(trimmed); marker != "" {
		p.close()
		p.marker = strings.Repeat(" ", min(indent, p.width/4)) + marker
		trimmed = strings.TrimSpace(trimmed[len(marker):])
	} else if quote, ok := strings.CutPrefix(trimmed, ">"); ok {
		if p.marker != "> " {
			p.close()
		}
		p.marker, trimmed = "> ", strings.TrimSpace(quote)
	}
	p.text = append(p.text, trimmed)
}

// listMarker returns what begins an item of a list: "- ", "12. ".
func listMarker(s string) string {
	if len(s) > 2 && strings.IndexByte("-*+", s[0]) >= 0 && s[1] == ' ' {
		return s[:2]
	}
	digits := len(s) - len(strings.TrimLeft(s, "0123456789"))
	if digits > 0 && digits < 4 && len(s) > digits+2 && (s[digits] == '.' || s[digits] == ')') && s[digits+1] == ' ' {
		return s[:digits+2]
	}
	return ""
}

func isFence(trimmed string) bool {
	return strings.HasPrefix(trimmed, "```") || strings.HasPrefix(trimmed, "~~~")
}

// fenced takes a line of a fenced block. Commands are those of package script.
func (p *layout) fenced(line string) {
	if strings.HasPrefix(line, "$ ") {
		p.commands++
		p.more = true
	} else if !strings.HasPrefix(line, "> ") {
		p.more = false
	}
	if !p.more {
		p.printed = append(p.printed, line)
		return
	}
	p.endOutput()
	p.fencedLine(Command, p.commands-1, line)
}

// endOutput lays out what a command prints.
func (p *layout) endOutput() {
	lines := p.printed
	if p.printed = nil; !p.whole {
		lines = Narrow(lines, p.width-len(p.fenceIndent()))
	}
	for _, line := range lines {
		p.fencedLine(Output, -1, line)
	}
}

func (p *layout) fenceIndent() string {
	if p.width >= narrow {
		return "  "
	}
	return ""
}

func (p *layout) fencedLine(style Style, number int, line string) {
	indent := p.fenceIndent()
	parts := []string{line}
	if !p.whole {
		parts = Divide(line, p.width-len(indent))
	}
	for _, part := range parts {
		p.put(Line{Spans: []Span{{Plain, indent}, {style, part}}, Command: number})
	}
}

// Divide returns a line as it is, or, if it has more columns than width, in parts: the first and, after two spaces, the
// others. No word is cut that fits in a part.
func Divide(line string, width int) []string {
	const indent = "  "
	if Width(line) <= width {
		return []string{line}
	}
	width = max(width-len(indent), 1)
	var parts []string
	for {
		head, tail := Cut(line, width)
		if tail != "" && tail[0] != ' ' {
			head = head[:wordEnd(line, head, width)]
		}
		tail = strings.TrimLeft(line[len(head):], " ")
		part := strings.TrimRight(head, " ")
		if len(parts) > 0 {
			part = indent + part
		}
		parts = append(parts, part)
		if tail == "" {
			return parts
		}
		line = tail
	}
}

// wordEnd returns where to end a part, of which head is the most: before the word that would be cut, if the word fits in a
// part of its own.
func wordEnd(line, head string, width int) int {
	i := strings.LastIndexByte(head, ' ') + 1
	const longest = 4 // bytes of a character
	word, _, _ := strings.Cut(line[i:min(len(line), i+longest*width+1)], " ")
	if strings.TrimSpace(head[:i]) == "" || Width(word) > width {
		return len(head)
	}
	return i
}

// close ends the open paragraph, item or quote.
func (p *layout) close() {
	if len(p.text) > 0 {
		p.put(wrap(inline(strings.Join(p.text, " ")), p.width, p.marker)...)
	}
	p.text, p.marker = nil, ""
}

// flush ends what is open, and adds an empty line.
func (p *layout) flush() {
	p.close()
	p.empty()
}

func (p *layout) put(lines ...Line) { p.lines = append(p.lines, lines...) }

func (p *layout) empty() {
	if n := len(p.lines); n > 0 && len(p.lines[n-1].Spans) > 0 {
		p.put(Line{Command: -1})
	}
}
