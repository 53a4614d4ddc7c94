package render

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Visible returns a text in which a terminal obtains no command: each control character but a line
// feed is shown as cat -v shows it (ESC is ^[), a tab becomes spaces, and what is invisible or
// changes the direction of writing, and what is no UTF-8, is shown by its number. Each text
// of a lab, a command or the cluster is printed by it.
func Visible(s string) string {
	if clean(s) {
		return s
	}
	var b strings.Builder
	column := 0
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		var shown string
		switch {
		case r == utf8.RuneError && size == 1:
			shown = `\x` + hex(uint32(s[0]), 2)
		case r == '\n':
			shown = "\n"
		case r == '\r' && strings.HasPrefix(s[1:], "\n"):
		case r == '\t':
			shown = strings.Repeat(" ", 8-column%8)
		case r < ' ':
			shown = "^" + string('@'+r)
		case r == 0x7f:
			shown = "^?"
		case hidden(r) && r > 0xffff:
			shown = `\U` + hex(uint32(r), 8)
		case hidden(r):
			shown = `\u` + hex(uint32(r), 4)
		default:
			shown = s[:size]
		}
		b.WriteString(shown)
		column += Width(shown)
		if r == '\n' {
			column = 0
		}
		s = s[size:]
	}
	return b.String()
}

// clean reports whether all of a text is printable ASCII and line feeds.
func clean(s string) bool {
	for i := range len(s) {
		if s[i] != '\n' && (s[i] < ' ' || s[i] >= 0x7f) {
			return false
		}
	}
	return true
}

// hidden reports whether a terminal shows nothing of a character, or acts on it: C1 controls,
// line separators, format characters (such as marks that reverse the direction of writing), and
// characters of no meaning.
func hidden(r rune) bool {
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Co, unicode.Cs)
}

func hex(n uint32, digits int) string {
	const all = "0123456789abcdef"
	out := make([]byte, digits)
	for i := range out {
		out[digits-1-i] = all[n>>(4*i)&0xf]
	}
	return string(out)
}
