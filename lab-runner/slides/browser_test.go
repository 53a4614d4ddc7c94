//go:build !quick

package slides_test

import (
	"context"
	"html"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"wheelhouse/lab-runner/slides"
)

var result = regexp.MustCompile(`data-result="([^"]*)"`)

// TestInBrowser shows decks in frames of a page (testdata/around.html), in headless Chromium: keys, notes, overview, what
// the page around gets, and a deck that follows it.
func TestInBrowser(t *testing.T) {
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal("no Chromium: 'make browser' installs the distribution's")
	}
	mux := http.NewServeMux()
	mux.Handle("/slides/", http.StripPrefix("/slides", handler(t, slides.Config{})))
	mux.Handle("/", http.FileServer(http.Dir("testdata")))
	server := httptest.NewServer(mux)
	defer server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	var found [][]byte
	var page string    // the last one
	for found == nil { // on a busy machine Chromium's virtual time can end before the page is done
		home := t.TempDir()
		cmd := exec.CommandContext(ctx, path, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--user-data-dir="+home,
			"--window-size=1400,1600", "--virtual-time-budget=300000", "--dump-dom", server.URL+"/around.html")
		cmd.Env = append(cmd.Environ(), "HOME="+home)
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("chromium: %v; the last page without a result:\n%s", err, page)
		}
		page, found = string(out), result.FindSubmatch(out)
	}
	lines := strings.Split(html.UnescapeString(string(found[1])), "; ")
	for _, line := range lines {
		if !strings.HasPrefix(line, "ok: ") {
			t.Error(line)
		}
	}
	if len(lines) != 13 {
		t.Errorf("%d results, want 13: %q", len(lines), lines)
	}
}
