package session

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"wheelhouse/lab-runner/catalog"
	"wheelhouse/lab-runner/environment"
	"wheelhouse/lab-runner/fetch"
	"wheelhouse/lab-runner/script"
)

// Start puts the lab's files in place, creates its namespace, and makes the step of the progress the current one: the
// first if there is none.
func (s *Session) Start(ctx context.Context, out io.Writer) error {
	s.building.Lock()
	defer s.building.Unlock()
	if err := s.prepare(ctx); err != nil {
		return err
	}
	if err := s.cfg.Cluster.MakeNamespace(ctx, s.lab, s.dir); err != nil {
		return err
	}
	n, _, err := s.Step()
	if err != nil {
		return err
	}
	return s.enter(ctx, n, out)
}

// Prepare puts the lab's files in place, unless they are there: what removes a lab's objects needs them.
func (s *Session) Prepare(ctx context.Context) error {
	s.building.Lock()
	defer s.building.Unlock()
	return s.placeFiles(ctx)
}

// prepare puts the lab's files in place, and checks that what its commands need is here.
func (s *Session) prepare(ctx context.Context) error {
	if err := s.placeFiles(ctx); err != nil {
		return err
	}
	env, err := s.environment(ctx)
	if err != nil {
		return err
	}
	return s.cfg.Cluster.CheckNeeds(ctx, s.lab, env)
}

// placeFiles fetches the lab's files unless they are there.
func (s *Session) placeFiles(ctx context.Context) error {
	if _, err := os.Stat(s.dir); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	cfg := environment.Source(s.lab)
	cfg.Dst = s.dir
	return fetch.Fetch(ctx, cfg)
}

func defaultDir(lab *catalog.Lab) (string, error) {
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("no home directory to put the lab in: use --dir (%w)", err)
	}
	name := lab.Place()
	if lab.Foreign {
		name += fmt.Sprintf("-%.3x", sha256.Sum256([]byte(lab.Root())))
	}
	return filepath.Join(home, "wheelhouse-labs", name), nil
}

// Goto builds the state before a step from any state: it removes the lab's objects, puts its files back, and runs the
// solutions of the steps before. The learner's own files are kept in .kept. What is run is printed to out.
func (s *Session) Goto(ctx context.Context, n int, out io.Writer) error {
	s.building.Lock()
	defer s.building.Unlock()
	if err := s.rebuild(ctx, n, out); err != nil {
		return err
	}
	err := s.change(func(p *Progress) {
		l := p.lab(s.lab.Key())
		for i := range s.lab.Steps {
			sp := l.step(s.lab.Steps[i].Name)
			if i < n && sp.Done.IsZero() {
				sp.Done, sp.By = s.cfg.Now(), BySkip
			}
		}
		for i := n; i < len(s.lab.Steps); i++ {
			sp := l.step(s.lab.Steps[i].Name)
			*sp = StepProgress{Hints: sp.Hints}
		}
	})
	if err != nil {
		return err
	}
	return s.enter(ctx, n, out)
}

// Reset builds the state before the current step.
func (s *Session) Reset(ctx context.Context, out io.Writer) error {
	n, _, err := s.Step()
	if err != nil {
		return err
	}
	return s.Goto(ctx, n, out)
}

// Solve does the current step: by its solution as things are, and if that does not do it, from the state before the
// step. The step is noted as solved, not as done by oneself, unless it was done already.
func (s *Session) Solve(ctx context.Context, out io.Writer) error {
	n, step, err := s.Step()
	if err != nil {
		return err
	}
	p, err := s.cfg.Store.Progress()
	if err != nil {
		return err
	}
	before := p.lab(s.lab.Key()).step(step.Name).Done // a Watch notes what it sees meanwhile
	s.building.Lock()
	results, err := s.solve(ctx, n, out)
	s.building.Unlock()
	if err != nil {
		return err
	}
	return s.update(func(_ *LabProgress, current *catalog.Step, sp *StepProgress) {
		if current.Name != step.Name {
			return
		}
		for i, q := range step.Quiz {
			sp.Answers[i] = q.Right
		}
		sp.record(step, results, false, s.cfg.Now())
		if before.IsZero() && !sp.Done.IsZero() {
			sp.By = BySolve
		}
	})
}

// solve returns results that are all met. s.building is held.
func (s *Session) solve(ctx context.Context, n int, out io.Writer) ([]Result, error) {
	step := &s.lab.Steps[n]
	if len(step.Checks) == 0 && len(step.Solution()) == 0 {
		return nil, nil
	}
	// As things are, some commands may fail: what they make is there already. Then there is less to wait for.
	asIs, started := true, time.Now()
	for _, item := range step.Solution() {
		wrong, err := s.runOne(ctx, item, out)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if asIs = asIs && err == nil && wrong == ""; err != nil { // it did not end: what it waits for is not there
			break
		}
	}
	results, err := s.evaluate(ctx, n, solvePatience(s.cfg.Patience, asIs, time.Since(started)))
	if err != nil || met(results) {
		return results, errors.Join(err, s.keepVariables(ctx))
	}
	fmt.Fprintf(out, "# That was not enough as things are. The step is begun again, from the state before it.\n")
	if err := s.rebuild(ctx, n, out); err != nil {
		return nil, err
	}
	if err := s.setUp(ctx, step, out); err != nil {
		return nil, err
	}
	if err := s.runAll(ctx, step.Solution(), out); err != nil {
		return nil, err
	}
	if results, err = s.evaluate(ctx, n, s.cfg.Patience); err != nil {
		return nil, err
	}
	for _, r := range results {
		if !r.OK {
			return nil, fmt.Errorf("the step %s is not solved by its solution: %s", step.Name, r)
		}
	}
	return results, s.keepVariables(ctx)
}

