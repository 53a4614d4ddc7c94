package catalog

import (
	"strings"
	"testing"
)

// A lab is done in the room of a class unless it requires what a namespace does not have.
func TestElsewhere(t *testing.T) {
	for requires, want := range map[string]string{
		"": "", "many-nodes": "", "track/other": "", "docker": "Docker on this machine", "cluster-admin": "all rights in the cluster",
		"node-shell": "a shell on a node", "privileged-pods": "pods with rights", "own-limits": "without limits of others",
	} {
		got := (&Lab{Requires: []string{"track/first", requires}}).Elsewhere(nil)
		if (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%q: %q, want %q", requires, got, want)
		}
	}
	for requires, here := range map[string]bool{"": true, "cluster-admin": true, "many-nodes": false, "docker": false} {
		if got := (&Lab{Requires: []string{requires}}).Elsewhere([]string{"cluster-admin"}); (got == "") != here {
			t.Errorf("%q where there are all rights: %q", requires, got)
		}
	}
	for _, name := range Requirements {
		if Needs(name) == "" {
			t.Errorf("no words for %s", name)
		}
	}
}
