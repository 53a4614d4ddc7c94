package runner

import "testing"

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
