package runner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"wheelhouse/lab-runner/catalog"
	"wheelhouse/lab-runner/environment"
	"wheelhouse/lab-runner/fetch"
	"wheelhouse/lab-runner/report"
)

// startLab sets a lab up in dir for a learner, and prints its text.
func startLab(ctx context.Context, c *environment.Cluster, lab *catalog.Lab, dir string, out io.Writer) error {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		cfg := environment.Source(lab)
		cfg.Dst = dir
		if err := fetch.Fetch(ctx, cfg); err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	env, err := c.Environment(ctx, lab, dir)
	if err != nil {
		return err
	}
	if err := environment.CheckNeeds(ctx, lab, env, c.Slow); err != nil {
		return err
	}
	if err := c.MakeNamespace(ctx, lab); err != nil {
		return err
	}
	text, err := os.ReadFile(lab.TextFile)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s\n", text)
	fmt.Fprintf(out, "----\nThe lab's files are in %s, its objects go to namespace %s. In a shell of your own:\n\n", dir, lab.Namespace)
	fmt.Fprintf(out, "  cd %s\n", dir)
	for _, v := range env[:5] {
		fmt.Fprintf(out, "  export %s\n", v)
	}
	fmt.Fprintf(out, "\nContinue with the first command above; 'lab check %s' checks your progress.\n", lab.Name)
	return nil
}

// checkLab runs every check of a lab that is done by hand. A check that passed once stays
// done: later steps change the objects of earlier ones.
func checkLab(ctx context.Context, c *environment.Cluster, lab *catalog.Lab, dir string, rep *report.Report, patience time.Duration) error {
	if _, err := os.Stat(dir); err != nil {
		return fmt.Errorf("the lab is not started: 'lab start %s' does it (%w)", lab.Name, err)
	}
	env, err := c.Environment(ctx, lab, dir)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, ".done.json")
	done := map[string]time.Time{}
	if text, err := os.ReadFile(path); err == nil {
		if err := json.Unmarshal(text, &done); err != nil {
			return fmt.Errorf("%s: %w; remove it to start over", path, err)
		}
	}
	rep.Lab(lab.Name, lab.Title)
	w := c.World(lab, dir, env, patience)
	w.OnWait = rep.Waiting
	for _, s := range lab.Scenarios {
		res := check(ctx, lab, s, w)
		at, before := done[s.Name]
		switch {
		case res.Outcome == report.Passed:
			done[s.Name] = time.Now()
		case before:
			res.Outcome = report.Passed
			res.Name += fmt.Sprintf(" (done at %s)", at.Format("15:04"))
		}
		rep.Add(res)
	}
	text, err := json.Marshal(done)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, text, 0o644); err != nil {
		return err
	}
	return rep.Summary()
}
