//go:build !quick

package web

import (
	"context"
	"flag"
	"net/http/httptest"
	"os"
	"os/exec"
	"testing"
	"time"
)

var only = flag.String("pages", "", "drives only those tests of the pages whose name matches this pattern")

// TestPages drives the built pages in headless Chromium by Playwright (test/all.test.mjs), against the stub. It builds
// them if they are not built, and serves dist as it then is.
// WHEELHOUSE_PICTURES is a directory for pictures of the pages; without it none are taken.
func TestPages(t *testing.T) {
	server := httptest.NewServer(newStub(t).handler())
	defer server.Close()
	drive(t, "test/all.test.mjs", "PAGE="+server.URL+prefix, "CODE="+roomCode)
}

func drive(t *testing.T, tests string, env ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	args := []string{"--test", tests}
	if *only != "" {
		args = append([]string{"--test-name-pattern=" + *only}, args...)
	}
	cmd := exec.CommandContext(ctx, "node", args...)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Errorf("node --test: %v", err)
	}
}
