package session

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"wheelhouse/lab-runner/catalog"
	"wheelhouse/lab-runner/script"
	"wheelhouse/lab-runner/steps"
)

// Result is what a check was found to be.
type Result struct {
	Name   string
	Kind   script.Kind // Check or Holds
	OK     bool
	Reason *Reason // nil if OK
}

// String says what was found.
func (r Result) String() string {
	if r.OK {
		return fmt.Sprintf("%q holds", r.Name)
	}
	return fmt.Sprintf("%q does not hold: wanted %s; seen %s", r.Name, r.Reason.Wanted, r.Reason.Seen)
}

// Reason says why a check is not met.
type Reason struct {
	Sentence  string    `json:"sentence"` // of the scenario
	Wanted    string    `json:"wanted"`
	Seen      string    `json:"seen"`
	Since     time.Time `json:"since,omitzero"`
	Event     string    `json:"event,omitempty"`
	Elsewhere string    `json:"elsewhere,omitempty"` // what was looked for is in another namespace
	Try       string    `json:"try,omitempty"`
	// Unknown is set if the check did not come to an end in time, as on a busy machine.
	Unknown bool `json:"unknown,omitempty"`
}

// evaluate looks at all checks of a step at once. world returns a new World for each sentence, whose patience says
// whether to wait. Sentences that change something are left out if their scenario is in known.
func evaluate(ctx context.Context, lab *catalog.Lab, step *catalog.Step, world func() *steps.World, known map[string]bool) []Result {
	out := make([]Result, len(step.Checks))
	var wg sync.WaitGroup
	for i, c := range step.Checks {
		scenario, _ := lab.Scenario(c.Text)
		wg.Go(func() {
			out[i] = Result{Name: c.Text, Kind: c.Kind, Reason: scenarioOf(ctx, scenario, world, known[c.Text])}
			out[i].OK = out[i].Reason == nil
		})
	}
	wg.Wait()
	return out
}

// scenarioOf returns why the scenario does not hold, or nil. Sentences that only look are evaluated side by side; those
// that change something one after the other, when all others hold.
func scenarioOf(ctx context.Context, s catalog.Scenario, world func() *steps.World, known bool) *Reason {
	if len(s.Steps) == 0 { // the catalog refuses it
		return &Reason{Wanted: s.Name, Seen: "the scenario has no steps"}
	}
	reasons := make([]*Reason, len(s.Steps))
	var wg sync.WaitGroup
	for i, sentence := range s.Steps {
		if !steps.Changes(sentence.Text) {
			wg.Go(func() { reasons[i] = sentenceOf(ctx, sentence, world()) })
		}
	}
	wg.Wait()
	for _, r := range reasons {
		if r != nil {
			return r
		}
	}
	for _, sentence := range s.Steps {
		if !known && steps.Changes(sentence.Text) {
			if r := sentenceOf(ctx, sentence, world()); r != nil {
				return r
			}
		}
	}
	return nil
}

func sentenceOf(ctx context.Context, sentence catalog.Sentence, w *steps.World) *Reason {
	err := w.Run(ctx, sentence.Text, sentence.Doc)
	if err == nil {
		return nil
	}
	r := &Reason{Sentence: sentence.Text, Wanted: sentence.Text, Seen: err.Error()}
	var f *steps.Failure
	if errors.As(err, &f) {
		r.Wanted, r.Seen, r.Since, r.Event, r.Elsewhere, r.Try = f.Wanted, strings.TrimSpace(f.Seen), f.Since, f.Event, f.Elsewhere, f.Try
		r.Unknown = f.Unknown
	}
	return r
}

// met reports whether all checks are.
func met(results []Result) bool {
	for _, r := range results {
		if !r.OK {
			return false
		}
	}
	return true
}
