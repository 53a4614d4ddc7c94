package connection

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"sync"
)

// Set has the connections of a listener, until they are closed. One that a handler has
// taken over is in it until the handler returns: it is a stream of the same client.
type Set struct {
	mu   sync.Mutex
	open map[net.Conn]bool
}

// Track is the ConnState of an http.Server.
func (c *Set) Track(conn net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.open == nil {
			c.open = map[net.Conn]bool{}
		}
		c.open[conn] = true
	case http.StateClosed:
		c.Remove(conn)
	}
}

// Remove takes a connection out.
func (c *Set) Remove(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.open, conn)
}

// Drop closes the connections whose client certificate is refused, with all watches and
// other streams on them.
func (c *Set) Drop(refused func(*x509.Certificate) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for conn := range c.open {
		if t, ok := conn.(*tls.Conn); ok {
			go func() { // ConnectionState waits for a handshake in progress
				if peers := t.ConnectionState().PeerCertificates; len(peers) > 0 && refused(peers[0]) {
					_ = t.NetConn().Close() // it may be closed already
				}
			}()
		}
	}
}
