package cluster_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
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
