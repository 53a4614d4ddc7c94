package session

import (
	"testing"
	"time"
)

// On a busy machine what a solution has made is waited for longer, although a command failed because its object was there.
func TestSolvePatience(t *testing.T) {
	for _, c := range []struct {
		asIs       bool
		took, want time.Duration
	}{
		{true, time.Second, 15 * time.Second},
		{true, time.Minute, 15 * time.Second},
		{false, time.Second, 4 * time.Second},
		{false, 9 * time.Second, 9 * time.Second},
		{false, time.Minute, 15 * time.Second},
	} {
		if got := solvePatience(time.Minute, c.asIs, c.took); got != c.want {
			t.Errorf("asIs %v, %v: %v, want %v", c.asIs, c.took, got, c.want)
		}
	}
}
