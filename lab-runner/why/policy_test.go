package why_test

import (
	"testing"

	"wheelhouse/lab-runner/why"
	"wheelhouse/lab-runner/why/situations"
)

// The API server's own request, which comes from a node, need not be answered where policies admit pods only: that breaks nothing.
func TestPolicyForPodsAlone(t *testing.T) {
	all, err := situations.Load("testdata/situations")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		if s.Name != "fine-policy" {
			continue
		}
		target, err := s.Target()
		if err != nil {
			t.Fatal(err)
		}
		f := facts(t, s.Name)
		if len(f.Answers) == 0 {
			t.Fatal("no answer was recorded")
		}
		for key := range f.Answers {
			f.Answers[key] = why.Answer{Text: "context deadline exceeded"}
		}
		f.NodePorts = map[string]why.Answer{}
		if err := s.Check(why.Explain(f, target)); err != nil {
			t.Error(err)
		}
		f.Policies[0].Spec.Ingress[0].From = nil // everybody is admitted: an answer is missing now
		if err := s.Check(why.Explain(f, target)); err == nil {
			t.Error("nothing is wrong where all are admitted and nothing answers")
		}
		return
	}
	t.Error("there is no such situation")
}
