package kubelet

import (
	"testing"
	"time"
)

// The first restart is immediate; then 10 s, doubled up to 5 min; ten good minutes
// reset it.
func TestBackoff(t *testing.T) {
	var b backoff
	now := noon
	for i, want := range []time.Duration{0, 10 * time.Second, 20 * time.Second, 40 * time.Second, 80 * time.Second, 160 * time.Second, 300 * time.Second, 300 * time.Second} {
		if got := b.remaining(now, now); got != want {
			t.Errorf("restart %d: waits %s, want %s", i+1, got, want)
		}
		b.restarted(now, now.Add(want))
		now = now.Add(want + time.Second)
	}
	if got := b.remaining(now.Add(11*time.Minute), now.Add(11*time.Minute)); got != 0 {
		t.Errorf("after a long good run: waits %s", got)
	}
}
