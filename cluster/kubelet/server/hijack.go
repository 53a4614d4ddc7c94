package server

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"wheelhouse/cluster/linger"
)

// lingerTime is how long the API server, or a client, that goes on sending has to read the end of a stream.
const lingerTime = 30 * time.Second

// lingering returns w with a Hijack whose connection loses nothing that was written when it is
// closed (package linger).
func lingering(w http.ResponseWriter) http.ResponseWriter { return watchEnd(w, make(chan struct{})) }

// watchEnd is lingering, and closes ended when the connection that is hijacked from w is closed or can no
// longer be read, which the web socket library does not report.
func watchEnd(w http.ResponseWriter, ended chan struct{}) http.ResponseWriter {
	return &endWatcher{ResponseWriter: w, ended: ended}
}

type endWatcher struct {
	http.ResponseWriter
	ended chan struct{}
}

// Hijack implements http.Hijacker.
func (e *endWatcher) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	h, ok := e.ResponseWriter.(http.Hijacker)
	if !ok {
		return nil, nil, fmt.Errorf("the connection cannot be hijacked")
	}
	conn, rw, err := h.Hijack()
	if err != nil {
		return nil, nil, err
	}
	watched := &endConn{Conn: linger.New(conn, lingerTime), ended: e.ended}
	// What the server has read already must not be lost.
	head, err := rw.Reader.Peek(rw.Reader.Buffered())
	if err != nil {
		return nil, nil, err
	}
	watched.head = append([]byte(nil), head...)
	return watched, bufio.NewReadWriter(bufio.NewReader(watched), bufio.NewWriter(watched)), nil
}

type endConn struct {
	net.Conn
	head  []byte
	once  sync.Once
	ended chan struct{}
}

func (c *endConn) Read(p []byte) (int, error) {
	if len(c.head) > 0 {
		n := copy(p, c.head)
		c.head = c.head[n:]
		return n, nil
	}
	n, err := c.Conn.Read(p)
	if err != nil {
		c.end()
	}
	if errors.Is(err, net.ErrClosed) { // it was closed on this side, which is no error
		err = io.EOF
	}
	return n, err
}

func (c *endConn) Close() error {
	c.end()
	return c.Conn.Close()
}

func (c *endConn) end() { c.once.Do(func() { close(c.ended) }) }
