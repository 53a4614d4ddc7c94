//go:build !quick

package features_test

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"wheelhouse/cluster/wait"
)

// TestClassInTheBrowser drives the pages of a class on a real cluster in headless Chromium: a lab from its first step to the last by
// clicks, in a real workbench, with the board beside it (lab-runner/classroom/web/test/cluster.test.mjs). Server and browser run in the
// master's network namespace: Chromium breaks off its requests when an interface of its namespace comes or goes, as in the machine's.
func TestClassInTheBrowser(t *testing.T) {
	t.Parallel()
	dockerInUse.RLock()
	t.Cleanup(dockerInUse.RUnlock)
	c := bringUp(t, "page", 1, "--class")
	inside := func(ctx context.Context, args ...string) *exec.Cmd {
		return exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", "wh-" + c.name + "-master"}, args...)...)
	}
	var printed wait.Output
	serve := inside(t.Context(), c.program, "classroom", "serve", "--name", c.name, "--listen", "127.0.0.1:8443", "--host", "127.0.0.1", "--labs", "drills/no-endpoints", "--learners", "2")
	serve.Dir, serve.Stdout, serve.Stderr = "..", &printed, &printed
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = serve.Process.Kill()
		_ = serve.Wait()
		if t.Failed() {
			t.Logf("the class has printed:\n%s", printed.String())
		}
	})
	said := map[string]string{}
	wait.Within(t, 2*time.Minute, "the class is served", func() error {
		for line := range strings.Lines(printed.String()) {
			if label, value, ok := strings.Cut(line, ": "); ok {
				said[label] = strings.TrimSpace(value)
			}
		}
		return wait.Seen(said["authority"] != "", printed.String())
	})
	password, _, _ := strings.Cut(said["password"], " ")
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	node := inside(ctx, "node", "--test", "test/cluster.test.mjs")
	node.Dir = "../lab-runner/classroom/web"
	node.Env = append(os.Environ(), "PAGE="+said["learners"], "CODE="+said["room code"], "PASSWORD="+password)
	if out, err := node.CombinedOutput(); err != nil {
		t.Errorf("node --test: %v\n%s", err, out)
	}
}
