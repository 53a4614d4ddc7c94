package kubelet

import (
	"time"
)

// The waits between starts of a container that keeps ending, as upstream.
const (
	backoffFirst = 10 * time.Second
	backoffMax   = 5 * time.Minute
	backoffReset = 2 * backoffMax
)

// backoff counts one container's restarts. The zero value lets the first restart
// happen at once; each one after it waits twice as long as the one before.
type backoff struct {
	wait time.Duration // before the next restart, counted from the end of the last run
	last time.Time     // the last restart
}

// remaining is how long a container that ended at finished still has to wait.
func (b *backoff) remaining(finished, now time.Time) time.Duration {
	if b.wait == 0 || finished.Sub(b.last) > backoffReset {
		return 0
	}
	return max(0, finished.Add(b.wait).Sub(now))
}

// restarted notes a restart of a container that had ended at finished.
func (b *backoff) restarted(finished, now time.Time) {
	switch {
	case b.wait == 0 || finished.Sub(b.last) > backoffReset:
		b.wait = backoffFirst
	default:
		b.wait = min(2*b.wait, backoffMax)
	}
	b.last = now
}
