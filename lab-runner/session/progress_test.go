package session

import (
	"testing"
	"time"

	"wheelhouse/lab-runner/catalog"
	"wheelhouse/lab-runner/script"
)

// A check that was done and did not come to an end once is still done: the machine was busy. The second time in a row it
// is lost, as what it asks does not answer.
func TestOneLateLookLosesNothing(t *testing.T) {
	step := &catalog.Step{Step: script.Step{Checks: []script.Item{{Kind: script.Check, Text: "it answers"}}}}
	sp := StepProgress{Checks: map[string]*Mark{}, Answers: map[int]int{}}
	done := []Result{{Name: "it answers", OK: true}}
	late := []Result{{Name: "it answers", Reason: &Reason{Unknown: true}}}
	for i, look := range []struct {
		results []Result
		want    string
	}{{late, ToDo}, {done, Done}, {late, Done}, {done, Done}, {late, Done}, {late, Lost}, {done, Done}, {[]Result{{Name: "it answers", Reason: &Reason{}}}, Lost}} {
		sp.record(step, look.results, false, time.Now())
		if got := sp.checkView(step.Checks[0], look.results[0].Reason).State; got != look.want {
			t.Errorf("look %d: %s, want %s", i, got, look.want)
		}
	}
}
