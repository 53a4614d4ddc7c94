package apiserver

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"sync"
)

// connections are those of the listener, until they are closed or taken over.
type connections struct {
	mu   sync.Mutex
	open map[net.Conn]bool
}

// track is an http.Server's ConnState.
func (c *connections) track(conn net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew, http.StateClosed, http.StateHijacked:
	default:
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if state != http.StateNew {
		delete(c.open, conn)
		return
	}
	if c.open == nil {
		c.open = map[net.Conn]bool{}
	}
	c.open[conn] = true
}

// Drop closes the connections whose client certificate is refused now, with all watches
// on them, and has those to kubelets verified anew.
func (s *Server) Drop(refused func(*x509.Certificate) bool) {
	s.kubelets.reset()
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
