package desk

import (
	"bytes"
	"html"
	"strings"
	"time"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/extension"

	"wheelhouse/lab-runner/script"
	"wheelhouse/lab-runner/session"
)

// View is what a page shows of a lab.
type View struct {
	Lab       string                 `json:"lab"`
	Title     string                 `json:"title"`
	Step      int                    `json:"step"`
	Steps     []session.StepView     `json:"steps"`
	Text      []Block                `json:"text"` // of the current step; of the first one, the lab's introduction before it
	Checks    []Check                `json:"checks"`
	Hints     []string               `json:"hints"` // HTML
	HintsLeft int                    `json:"hintsLeft"`
	Quiz      []session.QuestionView `json:"quiz"`
	Done      bool                   `json:"done"` // no step of the lab is to do
}

// Block is a part of a step's text. HTML has no raw HTML of the text in it, no scripts and no styles.
type Block struct {
	Kind     string `json:"kind"` // text, code, command, fails, quiz
	HTML     string `json:"html,omitempty"`
	Command  string `json:"command,omitempty"`  // of command and fails: what to run
	Question int    `json:"question,omitempty"` // of quiz: its index in View.Quiz
}

// Check is one check of the current step.
type Check struct {
	Name   string          `json:"name"`
	State  string          `json:"state"`          // todo, done, lost
	Since  time.Time       `json:"since,omitzero"` // when it was done or lost
	Reason *session.Reason `json:"reason,omitempty"`
}

// markdown leaves out raw HTML and links that are no addresses, which is Goldmark's default.
var markdown = goldmark.New(goldmark.WithExtensions(extension.Table, extension.Strikethrough))

// toHTML returns the HTML of a text of a lab.
func toHTML(text string) string {
	var b bytes.Buffer
	if err := markdown.Convert([]byte(text), &b); err != nil { // a buffer takes all
		return "<pre>" + html.EscapeString(text) + "</pre>"
	}
	return b.String()
}

func (l *openLab) view() (*View, error) {
	v, err := l.View()
	if err != nil {
		return nil, err
	}
	out := &View{Lab: v.Lab, Title: v.Title, Step: v.Step, Steps: v.Steps, HintsLeft: v.HintsLeft, Quiz: v.Quiz, Checks: []Check{}, Hints: []string{}, Done: true}
	if out.Quiz == nil {
		out.Quiz = []session.QuestionView{}
	}
	for _, s := range v.Steps {
		out.Done = out.Done && s.State != session.ToDo
	}
	for _, c := range v.Checks {
		check := Check{Name: c.Name, State: c.State, Reason: c.Reason}
		if check.Since = c.Done; c.State == session.Lost {
			check.Since = c.Lost
		}
		out.Checks = append(out.Checks, check)
	}
	for _, h := range v.Hints {
		out.Hints = append(out.Hints, toHTML(h))
	}
	lab := l.Lab()
	if v.Step == 0 && strings.TrimSpace(lab.Intro) != "" {
		out.Text = append(out.Text, Block{Kind: "text", HTML: toHTML(lab.Intro)})
	}
	step := &lab.Steps[v.Step]
	for _, b := range step.Blocks {
		out.Text = append(out.Text, blocks(step.Commands, b)...)
	}
	return out, nil
}

// blocks returns a block of a text as a page shows it: of a fenced block each command is one, and what it prints another.
func blocks(commands []script.Item, b script.Block) []Block {
	switch {
	case b.Kind == script.Quiz:
		return []Block{{Kind: "quiz", Question: b.Question}}
	case len(b.Commands) == 0 && b.Kind == script.Code:
		return []Block{{Kind: "code", HTML: toHTML(b.Text)}}
	case len(b.Commands) == 0:
		return []Block{{Kind: "text", HTML: toHTML(b.Text)}}
	}
	var out []Block
	var printed []string
	flush := func() {
		if len(printed) > 0 {
			out = append(out, Block{Kind: "code", HTML: "<pre>" + html.EscapeString(strings.Join(printed, "\n")) + "</pre>"})
		}
		printed = nil
	}
	lines := strings.Split(b.Text, "\n")
	next, more := 0, false
	for _, line := range lines[1:max(1, len(lines)-1)] { // without the fences
		switch {
		case strings.HasPrefix(line, "$ ") && next < len(b.Commands):
			flush()
			item := commands[b.Commands[next]]
			block := Block{Kind: "command", Command: item.Text, HTML: "<pre><code>" + html.EscapeString(item.Text) + "</code></pre>"}
			if item.Fails {
				block.Kind = "fails"
			}
			out = append(out, block)
			next, more = next+1, true
		case more && strings.HasPrefix(line, "> "): // continues the command
		default:
			more = false
			printed = append(printed, line)
		}
	}
	flush()
	return out
}
