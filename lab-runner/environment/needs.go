package environment

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"wheelhouse/lab-runner/catalog"
	"wheelhouse/lab-runner/steps"
)

// CheckNeeds returns an error that names a program which the lab needs and which is missing
// here. docker is missing unless its engine answers.
func CheckNeeds(ctx context.Context, lab *catalog.Lab, env []string, slow steps.Slow) error {
	needs := lab.Needs
	if lab.Has("docker") {
		needs = append(slices.Clone(needs), "docker")
	}
	for _, need := range needs {
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
