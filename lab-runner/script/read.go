package script

import (
	"fmt"
	"regexp"
	"strings"
)

var (
	keyed  = regexp.MustCompile(`(?s)^<!--\s*([a-z]+):\s*(.*?)\s*-->$`)
	answer = regexp.MustCompile(`^[-*] \[([ xX])\] +(.+)$`)
)

// Read parses a text into its steps. Commands, checks and questions before the first heading,
// checks before a command of their step, comments with an unknown word, and two steps of one
// name are errors.
func Read(text string) (*Text, error) {
	r := reader{names: map[string]int{}}
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if err := r.line(i+1, strings.TrimRight(line, "\r")); err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
	}
	switch {
	case r.fence != "":
		return nil, fmt.Errorf("line %d: the block is not closed", r.opened)
	case r.comment != nil:
		return nil, fmt.Errorf("line %d: the comment is not closed", r.opened)
	}
	r.endProse()
	return &r.text, nil
}

type reader struct {
	text  Text
	names map[string]int // of the steps, with their lines
	step  *Step          // the last of text.Steps; nil before the first
	prose []string

	fence    string // of the open block; "" outside of blocks
	opened   int    // the line of the open block or comment
	block    []string
	fails    bool
	quiz     bool
	first    int  // the open block's first command
	more     bool // the next line may continue a command
	question Question

	comment []string // lines of the open comment; nil outside of comments
}

func (r *reader) line(n int, line string) error {
	trimmed := strings.TrimSpace(line)
	switch {
	case r.comment != nil:
		r.comment = append(r.comment, trimmed)
		return r.endComment(trimmed)
	case r.fence == "" && (strings.HasPrefix(trimmed, "```") || strings.HasPrefix(trimmed, "~~~")):
		r.open(n, line, trimmed)
	case r.fence != "" && trimmed == r.fence:
		r.block = append(r.block, line)
		return r.close()
	case r.fence != "" && r.quiz:
		return r.quizLine(trimmed)
	case r.fence != "":
		r.block = append(r.block, line)
		return r.inBlock(n, line)
	case strings.HasPrefix(trimmed, "<!--"):
		r.comment, r.opened = []string{trimmed}, n
		return r.endComment(trimmed)
	case strings.Contains(strings.ReplaceAll(line, "`<!--", ""), "<!--"):
		return fmt.Errorf("a comment stands on lines of its own")
	case strings.HasPrefix(line, "## "):
		return r.heading(n, strings.TrimSpace(line[3:]))
	case strings.HasPrefix(line, "# ") && r.step == nil && r.text.Title == "" && r.blank():
		r.text.Title = strings.TrimSpace(line[2:])
	default:
		r.prose = append(r.prose, line)
	}
	return nil
}

func (r *reader) blank() bool { return strings.TrimSpace(strings.Join(r.prose, "")) == "" }

func (r *reader) heading(n int, title string) error {
	r.endProse()
	s := Step{Name: Slug(title), Title: title, Line: n}
	if s.Name == "" {
		return fmt.Errorf("the heading %q has neither letters nor digits to name the step by", title)
	}
	if at, twice := r.names[s.Name]; twice {
		return fmt.Errorf("the step of line %d is named %s as well", at, s.Name)
	}
	r.names[s.Name] = n
	r.text.Steps = append(r.text.Steps, s)
	r.step = &r.text.Steps[len(r.text.Steps)-1]
	return nil
}

// endProse makes a block of the lines since the last one.
func (r *reader) endProse() {
	text := strings.Trim(strings.Join(r.prose, "\n"), "\n")
	r.prose = nil
	switch {
	case strings.TrimSpace(text) == "":
	case r.step != nil:
		r.step.Blocks = append(r.step.Blocks, Block{Kind: Prose, Text: text})
	case r.text.Intro == "":
		r.text.Intro = text
	default:
		r.text.Intro += "\n\n" + text
	}
}

func (r *reader) open(n int, line, trimmed string) {
	r.endProse()
	r.fence, r.opened, r.block, r.more = trimmed[:3], n, []string{line}, false
	r.fails, r.quiz, r.question = false, false, Question{Line: n, Right: -1}
	if r.step != nil {
		r.first = len(r.step.Commands)
	}
	for _, word := range strings.Fields(trimmed[3:]) {
		r.fails = r.fails || word == "fails"
		r.quiz = r.quiz || word == "quiz"
	}
}

