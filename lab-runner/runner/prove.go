package runner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"wheelhouse/lab-runner/catalog"
	"wheelhouse/lab-runner/environment"
	"wheelhouse/lab-runner/report"
	"wheelhouse/lab-runner/session"
)

// tester is `lab test`.
type tester struct {
	*settings
	patience time.Duration
	parallel int
	verbose  bool
	steps    map[string]int // how many of a lab's, by its ID; without an entry all
	cluster  *environment.Cluster
	rep      *report.Report
	printing sync.Mutex // of one lab's results after the other, if several are tested at once
}

func (s *settings) test() *cobra.Command {
	t := &tester{settings: s}
	c := &cobra.Command{
		Use: "test [LAB[/STEP]...]", Short: "test labs themselves, step by step (all labs if none is named)",
		Long: "Test goes through the steps of each lab. Of each step it proves that its checks do not hold before it, that the commands\n" +
			"of its text make them hold, that they notice its 'break:', that 'lab solve' mends it, and that 'lab reset' brings back the\n" +
			"state before. What the lab has in the cluster is removed, before and after. Of LAB/STEP the steps up to that one are tested.",
		RunE: func(c *cobra.Command, names []string) error {
			labs, err := t.pickSteps(names)
			if err != nil {
				return err
			}
			if t.parallel < 1 || t.parallel > 64 {
				return fmt.Errorf("--parallel %d: want a number from 1 to 64", t.parallel)
			}
			if t.cluster, err = s.connect(c.Context(), labs...); err != nil {
				return err
			}
			t.rep = report.New(c.OutOrStdout())
			t.all(c.Context(), labs)
			return errors.Join(context.Cause(c.Context()), t.rep.Summary())
		},
	}
	c.Flags().DurationVar(&t.patience, "patience", time.Minute, "how long a check waits for its condition")
	c.Flags().IntVar(&t.parallel, "parallel", 1, "test N labs at once; those that need more than their namespace are tested one by one")
	c.Flags().BoolVar(&t.verbose, "verbose", false, "print the commands and their output, unless the lab is tested beside others")
	return c
}

// pickSteps returns the named labs, and notes how many steps of them are named.
func (t *tester) pickSteps(names []string) ([]*catalog.Lab, error) {
	labs, err := t.pick(nil)
	if err != nil || len(names) == 0 {
		return labs, err
	}
	var out []*catalog.Lab
	t.steps = map[string]int{}
	for _, name := range names {
		lab, step, err := catalog.Find(labs, name)
		if err != nil {
			return nil, err
		}
		out = append(out, lab)
		t.steps[lab.ID()] = step + 1
	}
	return out, nil
}

// all tests the labs that need nothing beyond their namespace side by side, then the others.
func (t *tester) all(ctx context.Context, labs []*catalog.Lab) {
	alone := func(l *catalog.Lab) bool { return t.parallel == 1 || l.Alone() }
	var wg sync.WaitGroup
	free := make(chan struct{}, t.parallel)
	for _, l := range labs {
		if alone(l) {
			continue
		}
		free <- struct{}{}
		wg.Go(func() {
			t.one(ctx, l, false)
			<-free
		})
	}
	wg.Wait()
	for _, l := range labs {
		if alone(l) {
			t.one(ctx, l, true)
		}
	}
}

// one tests one lab in a directory of its own. An error that prevents the test is a failure of the lab. live: each
// result is printed as it comes, else all at the end.
func (t *tester) one(ctx context.Context, lab *catalog.Lab, live bool) {
	if ctx.Err() != nil {
		return
	}
	out, add, end := io.Discard, t.rep.Add, func() {}
	if live {
		t.rep.Lab(lab.ID(), lab.Title)
		if t.verbose {
			out = t.rep
		}
	} else {
		var results []report.Result
		add = func(r report.Result) { results = append(results, r) }
		end = func() {
			t.printing.Lock()
			defer t.printing.Unlock()
			t.rep.Lab(lab.ID(), lab.Title)
			for _, r := range results {
				t.rep.Add(r)
			}
		}
	}
	defer end()
	started := time.Now()
	if err := t.prove(ctx, lab, out, add); err != nil {
		add(report.Result{Lab: lab.ID(), Name: "the lab can be tested", Outcome: report.Failed, Detail: err.Error(), Took: time.Since(started)})
	}
}

func (t *tester) prove(ctx context.Context, lab *catalog.Lab, out io.Writer, add func(report.Result)) (err error) {
	dir, err := os.MkdirTemp("", "lab-"+lab.Name+"-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s, err := session.Open(session.Config{
		Lab: lab, Cluster: t.cluster, Patience: t.patience, Dir: filepath.Join(dir, lab.Name),
		Store: session.NewStore(filepath.Join(dir, "progress.json"), nil),
	})
	if err != nil {
		return err
	}
	defer s.Close()
	defer func() { err = errors.Join(err, s.Clean(context.WithoutCancel(ctx), out)) }()
	return s.Prove(ctx, t.steps[lab.ID()], out, func(f session.Finding) {
		r := report.Result{Lab: lab.ID(), Name: f.Step + ": " + f.Part, Detail: f.Detail, Took: f.Took}
		switch {
		case f.NotReached:
			r.Outcome = report.NotReached
		case f.Detail != "":
			r.Outcome = report.Failed
		}
		add(r)
	})
}
