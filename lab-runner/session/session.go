// Package session is a learner's work in one lab: the current step, the state of its checks, hints, solutions, and the
// way from any step to any other. Command line and full-screen view have this one interface. What was done is in a
// Store; what there is to show is a View, which is computed from lab and progress alone (progress.go). Effects are in
// other files: checks (evaluate.go), the watch (watch.go), building the state of a step (build.go), the learner's shell
// (shell.go). The methods of a Session are safe for concurrent use; those that build a state exclude each other.
package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"wheelhouse/lab-runner/catalog"
	"wheelhouse/lab-runner/environment"
	"wheelhouse/lab-runner/script"
	"wheelhouse/lab-runner/steps"
)

// Config is what a session needs.
type Config struct {
	Lab     *catalog.Lab
	Cluster *environment.Cluster
	Store   *Store
	Dir     string           // of the lab's files; empty: where the lab was started, else ~/wheelhouse-labs/NAME
	Program []string         // what runs these commands in the learner's shell, such as ["/usr/bin/lab"]; empty: nothing does
	Now     func() time.Time // nil: time.Now
	// Patience is how long solving and building wait for a check, on a machine of usual speed. 0: a minute.
	Patience time.Duration
}

// Session is one lab of one learner.
type Session struct {
	cfg  Config
	lab  *catalog.Lab
	dir  string
	mu   sync.Mutex // of the fields below
	env  []string
	last map[string]*Reason // of the last evaluation

	noting sync.Mutex // of said, and so that views are reported in their order
	said   string     // key of the view that was reported last

	building sync.Mutex
	shell    *script.Shell // of build.go; nil until it is needed
}

// ErrNotStarted is returned for a lab that has no files yet.
var ErrNotStarted = errors.New("the lab is not started")

// NotDoneError is returned by Next while something is to do.
type NotDoneError struct{ Step, Left string }

func (e *NotDoneError) Error() string {
	return fmt.Sprintf("the step %s is not done: %s", e.Step, e.Left)
}

// Open returns the session of a lab, started or not.
func Open(cfg Config) (*Session, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Patience == 0 {
		cfg.Patience = time.Minute
	}
	s := &Session{cfg: cfg, lab: cfg.Lab, dir: cfg.Dir}
	if s.dir != "" {
		return s, nil
	}
	p, err := cfg.Store.Progress()
	if err != nil {
		return nil, err
	}
	if l := p.Labs[s.lab.Key()]; l != nil && l.Dir != "" {
		s.dir = l.Dir
		return s, nil
	}
	s.dir, err = defaultDir(s.lab)
	return s, err
}

// Lab returns the session's lab.
func (s *Session) Lab() *catalog.Lab { return s.lab }

// Dir returns the directory of the lab's files.
func (s *Session) Dir() string { return s.dir }

