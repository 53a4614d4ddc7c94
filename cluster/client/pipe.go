package client

import (
	"context"
	"io"
	"net/http"
	"sync"
	"time"
)

// pipeLimit is the maximum of bytes that are written and not yet read. A response that
// exceeds it is streamed.
const pipeLimit = 1 << 20

// pipe is the response of one request: the handler's http.ResponseWriter at one end, the
// client's body at the other, and a buffer between them.
type pipe struct {
	ctx      context.Context
	cancel   context.CancelFunc
	stop     func() bool   // of the AfterFunc of ctx
	answered chan struct{} // closed when the client can have the response
	header   http.Header

	mu        sync.Mutex
	wake      sync.Cond // signals a change to the other end
	buf       []byte    // written and not yet read: buf[off:]
	off       int
	sent      http.Header // header as it was at WriteHeader
	status    int
	streaming bool  // the client got its response before the handler returned
	done      bool  // the handler has returned, or the pipe was aborted
	err       error // returned to the reader after the data, nil is EOF
	closed    bool  // the reader has closed the body
}

func newPipe(ctx context.Context, cancel context.CancelFunc) *pipe {
	x := &pipe{ctx: ctx, cancel: cancel, answered: make(chan struct{}), header: http.Header{}}
	x.wake.L = &x.mu
	return x
}

func (x *pipe) Header() http.Header { return x.header }

func (x *pipe) WriteHeader(status int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.writeHeader(status)
}

func (x *pipe) writeHeader(status int) {
	if x.status != 0 || status < 200 { // informational responses are dropped
		return
	}
	x.status = status
	x.sent = x.header.Clone()
	if n := declared(x.sent); n > 0 && n <= pipeLimit && x.buf == nil {
		x.buf = make([]byte, 0, n)
	}
}

func (x *pipe) Write(p []byte) (int, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.writeHeader(http.StatusOK)
	if x.status == http.StatusNoContent || x.status == http.StatusNotModified {
		return 0, http.ErrBodyNotAllowed
	}
	for len(x.buf)-x.off >= pipeLimit && !x.closed && !x.done {
		x.stream()
		x.wake.Wait()
	}
	if x.closed {
		return 0, errBodyClosed
	}
	if x.done {
		return 0, x.err
	}
	if x.off > 0 && len(x.buf)+len(p) > cap(x.buf) {
		x.buf = append(x.buf[:0], x.buf[x.off:]...)
		x.off = 0
	}
	x.buf = append(x.buf, p...)
	if x.streaming {
		x.wake.Broadcast()
	}
	return len(p), nil
}

// WriteString implements io.StringWriter.
func (x *pipe) WriteString(s string) (int, error) { return x.Write([]byte(s)) }

// Flush starts streaming: the client reads while the handler writes.
func (x *pipe) Flush() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.writeHeader(http.StatusOK)
	x.stream()
}

// SetReadDeadline and SetWriteDeadline are for http.ResponseController. There is no
// connection to time out here; the contexts apply.
func (x *pipe) SetReadDeadline(time.Time) error  { return nil }
func (x *pipe) SetWriteDeadline(time.Time) error { return nil }

func (x *pipe) stream() {
	if x.streaming || x.done {
		return
	}
	x.streaming = true
	// A reader that waits for the next event must return when its context is done.
	x.stop = context.AfterFunc(x.ctx, func() { x.abort(context.Cause(x.ctx)) })
	close(x.answered)
}

// finish is called when the handler has returned.
func (x *pipe) finish(err error) {
	if err == nil && x.ctx.Err() != nil {
		err = context.Cause(x.ctx) // the handler returned because the client cancelled
	}
	x.mu.Lock()
	x.writeHeader(http.StatusOK)
	if !x.done {
		x.done, x.err = true, err
		if !x.streaming {
			close(x.answered)
		}
	}
	stop := x.stop
	x.wake.Broadcast()
	x.mu.Unlock()
	if stop != nil {
		stop()
	}
	x.cancel()
}

// abort closes both ends; what was written and not read is lost, as on a broken connection.
func (x *pipe) abort(err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.done {
		x.done, x.err = true, err
		x.buf, x.off = nil, 0
	}
	x.wake.Broadcast()
}

// body is the client's end of a pipe.
type body pipe

func (b *body) Read(p []byte) (int, error) {
	x := (*pipe)(b)
	x.mu.Lock()
	defer x.mu.Unlock()
	for {
		switch {
		case x.closed:
			return 0, errBodyClosed
		case x.off < len(x.buf):
			n := copy(p, x.buf[x.off:])
			x.off += n
			if x.off == len(x.buf) {
				x.drained()
			}
			x.wake.Broadcast()
			return n, nil
		case x.done && x.err != nil:
			return 0, x.err
		case x.done:
			return 0, io.EOF
		}
		x.wake.Wait()
	}
}

// drained resets the buffer for the next write, and releases a large one.
func (x *pipe) drained() {
	x.off = 0
	if cap(x.buf) > pipeLimit/16 {
		x.buf = nil
	} else {
		x.buf = x.buf[:0]
	}
}

func (b *body) Close() error {
	x := (*pipe)(b)
	x.mu.Lock()
	x.closed = true
	x.buf, x.off = nil, 0
	x.wake.Broadcast()
	x.mu.Unlock()
	x.cancel()
	return nil
}
