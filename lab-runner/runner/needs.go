package runner

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"wheelhouse/lab-runner/catalog"
	"wheelhouse/lab-runner/report"
	"wheelhouse/lab-runner/steps"
)

// checkNeeds returns an error that names a program which the lab needs and which is missing
// here. docker is missing unless its engine answers.
func checkNeeds(ctx context.Context, lab *catalog.Lab, env []string, slow steps.Slow) error {
	for _, need := range lab.Needs {
		path := find(need, env)
		if path == "" {
			return fmt.Errorf("lab %s needs %s, which is not on the PATH: install it, or leave this lab out", lab.Name, need)
		}
		if need != "docker" {
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, slow.Wait(10*time.Second))
		defer cancel()
		cmd := exec.CommandContext(ctx, path, "version", "--format", "{{.Server.Version}}")
		cmd.Env = env
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("lab %s needs a Docker Engine, and none answers here: %w: %s", lab.Name, err, strings.TrimSpace(string(out)))
		}
	}
	return nil
}

// find returns the path of a program on env's PATH, or "".
func find(program string, env []string) string {
	for _, v := range env {
		list, ok := strings.CutPrefix(v, "PATH=")
		if !ok {
			continue
		}
		for _, dir := range filepath.SplitList(list) {
			path := filepath.Join(dir, program)
			if info, err := os.Stat(path); err == nil && !info.IsDir() && info.Mode()&0o111 != 0 {
				return path
			}
		}
	}
	return ""
}

// notReached reports a lab that could not start: a failure, and all its checks not reached.
func notReached(lab *catalog.Lab, why error, rep *report.Report) {
	rep.Add(report.Result{Lab: lab.Name, Name: "what the lab needs is there", Outcome: report.Failed, Detail: why.Error()})
	for _, s := range lab.Scenarios {
		rep.Add(report.Result{Lab: lab.Name, Name: s.Name, Tags: s.Tags, Outcome: report.NotReached})
	}
}
