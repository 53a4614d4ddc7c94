package kubelet

import (
	"net"
	"sync"
)

// connectionsPerClient is how many connections to the node's server one address may have:
// the pods of the node reach it, too. The API server has as many streams to this node.
const connectionsPerClient = 1000

// perClient is a listener that closes the connections of an address that has enough.
type perClient struct {
	net.Listener
	most int

	mu   sync.Mutex
	open map[string]int
}

// Accept implements net.Listener.
func (p *perClient) Accept() (net.Conn, error) {
	for {
		c, err := p.Listener.Accept()
		if err != nil {
			return nil, err
		}
		client, _, err := net.SplitHostPort(c.RemoteAddr().String())
		if err == nil && p.add(client) {
			return &countedConn{Conn: c, closed: sync.OnceFunc(func() { p.drop(client) })}, nil
		}
		c.Close()
	}
}

func (p *perClient) add(client string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open[client] >= p.most {
		return false
	}
	p.open[client]++
	return true
}

func (p *perClient) drop(client string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open[client]--; p.open[client] == 0 {
		delete(p.open, client)
	}
}

type countedConn struct {
	net.Conn
	closed func()
}

// Close implements net.Conn.
func (c *countedConn) Close() error {
	defer c.closed()
	return c.Conn.Close()
}
