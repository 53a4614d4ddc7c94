// Package linger closes hijacked connections so that the client gets all that was written.
//
// A kernel resets a connection that is closed while data of the peer is unread, and the reset
// may overtake what was written last (RFC 9112, section 9.6). For exec that is the exit code
// of a command that did not read all of its stdin.
//
// It owns no connection but the one that it is given, and keeps nothing after Close.
package linger

import (
	"io"
	"net"
	"sync"
	"time"
)

// writeCloser is a connection that can end its own direction alone, as those of TCP and TLS.
type writeCloser interface{ CloseWrite() error }

// Conn is a connection that is closed with Close of this package.
type Conn struct {
	net.Conn
	limit time.Duration
	close sync.Once
	err   error
}

// New returns c with a Close that waits at most limit for the peer.
func New(c net.Conn, limit time.Duration) *Conn { return &Conn{Conn: c, limit: limit} }

// Close ends the direction to the peer, discards what the peer still sends until it closes
// as well or the limit is reached, and closes the connection. Later calls wait for the first
// one and return its error.
func (c *Conn) Close() error {
	c.close.Do(func() {
		if half, ok := c.Conn.(writeCloser); ok && half.CloseWrite() == nil && c.Conn.SetReadDeadline(time.Now().Add(c.limit)) == nil {
			_, _ = io.Copy(io.Discard, c.Conn) // ends with the peer's end, or at the deadline
		}
		c.err = c.Conn.Close()
	})
	return c.err
}
