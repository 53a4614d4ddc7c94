package server

import (
	"errors"
	"maps"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"wheelhouse/lab-runner/classroom/address"
)

// Bounds of attempts. An address has five, for the room's code a quarter of the class if that is more, since a room may have one address.
// Then it waits 30 seconds, and twice as long after each further wrong one. The right code of the room resets the count; a right return
// code or password does not: whoever has one could go on guessing those of others.
const (
	freeAttempts = 5
	firstWait    = 30 * time.Second
	longestWait  = 15 * time.Minute
	maxAddresses = 4096 // that are kept; further ones share one count
)

// lockout counts the wrong attempts of each address. Attempts come one at a time, so that many at once are not more.
type lockout struct {
	now    func() time.Time
	free   int  // attempts
	resets bool // the count, by a right attempt
	trying sync.Mutex
	by     map[netip.Prefix]*attempts
}

type attempts struct {
	wrong int
	until time.Time // no attempt before
	last  time.Time
}

func newLockout(now func() time.Time, free int, resets bool) *lockout {
	return &lockout{now: now, free: free, resets: resets, by: map[netip.Prefix]*attempts{}}
}

// try runs an attempt of the client, or returns how long the client must wait. The attempt's error is nil for a right one, and wrong
// for a wrong one; another error is of neither.
func (l *lockout) try(r *http.Request, wrong error, attempt func() error) (wait time.Duration) {
	l.trying.Lock()
	defer l.trying.Unlock()
	a, now := l.of(address.Of(r.RemoteAddr)), l.now()
	if now.Before(a.until) {
		return a.until.Sub(now)
	}
	if err := attempt(); !errors.Is(err, wrong) {
		if err == nil && l.resets {
			a.wrong = 0
		}
		return 0
	}
	now = l.now()
	a.wrong++
	a.last = now
	if over := a.wrong - l.free; over >= 0 {
		a.until = now.Add(min(longestWait, firstWait<<min(over, 10)))
	}
	return 0
}

// of returns the attempts of an address; what is older than the longest wait does not count any more.
func (l *lockout) of(p netip.Prefix) *attempts {
	now := l.now()
	old := func(a *attempts) bool { return now.Sub(a.last) > longestWait && now.After(a.until) }
	if a := l.by[p]; a != nil && !old(a) {
		return a
	}
	if len(l.by) >= maxAddresses {
		for key, a := range l.by {
			if old(a) {
				delete(l.by, key)
			}
		}
	}
	if len(l.by) >= maxAddresses {
		p = address.Network(p)
	}
	if len(l.by) >= 2*maxAddresses {
		p = netip.Prefix{}
	}
	if l.by[p] == nil || old(l.by[p]) {
		l.by[p] = &attempts{last: now}
	}
	return l.by[p]
}

// Joins of one network, also of who is in the class already, whom the cluster stores again each time: as many at once as the class has
// places, but at least joinBurst, then one in each joinInterval.
const (
	joinBurst    = 20
	joinInterval = 500 * time.Millisecond
)

// newLearnerInterval is the time between two new learners of one network, after a quarter of the class at once: one learner could take all
// places else.
const newLearnerInterval = 30 * time.Second

// joinLimiter bounds how often clients of one network join: burst times at once, then once in each interval. All machines of a link are
// one network.
type joinLimiter struct {
	interval time.Duration
	burst    int
	mu       sync.Mutex
	full     map[netip.Prefix]time.Time // when all of the burst is available again
}

func newJoinLimiter(interval time.Duration, burst int) *joinLimiter {
	return &joinLimiter{interval: interval, burst: burst, full: map[netip.Prefix]time.Time{}}
}

// reserve reports whether the client may join now. giveBack undoes that, for a client that has not joined in the end.
func (l *joinLimiter) reserve(r *http.Request, now time.Time) (giveBack func(), ok bool) {
	p := address.Network(address.Of(r.RemoteAddr))
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, kept := l.full[p]; !kept && len(l.full) >= maxAddresses {
		maps.DeleteFunc(l.full, func(_ netip.Prefix, full time.Time) bool { return !full.After(now) })
		if len(l.full) >= maxAddresses {
			p = netip.Prefix{}
		}
	}
	full := l.full[p]
	if full.Before(now) {
		full = now
	}
	full = full.Add(l.interval)
	if full.Sub(now) > time.Duration(l.burst)*l.interval {
		return nil, false
	}
	l.full[p] = full
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.full[p] = l.full[p].Add(-l.interval)
	}, true
}

// gauge counts what is open, up to a bound.
type gauge struct {
	most int
	mu   sync.Mutex
	n    int
}

// enter reports whether one more may be open; leave must follow then.
func (g *gauge) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.n >= g.most {
		return false
	}
	g.n++
	return true
}

func (g *gauge) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.n--
}
