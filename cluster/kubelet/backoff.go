package kubelet

import "time"

// The waits between starts of a container that keeps ending, as upstream.
const (
	backoffFirst = 10 * time.Second
	backoffMax   = 5 * time.Minute
	backoffReset = 2 * backoffMax
)

// backoff is the backoff of one container's restarts. With the zero value the first restart
// is immediate; each one after it waits twice as long as the one before.
type backoff struct {
	wait time.Duration // before the next restart, counted from the end of the last run
	last time.Time     // the last restart
}

// remaining is how long a container that terminated at finished still waits.
func (b *backoff) remaining(finished, now time.Time) time.Duration {
	if b.wait == 0 || finished.Sub(b.last) > backoffReset {
		return 0
	}
	return max(0, finished.Add(b.wait).Sub(now))
}

// restarted records a restart of a container that terminated at finished.
func (b *backoff) restarted(finished, now time.Time) {
	switch {
	case b.wait == 0 || finished.Sub(b.last) > backoffReset:
		b.wait = backoffFirst
	default:
		b.wait = min(2*b.wait, backoffMax)
	}
	b.last = now
}

// soonest is the smaller of the times that are not zero.
func soonest(a, b time.Duration) time.Duration {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}
