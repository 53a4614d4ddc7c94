package runner

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"
	"k8s.io/client-go/rest"

	"wheelhouse/lab-runner/catalog"
	"wheelhouse/lab-runner/clustermap"
	"wheelhouse/lab-runner/environment"
	"wheelhouse/lab-runner/script"
	"wheelhouse/lab-runner/session"
	"wheelhouse/lab-runner/view"
)

// Why writes what is wrong in a namespace, and why.
type Why func(ctx context.Context, config *rest.Config, namespace string, out io.Writer) error

// WithWhy is what the key w of the view asks. Without it the reasons of the checks are shown.
func WithWhy(why Why) Option {
	return func(s *settings) { s.why = why }
}

// fullScreen is `lab` with no words. Without a terminal it prints the help, unless --plain is given.
func (s *settings) fullScreen(c *cobra.Command, plain bool) error {
	if !plain && !(isTerminal(c.InOrStdin()) && isTerminal(c.OutOrStdout())) {
		return c.Help()
	}
	labs, err := s.pick(nil)
	if err != nil {
		return err
	}
	store, err := s.store()
	if err != nil {
		return err
	}
	// What there is to warn of is said before the screen is the view's.
	if _, err := s.connect(c.Context()); err != nil {
		return err
	}
	if _, err := store.Progress(); err != nil {
		return err
	}
	s.warnings = func() io.Writer { return io.Discard }
	s.ask = nil // the screen is the view's; 'lab agree' asks
	cfg := view.Config{Library: &library{settings: s, labs: labs, store: store}, Input: c.InOrStdin(), Output: c.OutOrStdout(), Environ: os.Environ()}
	if plain {
		return view.Plain(c.Context(), cfg)
	}
	return view.Run(c.Context(), cfg)
}

