package runner

import (
	"strings"
	"testing"
)

// The list is as wide as the terminal at most.
func TestListOnANarrowTerminal(t *testing.T) {
	all := []listed{{Lab: "monolith/updates", Title: "Rolling updates without a lost request", Requires: []string{"monolith/deployments", "cluster-admin"}, Steps: 10, Minutes: 30}}
	for width, want := range map[int]bool{80: false, withRequires: true} {
		var out strings.Builder
		if err := printList(&out, all, width); err != nil || strings.Contains(out.String(), "cluster-admin") != want || !strings.Contains(out.String(), "a lost request") {
			t.Errorf("%d columns: %v\n%s", width, err, out.String())
		}
		for line := range strings.Lines(out.String()) {
			if len(line) > width+1 {
				t.Errorf("%d columns: %q", width, line)
			}
		}
	}
}

// The list ends with what to type next.
func TestToBegin(t *testing.T) {
	one, two := listed{Lab: "a/one", Steps: 2, Done: 2}, listed{Lab: "a/two", Steps: 3, Done: 1}
	begun := listed{Lab: "b/three", Steps: 3, Current: true}
	for want, all := range map[string][]listed{
		"": {one},
		"\nBegin with 'lab start a/two', or with 'lab' alone for the full screen.\n":   {one, two},
		"\nGo on with 'lab start b/three', or with 'lab' alone for the full screen.\n": {one, two, begun},
	} {
		if got := toBegin("lab", all); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
