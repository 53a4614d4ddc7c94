package render

import "strings"

// Inline returns one line of Markdown without blocks, in lines of at most width columns.
func Inline(markdown string, width int) []Line {
	return wrap(inline(strings.ReplaceAll(Visible(markdown), "\n", " ")), max(width, 10), "")
}

// Wrap returns a text that is no Markdown in lines of at most width columns.
func Wrap(style Style, text string, width int) []Line {
	return wrap([]Span{{style, strings.ReplaceAll(Visible(text), "\n", " ")}}, max(width, 10), "")
}

// inline divides a paragraph at code, emphasis and links. A mark that is not closed is text.
func inline(s string) (spans []Span) {
	start := 0
	add := func(style Style, text string) {
		if text != "" {
			spans = append(spans, Span{style, text})
		}
	}
	for i := 0; i < len(s); {
		style, text, size := mark(s, i)
		if size == 0 {
			i++
			continue
		}
		add(Plain, s[start:i])
		add(style, text)
		i += size
		start = i
	}
	add(Plain, s[start:])
	return spans
}

// longest bounds the bytes that a mark encloses, and so the work of a mark that is not closed.
const longest = 2000

// mark returns what a mark at s[i] encloses, and the size of all of it; 0 if there is none.
func mark(s string, i int) (style Style, text string, size int) {
	rest := s[i:min(len(s), i+longest)]
	switch rest[0] {
	case '\\':
		if len(rest) > 1 && strings.IndexByte("\\`*_{}[]()#+-.!|<>", rest[1]) >= 0 {
			return Plain, rest[1:2], 2
		}
	case '`':
		run := rest[:len(rest)-len(strings.TrimLeft(rest, "`"))]
		if text, _, ok := strings.Cut(rest[len(run):], run); ok {
			return Code, strings.Trim(text, " "), len(text) + 2*len(run)
		}
	case '*', '_':
		for _, m := range []string{"**", "__", "*", "_"} {
			if text, ok := enclosed(s, i, m); ok {
				style = Emphasis
				if len(m) == 2 {
					style = Strong
				}
				return style, text, len(text) + 2*len(m)
			}
		}
	case '[':
		title, after, ok := strings.Cut(rest[1:], "](")
		address, _, closed := strings.Cut(after, ")")
		if ok && closed && !strings.ContainsAny(title, "[]") {
			text = title
			if address != title {
				text += " (" + address + ")"
			}
			return Plain, text, len(title) + len(address) + 4
		}
	}
	return Plain, "", 0
}

// enclosed returns the text between two marks m, the first at s[i]: words that touch the marks.
func enclosed(s string, i int, m string) (string, bool) {
	rest, ok := strings.CutPrefix(s[i:min(len(s), i+longest)], m)
	end := strings.Index(rest, m)
	if !ok || end <= 0 || rest[0] == ' ' || rest[end-1] == ' ' || i > 0 && isWord(s[i-1]) {
		return "", false
	}
	if after := end + len(m); after < len(rest) && (isWord(rest[after]) || rest[after] == m[0]) {
		return "", false
	}
	return rest[:end], true
}

func isWord(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c >= 0x80
}

// wrap fills lines with words. The marker stands before the first line, and as many spaces, or the
// mark of a quote, before the others.
func wrap(spans []Span, width int, marker string) []Line {
	hang := strings.Repeat(" ", len(marker))
	if marker == "> " {
		hang = marker
	}
	width = max(width-len(marker), 4)
	var lines []Line
	current, used := start(marker), 0
	for _, w := range words(spans) {
		if used > 0 && used+1+w.width > width {
			lines = append(lines, current)
			current, used = start(hang), 0
		}
		for w.width > width && used == 0 {
			var head word
			if head, w = w.split(width); len(w.spans) == 0 { // one character, wider than the width
				w = head
				break
			}
			lines = append(lines, Line{Spans: append(current.Spans, head.spans...), Command: -1})
			current = start(hang)
		}
		if used > 0 {
			current.Spans = join(current.Spans, Span{w.space, " "})
			used++
		}
		current.Spans = join(current.Spans, w.spans...)
		used += w.width
	}
	return append(lines, current)
}

// join appends spans; neighbors of one style become one.
func join(to []Span, more ...Span) []Span {
	for _, s := range more {
		if n := len(to); n > 0 && to[n-1].Style == s.Style {
			to[n-1].Text += s.Text
		} else {
			to = append(to, s)
		}
	}
	return to
}

func start(marker string) Line {
	if marker == "" {
		return Line{Command: -1}
	}
	return Line{Spans: []Span{{Plain, marker}}, Command: -1}
}

// word is text without spaces, of one or more styles.
type word struct {
	spans []Span
	width int
	space Style // of the space before it
}

// words divides spans at spaces.
func words(spans []Span) (out []word) {
	open := false // the last word continues
	for _, s := range spans {
		space := Plain
		for i, part := range strings.Split(s.Text, " ") {
			if i > 0 {
				open, space = false, s.Style
			}
			if part == "" {
				continue
			}
			if !open {
				out = append(out, word{space: space})
				open = true
			}
			w := &out[len(out)-1]
			w.spans = append(w.spans, Span{s.Style, part})
			w.width += Width(part)
		}
	}
	return out
}

// split divides a word after at most width columns.
func (w word) split(width int) (head, tail word) {
	tail.space = w.space
	for _, s := range w.spans {
		text, rest := "", s.Text
		if left := width - head.width; len(tail.spans) == 0 && left > 0 {
			text, rest = Cut(s.Text, left)
			head.spans = append(head.spans, Span{s.Style, text})
			head.width += Width(text)
		}
		if rest != "" {
			tail.spans = append(tail.spans, Span{s.Style, rest})
		}
	}
	tail.width = w.width - head.width
	return head, tail
}
