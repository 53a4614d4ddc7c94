package script

import (
	"slices"
	"strings"
)

// Text is a lab's text: what stands before the first step, and the steps.
type Text struct {
	Title string // of "# Title"; may be empty
	Intro string // Markdown without the title
	Steps []Step
}

// Step is what stands below one "## Heading".
type Step struct {
	Name     string // the slug of the heading: "Up to five" is up-to-five
	Title    string
	Line     int
	Blocks   []Block // what is displayed, in order
	Commands []Item
	Checks   []Item // of the kinds Check and Holds
	Hints    []string
	Quiz     []Question
	Break    string // a command after which a check fails; may be empty
}

// BlockKind says what a Block is.
type BlockKind int

// The kinds of Block: Markdown, a fenced block, and a question.
const (
	Prose BlockKind = iota
	Code
	Quiz
)

// Block is a part of a step as it is displayed.
type Block struct {
	Kind     BlockKind
	Text     string // Markdown; the fences of a fenced block included; empty for a question
	Commands []int  // of a fenced block: indices into Step.Commands
	Question int    // of a question: its index in Step.Quiz
}

// Question has one right answer.
type Question struct {
	Line        int
	Text        string
	Answers     []string
	Right       int // index of Answers
	Explanation string
}

// Items returns the headings, commands and checks of the text, in order.
func (t *Text) Items() []Item {
	var out []Item
	for _, s := range t.Steps {
		out = append(out, Item{Kind: Heading, Line: s.Line, Text: s.Title})
		out = slices.Concat(out, s.Commands, s.Checks)
	}
	return out
}

// Markdown returns the step for display: heading, prose and blocks. It has neither comments nor
// questions.
func (s *Step) Markdown() string {
	parts := []string{"## " + s.Title}
	for _, b := range s.Blocks {
		if b.Kind != Quiz {
			parts = append(parts, b.Text)
		}
	}
	return strings.Join(parts, "\n\n") + "\n"
}

// Slug returns the name of a step by its heading: the lower-case letters and digits of ASCII, a
// hyphen for each run of others.
func Slug(heading string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(heading) {
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			b.WriteRune(r)
		case r != '\'' && b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
	}
	return strings.TrimRight(b.String(), "-")
}
