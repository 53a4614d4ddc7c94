package kubelet

import (
	"testing"
	"time"
)

// Volumes are refreshed at half minutes, and at once when the clock was set back by more.
func TestUntilRefresh(t *testing.T) {
	last := time.Date(2026, 11, 30, 12, 0, 10, 0, time.UTC)
	for passed, want := range map[time.Duration]time.Duration{
		0: 20 * time.Second, 15 * time.Second: 5 * time.Second, time.Minute: -40 * time.Second,
		-5 * time.Second: 25 * time.Second, -time.Hour: 0, time.Hour: 20*time.Second - time.Hour,
	} {
		if got := untilRefresh(last, last.Add(passed)); got != want {
			t.Errorf("%v later: %v, want %v", passed, got, want)
		}
	}
}
