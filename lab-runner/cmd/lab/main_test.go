//go:build !quick

package main

import (
	"os"
	"os/exec"
	"testing"
)

// The program is for learners' own machines: it compiles for each of them, without a C compiler. It is linked for
// one processor of each system; `go build` of a program links it, whether or not the result is kept.
func TestCompilesEverywhere(t *testing.T) {
	compile := []string{"list", "-trimpath", "-export", "-f", "{{.Export}}"}
	link := []string{"build", "-trimpath", "-ldflags", "-s -w"}
	for _, system := range []string{"linux", "darwin", "windows"} {
		for arch, args := range map[string][]string{"amd64": compile, "arm64": link} {
			cmd := exec.CommandContext(t.Context(), "go", append(args, "wheelhouse/lab-runner/cmd/lab", "wheelhouse/lab-runner/runner")...)
			cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+system, "GOARCH="+arch)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%s/%s: %v\n%s", system, arch, err, out)
			}
		}
	}
}
