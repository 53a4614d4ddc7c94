package runner

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"wheelhouse/lab-runner/catalog"
	"wheelhouse/lab-runner/environment"
	"wheelhouse/lab-runner/fetch"
	"wheelhouse/lab-runner/report"
	"wheelhouse/lab-runner/script"
	"wheelhouse/lab-runner/steps"
)

// runLab runs one lab in a directory and a namespace of its own. Failures of the lab go to
// the report; the error is one that prevented the run.
func runLab(ctx context.Context, c *environment.Cluster, lab *catalog.Lab, rep *report.Report, patience time.Duration, keep bool) (err error) {
	rep.Lab(lab.Name, lab.Title)
	dir, err := os.MkdirTemp("", "lab-"+lab.Name+"-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	files := filepath.Join(dir, lab.Name)
	cfg := environment.Source(lab)
	cfg.Dst = files
	if err := fetch.Fetch(ctx, cfg); err != nil {
		return err
	}
	env, err := c.Environment(ctx, lab, dir)
	if err != nil {
		return err
	}
	if err := c.CheckNeeds(ctx, lab, env); err != nil {
		notReached(lab, err, rep)
		return nil
	}
	// Objects of an earlier run must not affect this one.
	if err := c.Clean(ctx, lab, files, env, rep.Info); err != nil {
		return err
	}
	if err := c.MakeNamespace(ctx, lab, dir); err != nil {
		return err
	}
	if !keep {
		defer func() {
			err = errors.Join(err, c.Clean(context.WithoutCancel(ctx), lab, files, env, rep.Info))
		}()
	}
	shell, err := script.Start(ctx, files, env)
	if err != nil {
		return err
	}
	shell.Quiet = c.Slow.Wait(shell.Quiet)
	defer shell.Close()
	w := c.World(lab, files, env, patience)
	w.OnWait = rep.Waiting
	return follow(ctx, lab, shell, w, rep)
}

// follow runs the items of the text in order. After a command with the wrong exit status the
// remaining commands are skipped, and the remaining checks are not reached.
func follow(ctx context.Context, lab *catalog.Lab, shell *script.Shell, w *steps.World, rep *report.Report) error {
	broken := false
	for _, item := range lab.Text {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		scenario, _ := lab.Scenario(item.Text)
		checks := item.Kind == script.Check || item.Kind == script.Holds
		switch {
		case checks && broken:
			rep.Add(report.Result{Lab: lab.Name, Name: scenario.Name, Tags: scenario.Tags, Outcome: report.NotReached})
		case checks:
			rep.Add(check(ctx, lab, scenario, w))
		case broken:
		case item.Kind == script.Heading:
			rep.Heading(item.Text)
		case item.Kind == script.Command:
			if failure := command(ctx, shell, item, w.Slow, rep); failure != "" {
				broken = true
				rep.Add(report.Result{Lab: lab.Name, Name: fmt.Sprintf("text.md line %d", item.Line), Outcome: report.Failed, Detail: failure})
			}
		}
	}
	return nil
}

// command runs one command and returns its failure, or "".
func command(ctx context.Context, shell *script.Shell, item script.Item, slow steps.Slow, rep *report.Report) string {
	item.Text = slow.Command(item.Text)
	rep.Command(item.Text)
	ctx, cancel := withLimit(ctx, slow)
	defer cancel()
	var out bytes.Buffer
	status, err := shell.Run(ctx, item, io.MultiWriter(rep, &out))
	wanted := "success"
	if item.Fails {
		wanted = "an error"
	}
	switch {
	case err != nil:
		return fmt.Sprintf("wanted: `%s` to end with %s\nseen:   %v", item.Text, wanted, err)
	case (status != 0) != item.Fails:
		return fmt.Sprintf("wanted: `%s` to end with %s\nseen:   exit status %d: %s\ntry:    run it by hand; 'lab start' sets the lab up for that", item.Text, wanted, status, strings.TrimSpace(out.String()))
	}
	return ""
}

// check runs one scenario.
func check(ctx context.Context, lab *catalog.Lab, s catalog.Scenario, w *steps.World) report.Result {
	res := report.Result{Lab: lab.Name, Name: s.Name, Tags: s.Tags}
	started := time.Now()
	for _, step := range s.Steps {
		if err := w.Run(ctx, step.Text, step.Doc); err != nil {
			res.Outcome, res.Detail = report.Failed, fmt.Sprintf("step:   %s\n%v", step.Text, err)
			break
		}
	}
	res.Took = time.Since(started)
	if len(s.Steps) == 0 { // the catalog refuses it
		res.Outcome, res.Detail = report.Failed, "no step was run, so nothing was checked"
	}
	return res
}

// notReached reports a lab that could not start: a failure, and all its checks not reached.
func notReached(lab *catalog.Lab, why error, rep *report.Report) {
	rep.Add(report.Result{Lab: lab.Name, Name: "what the lab needs is there", Outcome: report.Failed, Detail: why.Error()})
	for _, s := range lab.Scenarios {
		rep.Add(report.Result{Lab: lab.Name, Name: s.Name, Tags: s.Tags, Outcome: report.NotReached})
	}
}

// withLimit bounds the duration of one command of a text.
func withLimit(ctx context.Context, slow steps.Slow) (context.Context, context.CancelFunc) {
	limit := slow.Wait(3 * time.Minute)
	return context.WithTimeoutCause(ctx, limit, fmt.Errorf("%v have passed", limit))
}