func isTerminal(f any) bool {
	file, ok := f.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// library has the labs of the catalog and the learner's progress.
type library struct {
	*settings
	labs  []*catalog.Lab
	store *session.Store
}

// Entries implements view.Library.
func (l *library) Entries() ([]view.Entry, error) {
	p, err := l.store.Progress()
	if err != nil {
		return nil, err
	}
	var out []view.Entry
	for _, lab := range l.labs {
		done, _ := p.StepsDone(lab)
		out = append(out, view.Entry{
			ID: lab.ID(), Title: lab.Title, About: lab.About, Minutes: lab.Minutes, Requires: lab.Requires,
			Done: done, Steps: len(lab.Steps), Current: p.Current == lab.ID(),
		})
	}
	return out, nil
}

// Open implements view.Library.
func (l *library) Open(ctx context.Context, id string, out io.Writer) (view.Lab, error) {
	lab, _, err := catalog.Find(l.labs, id)
	if err != nil {
		return nil, err
	}
	cluster, err := l.connect(ctx, lab)
	if err != nil {
		return nil, err
	}
	s, err := session.Open(session.Config{Lab: lab, Cluster: cluster, Store: l.store, Program: l.program()})
	if err != nil {
		return nil, err
	}
	if err := l.trusted(s.Dir()); err != nil {
		return nil, err
	}
	if err := s.Start(ctx, out); err != nil {
		s.Close()
		return nil, err
	}
	return &openLab{Session: s, cluster: cluster, why: l.why}, nil
}

// openLab is a session as the view has it.
type openLab struct {
	*session.Session
	cluster *environment.Cluster
	why     Why

	lock      sync.Mutex
	interrupt context.CancelCauseFunc // of the command that runs; nil: none
}

// Watch implements view.Lab.
func (l *openLab) Watch(ctx context.Context, changed func(view.State), drawn func(clustermap.Change)) error {
	return l.Session.Watch(ctx, func(v session.View) { changed(stateOf(l.Lab(), v)) }, drawn)
}

var errInterrupted = errors.New("interrupted")

// Run implements view.Lab. An interrupted command ends with its shell; the next has the same variables.
func (l *openLab) Run(ctx context.Context, command script.Item, out io.Writer) (int, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	l.lock.Lock()
	l.interrupt = cancel
	l.lock.Unlock()
	return l.Session.Run(ctx, command, out)
}

// Interrupt implements view.Lab.
func (l *openLab) Interrupt() {
	l.lock.Lock()
	defer l.lock.Unlock()
	if l.interrupt != nil {
		l.interrupt(errInterrupted)
	}
}

// Shell implements view.Lab.
func (l *openLab) Shell() (*exec.Cmd, error) { return l.Session.Shell(context.Background()) }

// Close implements view.Lab.
func (l *openLab) Close() {
	l.Interrupt()
	l.Session.Close()
}

// Do implements view.Lab.
func (l *openLab) Do(ctx context.Context, a view.Action, out io.Writer) (view.Result, error) {
	text, err := l.act(ctx, a, out)
	if err != nil {
		return view.Result{}, err
	}
	v, err := l.View()
	return view.Result{State: stateOf(l.Lab(), v), Text: text}, err
}

// act carries an action out, and returns what there is to say.
func (l *openLab) act(ctx context.Context, a view.Action, out io.Writer) (text string, err error) {
	switch a.Verb {
	case view.Next, view.Skip:
		var open *session.NotDoneError
		switch err := l.Next(ctx, a.Verb == view.Skip, out); {
		case errors.Is(err, io.EOF):
			return "This was the last step: the lab is done. Key l has the other labs.", nil
		case errors.As(err, &open):
			return "", fmt.Errorf("still to do: %s. N goes on all the same", open.Left)
		default:
			return "", err
		}
	case view.Back:
		return "", l.Back()
	case view.Hint:
		_, ok, err := l.Hint()
		if err == nil && !ok {
			err = errors.New("there is no further hint")
		}
		return "", err
	case view.Answer:
		_, _, err := l.Answer(a.Question, a.Choice)
		return "", err
	case view.Solve:
		return "", l.Solve(ctx, out)
	case view.Reset:
		return "", l.Reset(ctx, out)
	case view.Goto:
		return "", l.Goto(ctx, a.Step, out)
	case view.Why:
		if l.why != nil {
			var b bytes.Buffer
			err := l.why(ctx, l.cluster.Config, l.Lab().Namespace, &b)
			return b.String(), err
		}
		fallthrough
	case view.Check:
		return l.reasons(ctx)
	}
	return "", fmt.Errorf("no action %s", a.Verb)
}

// reasons evaluates the checks and returns why those that are to do are not met.
func (l *openLab) reasons(ctx context.Context) (string, error) {
	var v session.View
	for range 2 { // a second look shows the reasons
		var err error
		if v, err = l.Check(ctx, session.Look{Patience: time.Second, Asked: true}); err != nil {
			return "", err
		}
	}
	var out []string
	for _, c := range v.Checks {
		if c.State != session.Done && c.Reason != nil {
			out = append(out, c.Name+"\n"+reasonText(c.Reason))
		}
	}
	if len(out) == 0 {
		return "Every check of this step is met.", nil
	}
	return strings.Join(out, "\n"), nil
}

func reasonText(r *session.Reason) string {
	var out []string
	for _, part := range []struct{ title, text string }{{"wanted: ", r.Wanted}, {"seen: ", r.Seen}, {"event: ", r.Event}, {"", r.Elsewhere}, {"try: ", r.Try}} {
		if part.text != "" {
			out = append(out, part.title+part.text)
		}
	}
	return strings.Join(out, "\n")
}

// stateOf returns a session's state as the view shows it.
func stateOf(lab *catalog.Lab, v session.View) view.State {
	out := view.State{ID: v.Lab, Title: v.Title, Namespace: v.Namespace, Step: v.Step, Hints: v.Hints, HintsOf: len(v.Hints) + v.HintsLeft}
	for _, s := range v.Steps {
		out.Steps = append(out.Steps, view.Mark{Title: s.Title, State: s.State})
	}
	for _, c := range v.Checks {
		check := view.CheckState{Name: c.Name, State: c.State}
		if c.Reason != nil {
			check.Reason = strings.Join(strings.Fields(c.Reason.Seen+" "+c.Reason.Elsewhere), " ")
		}
		out.Checks = append(out.Checks, check)
	}
	if v.Step == 0 && strings.TrimSpace(lab.Intro) != "" {
		out.Blocks = append(out.Blocks, view.Block{Markdown: lab.Intro})
	}
	step := &lab.Steps[v.Step]
	for _, b := range step.Blocks {
		block := view.Block{Markdown: b.Text}
		for _, i := range b.Commands {
			block.Commands = append(block.Commands, step.Commands[i])
		}
		if b.Kind == script.Quiz {
			q := v.Quiz[b.Question]
			question := &view.Question{Text: q.Text, Answers: q.Answers, Given: q.Given, Right: -1, Explanation: q.Explanation}
			if q.Right {
				question.Right = q.Given
			}
			block = view.Block{Question: question}
		}
		out.Blocks = append(out.Blocks, block)
	}
	return out
}
