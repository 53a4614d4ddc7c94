package view

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"

	"wheelhouse/lab-runner/render"
	"wheelhouse/lab-runner/script"
)

// Plain is the view line by line, for screen readers and terminals without a screen: it prints the
// step, reads a command a line from the input, and says when a check comes to be done or is lost.
// No escape sequence is written. It ends with the input, with "quit", or with ctx.
func Plain(ctx context.Context, cfg Config) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p := &plainView{cfg: cfg, states: make(chan State, 1)}
	entries, err := cfg.Library.Entries()
	if err != nil {
		return err
	}
	p.entries = entries
	p.printEntries()
	for _, e := range entries {
		if e.Current {
			p.open(ctx, e.ID)
		}
	}
	p.say("\"help\" lists what you can type.")
	defer p.close()
	read := make(chan string)
	go func() {
		defer close(read)
		lines := bufio.NewScanner(cfg.Input)
		for lines.Scan() {
			select {
			case read <- lines.Text():
				<-p.next()
			case <-ctx.Done():
				return
			}
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case s := <-p.states:
			p.changed(s)
		case line, ok := <-read:
			if !ok || !p.command(ctx, line) {
				return nil
			}
			p.next() <- struct{}{}
		}
	}
}

// plainView is the state of Plain.
type plainView struct {
	cfg     Config
	entries []Entry
	lab     Lab
	end     context.CancelFunc // of what watches the lab
	states  chan State
	state   State
	known   bool
	at      int // the command that Enter runs
	once    sync.Once
	ready   chan struct{}
}

// next is signalled when a line was carried out: only then the next is read, so that an interactive
// shell has the input to itself.
func (p *plainView) next() chan struct{} {
	p.once.Do(func() { p.ready = make(chan struct{}) })
	return p.ready
}

func (p *plainView) say(format string, args ...any) {
	fmt.Fprintln(p.cfg.Output, render.Visible(fmt.Sprintf(format, args...)))
}

func (p *plainView) printEntries() {
	for i, e := range p.entries {
		p.say("%d. %s: %s. %d of %d steps done.", i+1, e.ID, e.Title, e.Done, e.Steps)
	}
	p.say("Type \"open\" and the number of a lab.")
}

func (p *plainView) close() {
	if p.lab != nil {
		p.end()
		p.lab.Close()
		p.lab = nil
	}
}

func (p *plainView) open(ctx context.Context, id string) {
	p.close()
	lab, err := p.cfg.Library.Open(ctx, id, p)
	if err != nil {
		p.say("error: %v", err)
		return
	}
	ctx, p.end = context.WithCancel(ctx)
	p.lab, p.known = lab, false
	first := make(chan struct{})
	var once sync.Once
	go func() {
		defer once.Do(func() { close(first) })
		err := lab.Watch(ctx, func(s State) {
			select { // the newest replaces one that was not read
			case <-p.states:
			default:
			}
			p.states <- s
			once.Do(func() { close(first) })
		}, nil)
		if err != nil && ctx.Err() == nil {
			p.say("error: the checks are not evaluated any more: %v", err)
		}
	}()
	select {
	case <-first:
	case <-ctx.Done():
	}
	select {
	case s := <-p.states:
		p.changed(s)
	default: // the watch failed
	}
}

// Write shows what commands print.
func (p *plainView) Write(b []byte) (int, error) {
	_, err := io.WriteString(p.cfg.Output, render.Visible(string(b)))
	return len(b), err
}

// changed says what is new.
func (p *plainView) changed(s State) {
	if p.lab == nil {
		return
	}
	before := p.state
	p.state = s
	if !p.known || before.Step != s.Step || before.ID != s.ID {
		p.known, p.at = true, 0
		p.printStep()
		return
	}
	was := map[string]string{}
	for _, c := range before.Checks {
		was[c.Name] = c.State
	}
	for _, c := range s.Checks {
		if c.State != was[c.Name] {
			p.sayCheck(c)
		}
	}
	if before.open() > 0 && s.open() == 0 {
		p.sayDone()
	}
}

// sayCheck says the state of a check in words.
func (p *plainView) sayCheck(c CheckState) {
	state := map[string]string{"todo": "to do", "lost": "not true any more"}[c.State]
	p.say("check %s: %s", cmp.Or(state, c.State), c.Name)
}

// sayDone says what follows when all checks of the step are done.
func (p *plainView) sayDone() {
	switch s := &p.state; {
	case s.asks():
		p.say("All checks of this step are done. A question is still to be answered.")
	case p.at < len(p.commands()):
		p.say("%s%s", doneText("", len(p.commands())-p.at), "\"next\" goes to the next step.")
	case s.Step+1 >= len(s.Steps):
		p.say("All of this step is done, and it was the last. \"labs\" lists the labs.")
	default:
		p.say("All of this step is done. \"next\" goes on.")
	}
}