// solvePatience returns how long the checks are waited for after a solution was run as things are: a quarter of the
// patience, and less if a command failed, as then it may be in vain: the time that the commands took, which is longer on a
// busy machine, and at least a fifteenth.
func solvePatience(patience time.Duration, asIs bool, took time.Duration) time.Duration {
	if asIs {
		return patience / 4
	}
	return min(max(patience/15, took), patience/4)
}

// rebuild makes the state before a step, in the cluster and in the files. It changes nothing in the progress.
func (s *Session) rebuild(ctx context.Context, n int, out io.Writer) error {
	s.closeShell()
	if err := s.placeFiles(ctx); err != nil {
		return err
	}
	env, err := s.environment(ctx)
	if err != nil {
		return err
	}
	endProcesses(s.dir)
	info := func(format string, args ...any) { fmt.Fprintf(out, "# "+format+"\n", args...) }
	if err := s.cfg.Cluster.Clean(ctx, s.lab, s.dir, env, info); err != nil {
		return err
	}
	if err := s.restoreFiles(ctx); err != nil {
		return err
	}
	if err := s.cfg.Cluster.MakeNamespace(ctx, s.lab, s.dir); err != nil {
		return err
	}
	for i := range n {
		step := &s.lab.Steps[i]
		fmt.Fprintf(out, "# %s\n", step.Title)
		if err := s.setUp(ctx, step, out); err != nil {
			return err
		}
		if err := s.runAll(ctx, needed(step.Solution()), out); err != nil {
			return err
		}
		// A check waits for what the next step's commands rely on.
		results, err := s.evaluate(ctx, i, s.cfg.Patience)
		if err != nil {
			return err
		}
		for _, r := range results {
			if !r.OK && r.Kind == script.Check {
				return fmt.Errorf("step %s: %s", step.Name, r)
			}
		}
	}
	return s.keepVariables(ctx)
}

// onlyShows are commands that change nothing: they are left out on the way to a step.
var onlyShows = regexp.MustCompile(`^(kubectl (get|describe|logs|cluster-info|top|rollout history)|cat|ls|docker (ps|images|logs|inspect)) [^>&;|$]*$`)

// needed returns the commands without those that only show something.
func needed(items []script.Item) []script.Item {
	var out []script.Item
	for _, item := range items {
		if !item.Interrupt && (item.Fails || !onlyShows.MatchString(item.Text)) {
			out = append(out, item)
		}
	}
	return out
}

// restoreFiles puts the lab's files as they were. Other files are moved to .kept, where those of the time before are
// removed.
func (s *Session) restoreFiles(ctx context.Context) error {
	kept := filepath.Join(s.dir, ".kept")
	if err := os.RemoveAll(kept); err != nil {
		return err
	}
	if err := os.Mkdir(kept, 0o755); err != nil {
		return err
	}
	fresh := filepath.Join(s.dir, ".fresh")
	if err := os.RemoveAll(fresh); err != nil {
		return err
	}
	cfg := environment.Source(s.lab)
	cfg.Dst = fresh
	if err := fetch.Fetch(ctx, cfg); err != nil {
		return err
	}
	for _, way := range [][2]string{{s.dir, kept}, {fresh, s.dir}} {
		entries, err := os.ReadDir(way[0])
		if err != nil {
			return err
		}
		for _, e := range entries {
			if strings.HasPrefix(e.Name(), ".") && way[0] == s.dir {
				continue
			}
			if err := os.Rename(filepath.Join(way[0], e.Name()), filepath.Join(way[1], e.Name())); err != nil {
				return fmt.Errorf("restoring the lab's files: %w", err)
			}
		}
	}
	return os.RemoveAll(fresh)
}

// setUp makes the situation that the step is about.
func (s *Session) setUp(ctx context.Context, step *catalog.Step, out io.Writer) error {
	if step.Setup == "" {
		return nil
	}
	// What is wrong is for the learner to find: it is not shown.
	if err := s.runAll(ctx, []script.Item{{Kind: script.Command, Line: step.Line, Text: step.Setup}}, io.Discard); err != nil {
		return fmt.Errorf("setting up step %s: %w", step.Name, err)
	}
	fmt.Fprintf(out, "# The situation of this step was set up.\n")
	return nil
}

// runAll runs commands in the session's bash. One with the wrong exit status is an error.
func (s *Session) runAll(ctx context.Context, items []script.Item, out io.Writer) error {
	for _, item := range items {
		wrong, err := s.runOne(ctx, item, out)
		if err != nil {
			return err
		}
		if wrong != "" {
			return errors.New(wrong)
		}
	}
	return nil
}

// runOne runs a command in the session's bash, and returns what is wrong with its exit status, or "".
func (s *Session) runOne(ctx context.Context, item script.Item, out io.Writer) (wrong string, err error) {
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	shell, err := s.openShell(ctx)
	if err != nil {
		return "", err
	}
	item.Text = s.cfg.Cluster.Slow.Command(item.Text)
	fmt.Fprintf(out, "$ %s\n", strings.ReplaceAll(strings.TrimRight(item.Text, "\n"), "\n", "\n> "))
	limit := s.cfg.Cluster.Slow.Wait(3 * time.Minute)
	one, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("%v have passed", limit))
	defer cancel()
	var said bytes.Buffer
	status, err := shell.Run(one, item, io.MultiWriter(out, &said))
	if err != nil {
		s.closeShell()
		return "", fmt.Errorf("`%s`: %w", item.Text, err)
	}
	if (status != 0) != item.Fails {
		return fmt.Sprintf("`%s` ends with exit status %d: %s", item.Text, status, strings.TrimSpace(said.String())), nil
	}
	return "", nil
}
