package catalog

import (
	"testing"

	"wheelhouse/lab-runner/script"
)

// A name that no lab and no step has leads to those that were probably meant, and to the list: never to all names there are.
func TestUnknownNames(t *testing.T) {
	steps := func(names ...string) (out []Step) {
		for _, n := range names {
			out = append(out, Step{Step: script.Step{Name: n}})
		}
		return out
	}
	labs := []*Lab{
		{Track: "track", Name: "first", Steps: steps("two-pods", "the-end")},
		{Track: "other", Name: "first", Steps: steps("one")},
		{Track: "other", Name: "no-endpoints", Steps: steps("one")},
		{Track: "other", Name: "guestbook", Steps: steps("one")},
	}
	for name, want := range map[string]string{
		"third":               "no lab third: 'lab list' lists the labs",
		"no-endpoint":         "no lab no-endpoint; did you mean other/no-endpoints? 'lab list' lists the labs",
		"No-Endpoints":        "no lab No-Endpoints; did you mean other/no-endpoints? 'lab list' lists the labs",
		"frist":               "no lab frist; did you mean track/first or other/first? 'lab list' lists the labs",
		"other/frist":         "no lab other/frist; did you mean other/first? 'lab list' lists the labs",
		"othre/guestbook":     "no lab othre/guestbook; did you mean other/guestbook? 'lab list' lists the labs",
		"track/guestbook":     "no lab track/guestbook; did you mean other/guestbook? 'lab list' lists the labs",
		"nowhere/guestbook":   "no lab nowhere/guestbook; did you mean other/guestbook? 'lab list' lists the labs",
		"guest":               "no lab guest; did you mean other/guestbook? 'lab list' lists the labs",
		"endpoints":           "no lab endpoints; did you mean other/no-endpoints? 'lab list' lists the labs",
		"o":                   "no lab o: 'lab list' lists the labs",
		"":                    "no lab : 'lab list' lists the labs",
		"/":                   "no lab /: 'lab list' lists the labs",
		"other":               "other is a track: 'lab list' lists its labs, the first is other/first",
		"track":               "track is a track: 'lab list' lists its labs, the first is track/first",
		"no-endpoint/one":     "no lab no-endpoint; did you mean other/no-endpoints? 'lab list' lists the labs",
		"other/guestbok/one":  "no lab other/guestbok; did you mean other/guestbook? 'lab list' lists the labs",
		"track/first/two-pod": "lab track/first has no step two-pod; did you mean two-pods? 'lab status track/first' lists the steps",
		"track/first/end":     "lab track/first has no step end; did you mean the-end? 'lab status track/first' lists the steps",
		"track/first/five":    "lab track/first has no step five: 'lab status track/first' lists the steps",
		"first/one":           "first is the name of several labs: say which of track/first, other/first",
	} {
		if _, _, err := Find(labs, name); err == nil || err.Error() != want {
			t.Errorf("%s: %v\nwanted %s", name, err, want)
		}
	}
}