func (p *plainView) printStep() {
	s := &p.state
	p.say("\nStep %d of %d: %s\n", s.Step+1, len(s.Steps), s.Steps[s.Step].Title)
	commands, questions := 0, 0
	for _, b := range s.Blocks {
		if b.Question != nil {
			questions++
			p.say("Question %d: %s", questions, b.Question.Text)
			for i, a := range b.Question.Answers {
				p.say("  answer %d %d: %s", questions, i+1, a)
			}
			continue
		}
		_ = render.Terminal(p.cfg.Output, b.Markdown, render.Options{}) // the next line meets the same error
		p.say("")
		for _, c := range b.Commands {
			commands++
			p.say("(command %d: %s)", commands, c.Text)
		}
	}
	for _, c := range s.Checks {
		p.sayCheck(c)
	}
	p.prompt()
}

// prompt says what Enter does.
func (p *plainView) prompt() {
	if all := p.commands(); p.at < len(all) {
		p.say("Enter runs command %d: %s", p.at+1, all[p.at].Text)
	}
}

func (p *plainView) commands() (out []script.Item) {
	for _, b := range p.state.Blocks {
		out = append(out, b.Commands...)
	}
	return out
}

const plainHelp = `Enter, or run N: run the next command, or command N
next, skip, back, goto N: go to another step
hint, why, check: get help
answer Q A: answer question Q with A
solve, reset: solve the step; bring back the state before it
text: the step again    shell: an ordinary shell
labs, open N: the list of labs; open one    quit`

// command carries a line out. It returns false at the end.
func (p *plainView) command(ctx context.Context, line string) bool {
	words := strings.Fields(line)
	if len(words) == 0 {
		words = []string{"run"}
	}
	numbers := []int{0, 0}
	for i, w := range words[1:min(len(words), 3)] {
		numbers[i], _ = strconv.Atoi(w) // 0: no number
	}
	switch words[0] {
	case "quit", "exit", "q":
		return false
	case "help", "?":
		p.say("%s", plainHelp)
		return true
	case "labs":
		p.printEntries()
		return true
	case "open":
		if n := numbers[0]; n > 0 && n <= len(p.entries) {
			p.open(ctx, p.entries[n-1].ID)
		} else {
			p.say("error: there are the labs 1 to %d", len(p.entries))
		}
		return true
	}
	if p.lab == nil || !p.known {
		p.say("error: no lab is open: \"open 1\" opens the first")
		return true
	}
	if err := p.labCommand(ctx, words[0], numbers); err != nil {
		p.say("error: %v", err)
	}
	return true
}

func (p *plainView) labCommand(ctx context.Context, word string, numbers []int) error {
	switch verb := Verb(word); verb {
	case "run":
		return p.run(ctx, numbers[0])
	case "text":
		p.printStep()
		return nil
	case "shell":
		return p.shell()
	case Next, Skip, Back, Hint, Why, Solve, Reset, Goto, Answer, Check:
		a := Action{Verb: verb}
		switch verb {
		case Goto:
			if a.Step = numbers[0] - 1; a.Step < 0 || a.Step >= len(p.state.Steps) {
				return fmt.Errorf("there are the steps 1 to %d", len(p.state.Steps))
			}
		case Answer:
			if a.Question, a.Choice = numbers[0]-1, numbers[1]-1; p.state.answered(a.Question) {
				return errors.New("this question is answered already")
			}
		}
		hints := len(p.state.Hints)
		result, err := p.lab.Do(ctx, a, p)
		if err != nil {
			return err
		}
		p.changed(result.State)
		if result.Text != "" {
			p.say("%s", result.Text)
		}
		for _, h := range p.state.Hints[min(hints, len(p.state.Hints)):] {
			p.say("Hint: %s", h)
		}
		if verb == Answer {
			p.sayAnswer(a)
			if p.state.open() == 0 && !p.state.asks() {
				p.sayDone()
			}
		}
		return nil
	}
	return fmt.Errorf("no command %q: \"help\" lists them", word)
}

func (p *plainView) sayAnswer(a Action) {
	n := 0
	for _, b := range p.state.Blocks {
		if b.Question == nil {
			continue
		}
		if n == a.Question && b.Question.Given == b.Question.Right {
			p.say("Right. %s", b.Question.Explanation)
		} else if n == a.Question {
			p.say("No. Try another answer.")
		}
		n++
	}
}

// run runs command n, from 1; 0 is the next.
func (p *plainView) run(ctx context.Context, n int) error {
	all := p.commands()
	if n == 0 {
		n = p.at + 1
	}
	if n < 1 || n > len(all) {
		return errors.New("there is no further command in this step: \"next\" goes on")
	}
	p.say("$ %s", all[n-1].Text)
	status, err := p.lab.Run(ctx, all[n-1], p)
	if err != nil {
		return err
	}
	switch {
	case status != 0 && all[n-1].Fails:
		p.say("exit status %d: this command shall fail", status)
	case status != 0:
		p.say("exit status %d", status)
	case all[n-1].Fails:
		p.say("exit status 0, but this command shall fail: an object of an earlier attempt may be in its way")
	}
	p.at = n
	if p.prompt(); n == len(all) && p.state.open() == 0 && !p.state.asks() {
		p.sayDone()
	}
	return nil
}

func (p *plainView) shell() error {
	cmd, err := p.lab.Shell()
	if err != nil {
		return err
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, p.cfg.Output, os.Stderr
	return cmd.Run()
}
