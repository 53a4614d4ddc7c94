// Package connlimit bounds what a server does for clients that it does not yet know: how
// many connections and requests one address and all together have, how long a write may be
// held up by a client that does not read, and how much the kernel keeps for it.
//
// At the bound a new connection takes the place of one on which nothing happens: one that
// has not sent a request yet, else one that is idle between requests. So an address that
// hostile and other clients share is not closed to the latter. Only when every connection
// is at work is the new one closed.
package connlimit

import (
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Config is the bounds of a listener.
type Config struct {
	PerSource int // connections of one IPv4 address or IPv6 /64 network
	Total     int
	// WriteStall is how long one write to a connection may take, 30 s; StreamStall the same
	// when a handler has taken it over, where people stop reading for a while: 10 minutes.
	WriteStall, StreamStall time.Duration
}

// unsent is how many bytes, in each connection, the kernel takes that it cannot send yet.
const unsent = 128 << 10

// deadlineStep is how much later than needed a write's deadline may be, so that it is not
// set for each.
const deadlineStep = 5 * time.Second

// Listener is a net.Listener with bounds. Its ConnState must be the http.Server's, which
// is how it learns what happens on the connections; without, none is ever replaced.
type Listener struct {
	net.Listener
	Config

	mu      sync.Mutex
	sources map[netip.Addr]map[*conn]struct{}
	total   int
}

// New bounds the connections of l.
func New(l net.Listener, c Config) *Listener {
	if c.WriteStall == 0 {
		c.WriteStall = 30 * time.Second
	}
	if c.StreamStall == 0 {
		c.StreamStall = 10 * time.Minute
	}
	return &Listener{Listener: l, Config: c, sources: map[netip.Addr]map[*conn]struct{}{}}
}

// conn is one connection of a Listener, which guards state and since.
type conn struct {
	net.Conn
	listener *Listener
	source   netip.Addr
	state    http.ConnState
	since    time.Time
	gone     bool

	mu       sync.Mutex
	stall    time.Duration
	deadline time.Time // of writes
}

// Accept implements net.Listener.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		accepted, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		c := &conn{Conn: accepted, listener: l, source: sourceOf(accepted.RemoteAddr()), since: time.Now(), stall: l.WriteStall}
		replaced, ok := l.add(c)
		if replaced != nil {
			_ = replaced.Conn.Close() // its own handler notices
		}
		if !ok {
			_ = accepted.Close()
			continue
		}
		limitUnsent(accepted)
		return c, nil
	}
}

// limitUnsent makes a write wait for a client that does not read, instead of the kernel
// keeping megabytes for it. Where the option does not exist the kernel's own limit holds.
func limitUnsent(c net.Conn) {
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsent)
	})
}

// add makes room for c: replaced is the connection that it takes the place of.
func (l *Listener) add(c *conn) (replaced *conn, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	candidates := l.sources[c.source]
	if len(candidates) < l.PerSource {
		candidates = nil
		if l.total >= l.Total {
			candidates = l.largest()
		}
	}
	if candidates != nil {
		if replaced = leastUsed(candidates); replaced == nil {
			return nil, false
		}
		l.remove(replaced)
	}
	if l.sources[c.source] == nil {
		l.sources[c.source] = map[*conn]struct{}{}
	}
	l.sources[c.source][c] = struct{}{}
	l.total++
	return replaced, true
}

// largest is the source with the most connections.
func (l *Listener) largest() map[*conn]struct{} {
	var most map[*conn]struct{}
	for _, conns := range l.sources {
		if len(conns) > len(most) {
			most = conns
		}
	}
	return most
}

// leastUsed is the connection that can best be spared, nil if all are at work.
func leastUsed(conns map[*conn]struct{}) *conn {
	var best *conn
	for c := range conns {
		if c.state != http.StateNew && c.state != http.StateIdle {
			continue
		}
		if best == nil || (c.state < best.state) || (c.state == best.state && c.since.Before(best.since)) {
			best = c
		}
	}
	return best
}

func (l *Listener) remove(c *conn) {
	if c.gone {
		return
	}
	c.gone = true
	delete(l.sources[c.source], c)
	if len(l.sources[c.source]) == 0 {
		delete(l.sources, c.source)
	}
	l.total--
}

// ConnState is for http.Server.ConnState.
func (l *Listener) ConnState(nc net.Conn, state http.ConnState) {
	if secure, ok := nc.(*tls.Conn); ok {
		nc = secure.NetConn()
	}
	c, ok := nc.(*conn)
	if !ok {
		return
	}
	if state == http.StateHijacked {
		c.mu.Lock()
		c.stall = l.StreamStall
		c.mu.Unlock()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	c.state, c.since = state, time.Now()
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.listener.mu.Lock()
	c.listener.remove(c)
	c.listener.mu.Unlock()
	return c.Conn.Close()
}

// Write implements net.Conn. A client that takes nothing for too long is cut off.
func (c *conn) Write(p []byte) (int, error) {
	c.mu.Lock()
	if least := time.Now().Add(c.stall); c.deadline.Before(least) {
		c.deadline = least.Add(min(deadlineStep, c.stall))
		_ = c.Conn.SetWriteDeadline(c.deadline) // the write itself reports a closed connection
	}
	c.mu.Unlock()
	return c.Conn.Write(p)
}

// SetWriteDeadline implements net.Conn. A later write may put it off.
func (c *conn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = t
	return c.Conn.SetWriteDeadline(t)
}

// SetDeadline implements net.Conn.
func (c *conn) SetDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = t
	return c.Conn.SetDeadline(t)
}

// sourceOf is who a connection counts for.
func sourceOf(a net.Addr) netip.Addr {
	at, ok := a.(interface{ AddrPort() netip.AddrPort }) // TCP and UDP have it
	if !ok {
		return netip.Addr{}
	}
	addr := at.AddrPort().Addr().Unmap().WithZone("")
	if addr.Is6() {
		if network, err := addr.Prefix(64); err == nil {
			return network.Addr()
		}
	}
	return addr
}