func (r *reader) close() error {
	r.fence = ""
	text := strings.Join(r.block, "\n")
	switch {
	case r.quiz:
		return r.endQuiz()
	case r.step == nil:
		r.prose = append(r.prose, text)
		r.endProse()
	default:
		b := Block{Kind: Code, Text: text}
		for i := r.first; i < len(r.step.Commands); i++ {
			b.Commands = append(b.Commands, i)
		}
		r.step.Blocks = append(r.step.Blocks, b)
	}
	return nil
}

func (r *reader) inBlock(n int, line string) error {
	if command, ok := strings.CutPrefix(line, "$ "); ok {
		switch {
		case r.step == nil:
			return fmt.Errorf("a command before the first step: '## Heading' starts one")
		case len(r.step.Checks) > 0:
			return fmt.Errorf("a command after the check of line %d: a step's checks stand after its last command", r.step.Checks[0].Line)
		}
		r.step.Commands = append(r.step.Commands, Item{Kind: Command, Line: n, Text: command, Fails: r.fails})
		r.more = true
		return nil
	}
	if rest, ok := strings.CutPrefix(line, "> "); ok && r.more {
		r.step.Commands[len(r.step.Commands)-1].Text += "\n" + rest
		return nil
	}
	r.more = false
	if line == "^C" && r.step != nil {
		for i := r.first; i < len(r.step.Commands); i++ {
			r.step.Commands[i].Interrupt = true
		}
	}
	return nil
}

func (r *reader) quizLine(line string) error {
	q := &r.question
	switch m := answer.FindStringSubmatch(line); {
	case m != nil && q.Explanation != "":
		return fmt.Errorf("an answer after the explanation")
	case m != nil:
		if m[1] != " " {
			if q.Right >= 0 {
				return fmt.Errorf("a second right answer")
			}
			q.Right = len(q.Answers)
		}
		q.Answers = append(q.Answers, m[2])
	case strings.HasPrefix(line, ">"):
		q.Explanation = strings.TrimSpace(q.Explanation + " " + strings.TrimSpace(line[1:]))
	case line == "":
	case len(q.Answers) > 0:
		return fmt.Errorf("want an answer ('- [ ] wrong', '- [x] right') or the explanation ('> ...'): %q", line)
	default:
		q.Text = strings.TrimSpace(q.Text + " " + line)
	}
	return nil
}

func (r *reader) endQuiz() error {
	q := r.question
	switch {
	case r.step == nil:
		return fmt.Errorf("a question before the first step")
	case q.Text == "":
		return fmt.Errorf("the question of line %d has no text", q.Line)
	case len(q.Answers) < 2 || q.Right < 0:
		return fmt.Errorf("the question of line %d has not two answers or more, one of them right ('- [x] ...')", q.Line)
	case q.Explanation == "":
		return fmt.Errorf("the question of line %d has no explanation ('> ...')", q.Line)
	}
	r.step.Quiz = append(r.step.Quiz, q)
	r.step.Blocks = append(r.step.Blocks, Block{Kind: Quiz, Question: len(r.step.Quiz) - 1})
	return nil
}

// endComment acts on the open comment if the line closes it.
func (r *reader) endComment(line string) error {
	if !strings.Contains(line, "-->") {
		return nil
	}
	if !strings.HasSuffix(line, "-->") {
		return fmt.Errorf("text after a comment: a comment stands on lines of its own")
	}
	lines := r.comment
	r.comment = nil
	m := keyed.FindStringSubmatch(strings.Join(lines, "\n"))
	if m == nil {
		return nil
	}
	word, text := m[1], m[2]
	switch {
	case r.step == nil:
		return fmt.Errorf("'%s:' before the first step: '## Heading' starts one", word)
	case text == "":
		return fmt.Errorf("'%s:' has no text", word)
	}
	r.endProse()
	switch word {
	case "check", "holds":
		kind := Check
		if word == "holds" {
			kind = Holds
		}
		r.step.Checks = append(r.step.Checks, Item{Kind: kind, Line: r.opened, Text: strings.ReplaceAll(text, "\n", " ")})
	case "hint":
		r.step.Hints = append(r.step.Hints, strings.ReplaceAll(text, "\n", " "))
	case "break":
		if r.step.Break != "" {
			return fmt.Errorf("a second 'break:' in the step")
		}
		r.step.Break = text
	default:
		return fmt.Errorf("a comment may not begin with '%s:': there are check, holds, hint and break", word)
	}
	return nil
}
