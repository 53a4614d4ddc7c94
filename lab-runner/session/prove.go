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
	PartReset  = "reset undoes the step" // as Session.Reset does; then the solution does the step again
)

// Finding is what was found of one part of a step.
type Finding struct {
	Step       string
	Part       string
	Detail     string // why it is not so; empty: it is
	NotReached bool   // a step before failed
	Took       time.Duration
}

// Prove tests the lab itself: from the state before the first step it goes through all steps, and calls found for each
// part of each. It removes what the lab has left before, and the caller removes what it leaves (Clean). It changes no
// progress. The error is one that prevented the test; a fault of the lab is a Finding.
func (s *Session) Prove(ctx context.Context, out io.Writer, found func(Finding)) error {
	s.building.Lock()
	defer s.building.Unlock()
	if err := s.prepare(ctx); err != nil {
		return err
	}
	if err := s.rebuild(ctx, 0, out); err != nil {
		return err
	}
	reached := true
	for n := range s.lab.Steps {
		if !reached {
			found(Finding{Step: s.lab.Steps[n].Name, Part: PartText, NotReached: true})
			continue
		}
		reached = s.proveStep(ctx, n, out, found)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	return nil
}

// proveStep reports whether the state after the step was reached.
func (s *Session) proveStep(ctx context.Context, n int, out io.Writer, found func(Finding)) bool {
	step := &s.lab.Steps[n]
	part := func(name string, prove func(context.Context, int, io.Writer) error) bool {
		started := time.Now()
		fmt.Fprintf(out, "# %s: %s\n", step.Name, name)
		err := prove(ctx, n, out)
		f := Finding{Step: step.Name, Part: name, Took: time.Since(started)}
		if err != nil {
			f.Detail = err.Error()
		}
		if ctx.Err() == nil {
			found(f)
		}
		return err == nil
	}
	part(PartBefore, func(ctx context.Context, n int, out io.Writer) error {
		return errors.Join(s.setUp(ctx, step, out), s.notYet(ctx, n))
	})
	if !part(PartText, s.byText) {
		return false
	}
	if step.Break == "" && !differs(step) {
		return true // before and after look the same
	}
	part(PartBreak, s.broken)
	part(PartSolve, func(ctx context.Context, n int, out io.Writer) error {
		_, err := s.solve(ctx, n, out)
		return err
	})
	return part(PartReset, s.undone)
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

// byText runs all commands of the text, then the solution that is not in it, and waits for the checks.
func (s *Session) byText(ctx context.Context, n int, out io.Writer) error {
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

// broken runs the step's break, and waits until a check does not hold.
func (s *Session) broken(ctx context.Context, n int, out io.Writer) error {
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

// undone resets the step, and does it again.
func (s *Session) undone(ctx context.Context, n int, out io.Writer) error {
	step := &s.lab.Steps[n]
	if err := s.rebuild(ctx, n, out); err != nil {
		return err
	}
	if err := errors.Join(s.setUp(ctx, step, out), s.notYet(ctx, n)); err != nil {
		return err
	}
	if err := s.runAll(ctx, step.Solution(), out); err != nil {
		return err
	}
	return s.holds(ctx, n)
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