// View returns what there is to show now. It looks at nothing but the progress.
func (s *Session) View() (View, error) {
	p, err := s.cfg.Store.Progress()
	if err != nil {
		return View{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	l := p.lab(s.lab.Key())
	if l.Dir == "" {
		l.Dir = s.dir
	}
	return l.view(s.lab, s.last), nil
}

// Step returns the current step and its index.
func (s *Session) Step() (int, *catalog.Step, error) {
	p, err := s.cfg.Store.Progress()
	if err != nil {
		return 0, nil, err
	}
	n := p.lab(s.lab.Key()).current(s.lab)
	return n, &s.lab.Steps[n], nil
}

// change changes the progress, and reports what there is to show then. Whatever a session notes comes through here.
func (s *Session) change(f func(*Progress)) error {
	err := s.cfg.Store.Update(f)
	if err == nil && s.cfg.Store.Noted != nil {
		s.note()
	}
	return err
}

// note reports what there is to show, unless it is what was reported last.
func (s *Session) note() {
	s.noting.Lock()
	defer s.noting.Unlock()
	v, err := s.View()
	if err != nil {
		return // who changed the progress looks at it next, and gets the error
	}
	if now := s.key(v); now != s.said {
		s.said = now
		s.cfg.Store.Noted(v)
	}
}

// update changes the progress of the lab and of its current step.
func (s *Session) update(change func(l *LabProgress, step *catalog.Step, sp *StepProgress)) error {
	return s.change(func(p *Progress) {
		l := p.lab(s.lab.Key())
		step := &s.lab.Steps[l.current(s.lab)]
		change(l, step, l.step(step.Name))
	})
}

// Look says how to check.
type Look struct {
	// Patience is how long a check waits for its condition; 0: it looks once.
	Patience time.Duration
	// Asked is set when the learner asks: a second look shows the reasons.
	Asked bool
}

// Check evaluates the checks of the current step, notes the results, and returns what there is to show.
func (s *Session) Check(ctx context.Context, look Look) (View, error) {
	n, step, err := s.Step()
	if err != nil {
		return View{}, err
	}
	results, err := s.evaluate(ctx, n, look.Patience)
	if err != nil {
		return View{}, err
	}
	err = s.update(func(l *LabProgress, current *catalog.Step, sp *StepProgress) {
		if current.Name == step.Name { // else the step was changed meanwhile
			sp.record(step, results, look.Asked, s.cfg.Now())
		}
	})
	if err != nil {
		return View{}, err
	}
	return s.View()
}

// evaluate looks at the checks of a step. It notes the reasons, and nothing in the progress.
func (s *Session) evaluate(ctx context.Context, n int, patience time.Duration) ([]Result, error) {
	p, err := s.cfg.Store.Progress()
	if err != nil {
		return nil, err
	}
	step := &s.lab.Steps[n]
	known := map[string]bool{}
	for name, m := range p.lab(s.lab.Key()).step(step.Name).Checks {
		known[name] = !m.Done.IsZero()
	}
	return s.look(ctx, n, patience, known)
}

// look is evaluate without the progress: known are the checks of which only what changes nothing is evaluated.
func (s *Session) look(ctx context.Context, n int, patience time.Duration, known map[string]bool) ([]Result, error) {
	env, err := s.environment(ctx)
	if err != nil {
		return nil, err
	}
	step := &s.lab.Steps[n]
	world := func() *steps.World { return s.cfg.Cluster.World(s.lab, s.dir, env, patience) }
	results := evaluate(ctx, s.lab, step, world, known)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = map[string]*Reason{}
	for _, r := range results {
		s.last[r.Name] = r.Reason
	}
	return results, nil
}

// Hint shows one hint more of the current step. Without another one ok is false.
func (s *Session) Hint() (text string, ok bool, err error) {
	err = s.update(func(_ *LabProgress, step *catalog.Step, sp *StepProgress) {
		if sp.Hints < len(step.Hints) {
			text, ok = step.Hints[sp.Hints], true
			sp.Hints++
		}
	})
	return text, ok, err
}

// Answer answers a question of the current step; both are indices. The explanation is that of the right answer, empty
// for a wrong one.
func (s *Session) Answer(question, answer int) (right bool, explanation string, err error) {
	bad := ""
	err = s.update(func(_ *LabProgress, step *catalog.Step, sp *StepProgress) {
		if question < 0 || question >= len(step.Quiz) {
			bad = fmt.Sprintf("the step has %d questions", len(step.Quiz))
			return
		}
		q := step.Quiz[question]
		if answer < 0 || answer >= len(q.Answers) {
			bad = fmt.Sprintf("the question has the answers 1 to %d", len(q.Answers))
			return
		}
		if given, ok := sp.Answers[question]; !ok || given != q.Right { // what was right stays
			sp.Answers[question] = answer
		}
		if answer == q.Right {
			right, explanation = true, q.Explanation
		}
		sp.finish(step, s.cfg.Now())
	})
	if bad != "" {
		return false, "", errors.New(bad)
	}
	return right, explanation, err
}

// Next goes to the next step, and makes the situation it is about. While something is to do it returns a *NotDoneError,
// unless skip is set. After the last step it returns io.EOF.
func (s *Session) Next(ctx context.Context, skip bool, out io.Writer) error {
	n, step, err := s.Step()
	if err != nil {
		return err
	}
	p, err := s.cfg.Store.Progress()
	if err != nil {
		return err
	}
	if sp := p.lab(s.lab.Key()).step(step.Name); sp.Done.IsZero() {
		if !skip {
			return &NotDoneError{Step: step.Name, Left: left(step, sp)}
		}
		if err := s.update(func(_ *LabProgress, _ *catalog.Step, sp *StepProgress) { sp.Done, sp.By = s.cfg.Now(), BySkip }); err != nil {
			return err
		}
	}
	if n+1 == len(s.lab.Steps) {
		return io.EOF
	}
	return s.enter(ctx, n+1, out)
}

// left returns what is to do in the step.
func left(step *catalog.Step, sp *StepProgress) string {
	var out []string
	for _, c := range step.Checks {
		if m := sp.Checks[c.Text]; m == nil || m.Done.IsZero() || !m.Lost.IsZero() {
			out = append(out, c.Text)
		}
	}
	for i, q := range step.Quiz {
		if a, ok := sp.Answers[i]; !ok || a != q.Right {
			out = append(out, "a question")
			break
		}
	}
	return strings.Join(out, "; ")
}

// Back goes to the step before the current one. It changes nothing in the cluster.
func (s *Session) Back() error {
	n, _, err := s.Step()
	if err != nil || n == 0 {
		return err
	}
	return s.choose(n - 1)
}

// choose makes a step the current one.
func (s *Session) choose(n int) error {
	s.mu.Lock()
	s.last = nil
	s.mu.Unlock()
	err := s.change(func(p *Progress) {
		p.Current = s.lab.ID()
		l := p.lab(s.lab.Key())
		l.Step, l.Dir = s.lab.Steps[n].Name, s.dir
		if l.Started.IsZero() {
			l.Started = s.cfg.Now()
		}
	})
	if err != nil {
		return err
	}
	return s.writePrompt(n)
}

// enter makes a step the current one, and makes the situation it is about, once.
func (s *Session) enter(ctx context.Context, n int, out io.Writer) error {
	if err := s.choose(n); err != nil {
		return err
	}
	step := &s.lab.Steps[n]
	p, err := s.cfg.Store.Progress()
	if err != nil {
		return err
	}
	if step.Setup == "" || !p.lab(s.lab.Key()).step(step.Name).SetUp.IsZero() {
		return nil
	}
	if err := s.setUp(ctx, step, out); err != nil {
		return err
	}
	return s.update(func(_ *LabProgress, _ *catalog.Step, sp *StepProgress) { sp.SetUp = s.cfg.Now() })
}
