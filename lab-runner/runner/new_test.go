package runner

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"wheelhouse/lab-runner/lint"
)

// A new lab passes lint, is the last one of its track, and replaces nothing. session tests it on an API server.
func TestNew(t *testing.T) {
	root := t.TempDir()
	if err := errors.Join(os.Mkdir(filepath.Join(root, "labs"), 0o755), os.Mkdir(filepath.Join(root, "features"), 0o755)); err != nil {
		t.Fatal(err)
	}
	execute := func(name string) (string, error) {
		var out bytes.Buffer
		c := Command()
		c.SilenceUsage, c.SilenceErrors = true, true
		c.SetOut(&out)
		c.SetArgs([]string{"new", name, "--labs", root})
		err := c.ExecuteContext(t.Context())
		return out.String(), err
	}
	if out, err := execute("track/first"); err != nil || !strings.Contains(out, "labs/track/01-first/text.md") {
		t.Errorf("%v\n%s", err, out)
	}
	if out, err := execute("track/second"); err != nil || !strings.Contains(out, "labs/track/02-second/manifests/second.yaml") || !strings.Contains(out, "features/track/second.feature") {
		t.Errorf("%v\n%s", err, out)
	}
	if _, err := execute("track/first"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a lab that is there: %v", err)
	}
	for _, bad := range []string{"first", "a/b/c", "../x", "track/", "Track/x", "track/01-x/"} {
		if _, err := execute(bad); err == nil || !strings.Contains(err.Error(), "is not TRACK/NAME") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	var out bytes.Buffer
	c := Command()
	c.SetOut(&out)
	c.SetArgs([]string{"lint", "--labs", root})
	if err := c.ExecuteContext(t.Context()); err != nil || out.String() != "no faults, 0 warnings\n" {
		t.Errorf("%v\n%s", err, &out)
	}
	if found, err := lint.Labs(root, nil); err != nil || len(found) > 0 {
		t.Errorf("%v, %v", found, err)
	}
}
