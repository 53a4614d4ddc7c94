package ingress

import (
	"hash/maphash"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// Backend is the port of a Service as an Ingress names it, with its endpoints.
type Backend struct {
	Ingress types.NamespacedName
	Service string // name:port, for logs

	problem   string // why no request can be served; "" if it can
	h2c       bool   // HTTP/2 without TLS
	sticky    bool   // one endpoint for each client address
	endpoints []netip.AddrPort
	next      atomic.Uint32 // the turn of the next endpoint
	options   options
}

// options are what annotations of an Ingress set.
type options struct {
	maxBody int64         // bytes of a request's body; 0: any number
	timeout time.Duration // from the end of the request to the headers of the response
}

// maxTries is the maximum of endpoints that one request is tried on.
const maxTries = 5

var seed = maphash.MakeSeed()

// order returns the endpoints to try, the best first: each in turn, or by the client's address; those to which a connect
// failed a moment ago come last.
func (b *Backend) order(client netip.Addr, avoid *avoided) []netip.AddrPort {
	n := len(b.endpoints)
	if n == 0 {
		return nil
	}
	start := int(b.next.Add(1)) % n
	if b.sticky {
		start = b.owner(client)
	}
	turn := append(slices.Clone(b.endpoints[start:]), b.endpoints[:start]...)
	avoid.last(turn)
	return turn[:min(n, maxTries)]
}

// owner returns the endpoint of a client. When an endpoint comes or goes, only the clients of that one move.
func (b *Backend) owner(client netip.Addr) int {
	best, index := uint64(0), 0
	for i, e := range b.endpoints {
		if h := maphash.Comparable(seed, [2]netip.AddrPort{e, netip.AddrPortFrom(client, 0)}); h >= best {
			best, index = h, i
		}
	}
	return index
}

// avoided are endpoints to which a connect has failed lately.
type avoided struct {
	mu    sync.Mutex
	until map[netip.AddrPort]time.Time
}

const (
	avoidance  = 5 * time.Second
	maxAvoided = 1024
)

// add avoids an endpoint for a while.
func (a *avoided) add(e netip.AddrPort) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.until == nil || len(a.until) >= maxAvoided {
		a.until = map[netip.AddrPort]time.Time{}
	}
	a.until[e] = time.Now().Add(avoidance)
}

// last moves avoided endpoints to the end, in their order.
func (a *avoided) last(turn []netip.AddrPort) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.until) == 0 {
		return
	}
	now := time.Now()
	slices.SortStableFunc(turn, func(x, y netip.AddrPort) int { return a.rank(x, now) - a.rank(y, now) })
}

func (a *avoided) rank(e netip.AddrPort, now time.Time) int {
	until, ok := a.until[e]
	switch {
	case !ok:
		return 0
	case now.After(until):
		delete(a.until, e)
		return 0
	}
	return 1
}
