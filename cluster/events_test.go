package cluster_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every reason that events.md lists as recorded is in the source, and no other is.
func TestEventsAreRecorded(t *testing.T) {
	page, err := os.ReadFile("events.md")
	if err != nil {
		t.Fatal(err)
	}
	var source strings.Builder
	for _, dir := range []string{"kubelet", "controller", "scheduler"} {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			source.Write(text)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	rows := regexp.MustCompile("(?m)^\\| `(\\w+)` \\| (recorded|not) \\| (.*)\\|$").FindAllStringSubmatch(string(page), -1)
	if len(rows) < 100 {
		t.Errorf("the page has %d rows", len(rows))
	}
	for _, row := range rows {
		reason, recorded, why := row[1], row[2] == "recorded", strings.TrimSpace(row[3])
		if strings.Contains(source.String(), `"`+reason+`"`) != recorded {
			t.Errorf("%s: the page has %q", reason, row[2])
		}
		if recorded != (why == "") {
			t.Errorf("%s: a reason that is not recorded, and no other, says why", reason)
		}
	}
}
