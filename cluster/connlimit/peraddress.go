package connlimit

import (
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// Limiter bounds how much a server does at once: for one client address and for all.
type Limiter struct {
	PerSource, Total int

	mu      sync.Mutex
	sources map[netip.Addr]int
	total   int
}

// Acquire reports whether one more operation may start for an address; if so, the caller must
// call release when it is done.
func (s *Limiter) Acquire(client net.Addr) (release func(), ok bool) {
	source := sourceOf(client)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sources[source] >= s.PerSource || s.total >= s.Total {
		return nil, false
	}
	if s.sources == nil {
		s.sources = map[netip.Addr]int{}
	}
	s.sources[source]++
	s.total++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.total--
		if s.sources[source]--; s.sources[source] == 0 {
			delete(s.sources, source)
		}
	}, true
}

// NewServer returns a server for small responses, such as health checks, and the listener that
// it must serve.
func NewServer(l net.Listener, h http.Handler) (*http.Server, *Listener) {
	bounded := New(l, Config{PerSource: 100, Total: 1000})
	const timeout = 10 * time.Second
	return &http.Server{
		Handler: h, ConnState: bounded.ConnState, MaxHeaderBytes: 16 << 10,
		ReadTimeout: timeout, WriteTimeout: timeout, IdleTimeout: time.Minute,
	}, bounded
}
