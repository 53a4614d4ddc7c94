package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"wheelhouse/lab-runner/catalog"
	"wheelhouse/lab-runner/script"
	"wheelhouse/lab-runner/steps"
)

// Parts of what is proved of a step.
const (
	PartBefore = "not done before"       // no check of it holds before the step
	PartText   = "done by the text"      // its commands, and its solution if it has one, make all checks hold
	PartBreak  = "a break is noticed"    // after its break a check does not hold
	PartSolve  = "solve mends it"        // as Session.Solve does
	PartReset  = "reset undoes the step" // the state before it is built as Session.Reset does; no check holds, and the solution does the step
)

// Finding is what was found of one part of a step.
type Finding struct {
	Step       string
	Part       string
	Detail     string // why it is not so; empty: it is
	NotReached bool   // a step before failed
	Took       time.Duration
}

// Prove tests the lab itself, its first steps or all if steps is 0, and calls found for each part of each. It goes through them twice from the state
// before the first: by their texts, with their breaks, and by their solutions alone, as Goto does. It removes what the lab
// has left before, and the caller removes what it leaves (Clean). It changes no progress. The error is one that prevented
// the test; a fault of the lab is a Finding.
func (s *Session) Prove(ctx context.Context, steps int, out io.Writer, found func(Finding)) error {
	s.building.Lock()
	defer s.building.Unlock()
	if err := s.prepare(ctx); err != nil {
		return err
	}
	if err := s.rebuild(ctx, 0, out); err != nil {
		return err
	}
	p := prover{Session: s, out: out, found: found}
	if steps == 0 {
		steps = len(s.lab.Steps)
	}
	reached := 0
	for reached < steps && p.byText(ctx, reached) {
		reached++
	}
	for n := reached + 1; n < steps && ctx.Err() == nil; n++ {
		found(Finding{Step: s.lab.Steps[n].Name, Part: PartText, NotReached: true})
	}
	if ctx.Err() == nil {
		if err := s.rebuild(ctx, 0, out); err != nil {
			return err
		}
		p.bySolutions(ctx, reached)
	}
	return context.Cause(ctx)
}

// prover is one test of a lab. s.building is held.
type prover struct {
	*Session
	out    io.Writer
	found  func(Finding)
	broken bool // a break has been run since the state was built
}

// part proves one part of a step.
func (p *prover) part(ctx context.Context, n int, name string, prove func(context.Context, int, io.Writer) error) Finding {
	started, step := time.Now(), p.lab.Steps[n].Name
	fmt.Fprintf(p.out, "# %s: %s\n", step, name)
	err := prove(ctx, n, p.out)
	f := Finding{Step: step, Part: name, Took: time.Since(started)}
	if err != nil {
		f.Detail = err.Error()
	}
	return f
}

// report reports findings, unless the test was ended.
func (p *prover) report(ctx context.Context, findings ...Finding) {
	for _, f := range findings {
		if ctx.Err() == nil {
			p.found(f)
		}
	}
}

// byText goes through a step by its text, and breaks and solves it. It reports whether the state after the step was
// reached. What the breaks of the steps before have left is no fault of this one: then it is proved from a state that is
// built again.
func (p *prover) byText(ctx context.Context, n int) bool {
	step := &p.lab.Steps[n]
	through := func() (before, text Finding) {
		return p.part(ctx, n, PartBefore, p.notBefore), p.part(ctx, n, PartText, p.doText)
	}
	before, text := through()
	if before.Detail+text.Detail != "" && p.broken && ctx.Err() == nil {
		p.broken = false
		if err := p.rebuild(ctx, n, p.out); err != nil {
			text.Detail = err.Error()
		} else {
			before, text = through()
		}
	}
	p.report(ctx, before, text)
	if text.Detail != "" || ctx.Err() != nil {
		return false
	}
	if !proved(step) {
		return true // before and after look the same
	}
	p.broken = true
	p.report(ctx, p.part(ctx, n, PartBreak, p.breaks))
	p.report(ctx, p.part(ctx, n, PartSolve, func(ctx context.Context, n int, out io.Writer) error {
		_, err := p.solve(ctx, n, out)
		return err
	}))
	return true
}

