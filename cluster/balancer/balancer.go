// Package balancer is a TCP balancer on loopback in front of the API servers, so that a
// machine's clients have one address that works while any master is live.
//
// Connections go to one server, the first that answers in the order of preference: the last
// one in use, then the others as they were set. A server that does not answer a probe loses its
// connections, so that their clients connect to another one. The balancer does not end
// TLS: clients verify the API server itself, whose certificate has the loopback address.
package balancer

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"
)

// Config is what a Balancer needs.
type Config struct {
	// Servers are tried in this order, as HOST:PORT; Set replaces them. There may be none at first.
	Servers []string
	// Probe returns nil if a server answers. It is called every ProbeEvery, with as much time.
	Probe func(ctx context.Context, server string) error
	// Lost, if there is one, is called once when no probe of any server has succeeded for LostAfter, and again after the next success.
	Lost func(servers []string, err error)
	Log  *slog.Logger
}

const (
	// ProbeEvery is the time between two probes of the server in use. One that has failed twice
	// running is given up.
	ProbeEvery = 2 * time.Second
	// LostAfter is how long no server answers until Lost is called.
	LostAfter   = 20 * time.Second
	dialTimeout = 3 * time.Second
	failures    = 2
)

// Balancer is a TCP balancer.
type Balancer struct {
	Config
	mu      sync.Mutex
	servers []string  // in the order of preference
	failed  int       // probes of the first one, running
	since   time.Time // of the last probe that succeeded
	lost    bool      // Lost was called since then
	open    map[net.Conn]string
}

// New returns a Balancer.
func New(c Config) *Balancer {
	return &Balancer{Config: c, servers: slices.Clone(c.Servers), open: map[net.Conn]string{}}
}

// Set replaces the servers. One in use that is no longer named loses its connections. An empty
// list is ignored: one that is wrong is better than none.
func (b *Balancer) Set(servers []string) {
	if len(servers) == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	var next []string
	for _, s := range append(slices.Clone(b.servers), servers...) {
		if slices.Contains(servers, s) && !slices.Contains(next, s) {
			next = append(next, s)
		}
	}
	if len(b.servers) == 0 || b.servers[0] != next[0] {
		b.failed = 0
	}
	b.servers = next
	for conn, to := range b.open {
		if !slices.Contains(next, to) {
			_ = conn.Close() // its client connects again
		}
	}
}

// Servers returns the servers in the order of preference.
func (b *Balancer) Servers() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.servers)
}

// Run accepts connections until ctx ends, and closes the listener and all connections then.
func (b *Balancer) Run(ctx context.Context, l net.Listener) error {
	var all sync.WaitGroup
	defer all.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	context.AfterFunc(ctx, func() { _ = l.Close() })
	all.Go(func() { b.probe(ctx) })
	for {
		conn, err := l.Accept()
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		case err != nil: // too many open files: some will be closed
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond):
			}
			continue
		}
		all.Go(func() { b.forward(ctx, conn) })
	}
}

// probe gives up a server that does not answer.
func (b *Balancer) probe(ctx context.Context) {
	tick := time.NewTicker(ProbeEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		all := b.Servers()
		if len(all) == 0 {
			continue
		}
		first := all[0]
		one, cancel := context.WithTimeout(ctx, ProbeEvery)
		err := b.Probe(one, first)
		cancel()
		if ctx.Err() != nil {
			return
		}
		b.judge(first, err)
	}
}

func (b *Balancer) judge(server string, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.noteLost(err)
	if b.servers[0] != server {
		return
	}
	if err == nil {
		b.failed = 0
		return
	}
	if b.failed++; b.failed < failures || len(b.servers) == 1 {
		return
	}
	b.giveUp(server, err)
}

// noteLost calls Lost when it is due.
func (b *Balancer) noteLost(err error) {
	switch now := time.Now(); {
	case err == nil || b.since.IsZero():
		b.since, b.lost = now, false
	case !b.lost && b.Lost != nil && now.Sub(b.since) >= LostAfter:
		b.lost = true
		b.Lost(slices.Clone(b.servers), err)
	}
}

// giveUp makes the first server the last one, and closes its connections.
func (b *Balancer) giveUp(server string, err error) {
	if b.servers[0] != server || len(b.servers) == 1 {
		return
	}
	b.servers, b.failed = append(b.servers[1:], server), 0
	b.Log.Warn("the API server does not answer: connections go to another", "was", server, "is", b.servers[0], "err", err)
	for conn, to := range b.open {
		if to == server {
			_ = conn.Close()
		}
	}
}

// forward copies between a client and the first server that accepts the connection.
func (b *Balancer) forward(ctx context.Context, client net.Conn) {
	defer client.Close()
	dialer := net.Dialer{Timeout: dialTimeout}
	for _, at := range b.Servers() {
		server, err := dialer.DialContext(ctx, "tcp", at)
		if err != nil {
			b.mu.Lock()
			b.giveUp(at, err)
			b.mu.Unlock()
			continue
		}
		b.splice(ctx, client, server, at)
		return
	}
}

func (b *Balancer) splice(ctx context.Context, client, server net.Conn, at string) {
	defer server.Close()
	b.mu.Lock()
	b.open[server] = at
	known := slices.Contains(b.servers, at)
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		delete(b.open, server)
		b.mu.Unlock()
	}()
	if !known {
		return
	}
	end := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer end()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(server, client) // either end may close
		halfClose(server)
	}()
	_, _ = io.Copy(client, server)
	halfClose(client)
	_ = client.SetReadDeadline(time.Now()) // a client that only sends has nobody to send to
	<-done
}

func halfClose(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.CloseWrite()
	}
}
