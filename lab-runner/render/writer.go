package render

import (
	"io"
	"slices"
	"unicode/utf8"
)

// Writer prints what is written to it by Visible. A character that comes in two writes is printed when it is whole.
type Writer struct {
	out  io.Writer
	rest []byte
}

// NewWriter returns a Writer that prints to out.
func NewWriter(out io.Writer) *Writer { return &Writer{out: out} }

// Write prints b, apart from the beginning of a character at its end.
func (w *Writer) Write(b []byte) (int, error) {
	text := slices.Concat(w.rest, b)
	end := len(text)
	for n := 1; n < utf8.UTFMax && n <= len(text); n++ {
		if c := text[len(text)-n]; utf8.RuneStart(c) {
			if c >= utf8.RuneSelf && !utf8.FullRune(text[len(text)-n:]) {
				end -= n
			}
			break
		}
	}
	w.rest = append([]byte(nil), text[end:]...)
	if _, err := io.WriteString(w.out, Visible(string(text[:end]))); err != nil {
		return 0, err
	}
	return len(b), nil
}