// bySolutions goes through the first steps by their solutions, from nothing. That is how the state before each of them is
// built: none of its checks holds there, and its solution does it.
func (p *prover) bySolutions(ctx context.Context, steps int) {
	for n, reached := 0, true; n < steps && ctx.Err() == nil; n++ {
		f := Finding{Step: p.lab.Steps[n].Name, Part: PartReset, NotReached: !reached}
		if reached {
			f = p.part(ctx, n, PartReset, func(ctx context.Context, n int, out io.Writer) error {
				if err := p.notBefore(ctx, n, out); err != nil {
					return err
				}
				if err := p.runAll(ctx, needed(p.lab.Steps[n].Solution()), out); err != nil {
					return err
				}
				return p.holds(ctx, n)
			})
			reached = f.Detail == ""
		}
		if proved(&p.lab.Steps[n]) || f.Detail != "" {
			p.report(ctx, f)
		}
	}
}

// proved reports whether the state after a step differs from that before.
func proved(step *catalog.Step) bool { return step.Break != "" || differs(step) }

// notBefore makes the situation of a step, and returns an error if a check of it holds already.
func (p *prover) notBefore(ctx context.Context, n int, out io.Writer) error {
	return errors.Join(p.setUp(ctx, &p.lab.Steps[n], out), p.notYet(ctx, n))
}

// differs reports whether a check distinguishes the state before the step from that after it.
func differs(step *catalog.Step) bool {
	return slices.ContainsFunc(step.Checks, func(c script.Item) bool { return c.Kind == script.Check })
}

// notYet returns an error if a check holds that must not before the step.
func (s *Session) notYet(ctx context.Context, n int) error {
	results, err := s.look(ctx, n, 0, nil)
	if err != nil {
		return err
	}
	for _, r := range results {
		if r.OK && r.Kind == script.Check {
			err = errors.Join(err, fmt.Errorf("%s before the step: a check that shows nothing new is 'holds:'", r))
		}
	}
	return err
}

// doText runs all commands of the text, then the solution that is not in it, and waits for the checks.
func (s *Session) doText(ctx context.Context, n int, out io.Writer) error {
	step := &s.lab.Steps[n]
	items := step.Commands
	if step.Solve != "" {
		items = slices.Concat(items, step.Solution())
	}
	if err := s.runAll(ctx, items, out); err != nil {
		return err
	}
	return s.holds(ctx, n)
}

// holds waits until all checks of the step hold.
func (s *Session) holds(ctx context.Context, n int) error {
	results, err := s.look(ctx, n, s.cfg.Patience, nil)
	for _, r := range results {
		if !r.OK {
			err = errors.Join(err, errors.New(r.String()))
		}
	}
	return errors.Join(err, s.keepVariables(ctx))
}

// breaks runs the step's break, and waits until a check does not hold.
func (s *Session) breaks(ctx context.Context, n int, out io.Writer) error {
	step := &s.lab.Steps[n]
	if step.Break == "" {
		return errors.New("the step has checks and no 'break:'")
	}
	if err := s.runAll(ctx, []script.Item{{Kind: script.Command, Line: step.Line, Text: step.Break}}, out); err != nil {
		return err
	}
	known, looks := map[string]bool{}, false
	for _, c := range step.Checks {
		known[c.Text] = true
		scenario, _ := s.lab.Scenario(c.Text)
		looks = looks || slices.ContainsFunc(scenario.Steps, func(t catalog.Sentence) bool { return !steps.Changes(t.Text) })
	}
	until := time.Now().Add(s.cfg.Cluster.Slow.Wait(s.cfg.Patience))
	for looks && time.Now().Before(until) {
		if results, err := s.look(ctx, n, 0, known); err != nil || !met(results) {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(150 * time.Millisecond):
		}
	}
	// What changes something is evaluated once, at the end.
	results, err := s.look(ctx, n, 0, nil)
	if err != nil || !met(results) {
		return err
	}
	return fmt.Errorf("after `%s` all checks of the step still hold", strings.TrimSpace(step.Break))
}

// Clean removes the lab's objects and its namespace, if it was started.
func (s *Session) Clean(ctx context.Context, out io.Writer) error {
	s.building.Lock()
	defer s.building.Unlock()
	s.closeShell()
	endProcesses(s.dir)
	env, err := s.environment(ctx)
	if errors.Is(err, ErrNotStarted) {
		return nil
	}
	if err != nil {
		return err
	}
	return s.cfg.Cluster.Clean(ctx, s.lab, s.dir, env, func(format string, args ...any) { fmt.Fprintf(out, "# "+format+"\n", args...) })
}
