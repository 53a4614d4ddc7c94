// Package connlimit bounds what a server does for unauthenticated clients: the number of
// connections and requests of one address and of all, how long a write may block on a client
// that does not read, and how many unsent bytes the kernel buffers for it.
//
// At the limit a new connection replaces one that is not active: one that has not sent a
// request yet, else one that is idle between requests. So hostile clients do not lock out
// other clients of the same address. Only if every connection is active is the new one closed.
// It never authenticates; the caller sets the http.Server's ConnState to the Listener's.
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
	// WriteStall is how long one write to a connection may take, 30 s by default; StreamStall
	// the same for a hijacked connection, on which people pause: 10 minutes by default.
	WriteStall, StreamStall time.Duration
	// Unacknowledged is how long a client may leave bytes unacknowledged; 0 is the kernel's limit, a quarter of an hour. A client
	// that has lost its network closes nothing. Linux since 5.11 ends with it, too, a client that acknowledges but reads nothing for that
	// long, so that StreamStall matters for longer times only where the kernel is older.
	Unacknowledged time.Duration
}

// unsent is the maximum of unsent bytes that the kernel buffers for each connection.
const unsent = 128 << 10

// deadlineStep is how much later than needed a write deadline may be, so that it is not set
// for each write.
const deadlineStep = 5 * time.Second

// Listener is a net.Listener with limits. Its ConnState must be set in the http.Server; it
// tracks the state of connections, and without it none is ever replaced.
type Listener struct {
	net.Listener
	Config

	mu      sync.Mutex
	sources map[netip.Addr]map[*conn]struct{}
	total   int
}

// New returns a Listener that limits the connections of l.
func New(l net.Listener, c Config) *Listener {
	if c.WriteStall == 0 {
		c.WriteStall = 30 * time.Second
	}
	if c.StreamStall == 0 {
		c.StreamStall = 10 * time.Minute
	}
	return &Listener{Listener: l, Config: c, sources: map[netip.Addr]map[*conn]struct{}{}}
}

// conn is one connection of a Listener, whose mutex protects state and since.
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
			_ = replaced.Conn.Close() // its handler gets an error
		}
		if !ok {
			_ = accepted.Close()
			continue
		}
		limitUnsent(accepted, l.Unacknowledged)
		return c, nil
	}
}

// limitUnsent makes a write block for a client that does not read, instead of the kernel
// buffering megabytes, and bounds how long those that were sent may be unacknowledged or not be read. Where the options do not exist the kernel's
// limits apply.
func limitUnsent(c net.Conn, unacknowledged time.Duration) {
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
		if ms := int(unacknowledged.Milliseconds()); ms > 0 {
			_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, ms)
		}
	})
}

// add adds c, if need be in place of another connection, which it returns.
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

// largest returns the connections of the source that has the most.
func (l *Listener) largest() map[*conn]struct{} {
	var most map[*conn]struct{}
	for _, conns := range l.sources {
		if len(conns) > len(most) {
			most = conns
		}
	}
	return most
}

// leastUsed returns the connection to replace, nil if all are active.
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

// Write implements net.Conn. It fails if the client reads nothing for too long.
func (c *conn) Write(p []byte) (int, error) {
	c.mu.Lock()
	if least := time.Now().Add(c.stall); c.deadline.Before(least) {
		c.deadline = least.Add(min(deadlineStep, c.stall))
		_ = c.Conn.SetWriteDeadline(c.deadline) // the write itself reports a closed connection
	}
	c.mu.Unlock()
	return c.Conn.Write(p)
}

// SetWriteDeadline implements net.Conn. A later write may extend it.
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

// sourceOf returns the address or network that a connection counts for.
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
