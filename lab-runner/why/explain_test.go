package why_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"wheelhouse/lab-runner/why"
	"wheelhouse/lab-runner/why/situations"
)

// Each situation, as it was on a cluster, is explained by its cause. TestWhy in features records the facts.
func TestSituations(t *testing.T) {
	all, err := situations.Load("testdata/situations")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		t.Run(s.Name, func(t *testing.T) {
			target, err := s.Target()
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Check(why.Explain(facts(t, s.Name), target)); err != nil {
				t.Error(err)
			}
		})
	}
}

// facts reads recorded facts.
func facts(t *testing.T, name string) *why.Facts {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "facts", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var f why.Facts
	if err := json.Unmarshal(text, &f); err != nil {
		t.Fatal(err)
	}
	return &f
}
