//go:build !quick

package main

import (
	"os"
	"os/exec"
	"testing"
)

// The program is for learners' own machines: it compiles for each of them, without a C compiler. Nothing is linked.
func TestCompilesEverywhere(t *testing.T) {
	for _, system := range []string{"linux", "darwin", "windows"} {
		for _, arch := range []string{"amd64", "arm64"} {
			cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "wheelhouse/lab-runner/cmd/lab", "wheelhouse/lab-runner/runner")
			cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+system, "GOARCH="+arch)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%s/%s: %v\n%s", system, arch, err, out)
			}
		}
	}
}
