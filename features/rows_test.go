package features_test

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"wheelhouse/lab-runner/catalog"
)

// rows are those of the source documents that are promised to work. What a row asks for
// stands in the scenarios that carry its id as a tag.
const rows = `
	W1 W2 W3 W4 W5 W6 W7 W8 W9 W10 W11 W12 W13 W14 W15 W16 W17 W18 W19 W20
	T1 T2 T3 T4 T5
	P1 P2 P3 P4 P5
	M1 M2 M3 M4 M5 M6 M7 M8
	N1 N2 N3 N4 N5 N6 N7 N8
`

// rowTag is what rows are called. Other tags say what a scenario needs, as @ping.
var rowTag = regexp.MustCompile(`^[A-Z][0-9]+$`)

// machineRows are about packages on machines of their own, which no lab makes: kits/ and platform/ have their scenarios.
const machineRows = "P1 P2"

// Each row has a scenario, in a lab's step unless it is about a machine, and no scenario names a row that the documents do
// not have. (The catalog refuses a lab's scenario that no step names.)
func TestEveryRowHasAScenario(t *testing.T) {
	paths, err := filepath.Glob("*/*.feature")
	if err != nil {
		t.Fatal(err)
	}
	root, err := catalog.Root("..")
	if err != nil {
		t.Fatal(err)
	}
	all, err := catalog.Load(root)
	if err != nil {
		t.Fatal(err)
	}
	labs := map[string]bool{}
	for _, l := range all {
		labs[l.Track+"/"+l.Name+".feature"] = true
	}
	proven, taught := map[string][]string{}, map[string]bool{}
	for _, path := range paths {
		scenarios, err := catalog.Scenarios(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range scenarios {
			for _, tag := range s.Tags {
				proven[tag] = append(proven[tag], path+": "+s.Name)
				taught[tag] = taught[tag] || labs[filepath.ToSlash(path)]
			}
		}
	}
	known := map[string]bool{}
	for _, row := range strings.Fields(rows) {
		known[row] = true
		if len(proven[row]) == 0 {
			t.Errorf("no scenario is tagged @%s", row)
		} else if !taught[row] && !slices.Contains(strings.Fields(machineRows), row) {
			t.Errorf("no step of a lab has a scenario that is tagged @%s, only %s", row, proven[row][0])
		}
	}
	for tag, where := range proven {
		if rowTag.MatchString(tag) && !known[tag] {
			t.Errorf("@%s is no row of the documents: %s", tag, where[0])
		}
	}
}
