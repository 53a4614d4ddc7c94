package apiserver

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"sync"
)

// connections are those of the listener, until they are closed. One that a handler has
// taken over is counted until the handler returns: it is a stream of the same client.
type connections struct {
	mu   sync.Mutex
	open map[net.Conn]bool
}

// track is an http.Server's ConnState.
func (c *connections) track(conn net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.open == nil {
			c.open = map[net.Conn]bool{}
		}
		c.open[conn] = true
	case http.StateClosed:
		c.forget(conn)
	}
}

func (c *connections) forget(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.open, conn)
}

// Drop closes the connections whose client certificate is refused now, with all watches
// and other streams on them, and has those to kubelets verified again.
func (s *Server) Drop(refused func(*x509.Certificate) bool) {
	s.nodes.Reset()
	s.conns.mu.Lock()
	defer s.conns.mu.Unlock()
	for conn := range s.conns.open {
		if t, ok := conn.(*tls.Conn); ok {
			go func() { // ConnectionState waits for a handshake under way
				if peers := t.ConnectionState().PeerCertificates; len(peers) > 0 && refused(peers[0]) {
					_ = t.NetConn().Close() // it may be closed already
				}
			}()
		}
	}
}
