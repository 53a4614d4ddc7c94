package cluster_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"wheelhouse/cluster/api/builtin"
)

// TestFeatureGates: the table has a line with a verdict for each gate of the list, which is that of
// the release, and no other.
func TestFeatureGates(t *testing.T) {
	list, err := os.ReadFile("testdata/feature-gates.txt")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("feature-gates.md")
	if err != nil {
		t.Fatal(err)
	}
	var rows []string
	for _, m := range regexp.MustCompile(`(?m)^\| ([A-Za-z]+) \| (1\.\d+) \| \S.* \|$`).FindAllStringSubmatch(string(page), -1) {
		rows = append(rows, m[1]+" "+m[2])
	}
	want := strings.Split(strings.TrimSpace(string(list)), "\n")
	if len(want) < 40 || !slices.Equal(rows, want) {
		t.Errorf("the table has %q, want %q", rows, want)
	}
}

// TestFeatureGatesAreTried: what is done or refused is so by a test.
func TestFeatureGatesAreTried(t *testing.T) {
	page, err := os.ReadFile("feature-gates.md")
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]bool{}
	declaration := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	err = filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range declaration.FindAllStringSubmatch(string(text), -1) {
			tests[m[1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`(Test\\w+)`")
	for _, m := range regexp.MustCompile(`(?m)^\| ([A-Za-z]+) \| 1\.\d+ \| ((?:done|refused).*) \|$`).FindAllStringSubmatch(string(page), -1) {
		names := named.FindAllStringSubmatch(m[2], -1)
		if len(names) == 0 {
			t.Errorf("%s names no test: %s", m[1], m[2])
		}
		for _, name := range names {
			if !tests[name[1]] {
				t.Errorf("%s: there is no %s", m[1], name[1])
			}
		}
	}
}

// TestFeatureGatesOfKinds: a kind or group of which the page says that it is not served is in no table.
func TestFeatureGatesOfKinds(t *testing.T) {
	page, err := os.ReadFile("feature-gates.md")
	if err != nil {
		t.Fatal(err)
	}
	absent := map[string]bool{}
	for _, m := range regexp.MustCompile(`not: ([\w.]+) is not served`).FindAllStringSubmatch(string(page), -1) {
		absent[m[1]] = true
	}
	if len(absent) < 4 {
		t.Errorf("not served: %v", absent)
	}
	for _, k := range builtin.Kinds {
		if absent[k.Kind] || absent[k.Group] {
			t.Errorf("%s of %s is served", k.Kind, k.Group)
		}
	}
}
