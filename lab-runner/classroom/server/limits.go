package server

import (
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// Bounds of attempts. An address has five, then it waits 30 seconds, and twice as long after each further wrong one.
const (
	freeAttempts = 5
	firstWait    = 30 * time.Second
	longestWait  = 15 * time.Minute
	maxAddresses = 4096 // that are kept; further ones share one count
)

// lockout counts the wrong attempts of each address. Attempts come one at a time, so that many at once are not more.
type lockout struct {
	now    func() time.Time
	trying sync.Mutex
	by     map[netip.Prefix]*attempts
}

type attempts struct {
	wrong int
	until time.Time // no attempt before
	last  time.Time
}

func newLockout(now func() time.Time) *lockout {
	return &lockout{now: now, by: map[netip.Prefix]*attempts{}}
}

// try runs an attempt of the client, which reports whether it was wrong, or returns how long the client must wait.
func (l *lockout) try(r *http.Request, attempt func() (wrong bool)) (wait time.Duration) {
	l.trying.Lock()
	defer l.trying.Unlock()
	a, now := l.of(addressOf(r)), l.now()
	if now.Before(a.until) {
		return a.until.Sub(now)
	}
	if !attempt() {
		return 0
	}
	now = l.now()
	a.wrong++
	a.last = now
	if over := a.wrong - freeAttempts; over >= 0 {
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
		p = netip.Prefix{}
	}
	if l.by[p] == nil || old(l.by[p]) {
		l.by[p] = &attempts{last: now}
	}
	return l.by[p]
}

// addressOf returns what attempts are counted by: an IPv4 address, or a /64 of IPv6, of which one machine has all.
func addressOf(r *http.Request) netip.Prefix {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Prefix{}
	}
	addr, bits := from.Addr().Unmap().WithZone(""), 32
	if addr.Is6() {
		bits = 64
	}
	p, err := addr.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
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
