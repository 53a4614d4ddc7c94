package ingress

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"time"
)

// body is the body of a request on its way to an endpoint. It records whether anything of it was read, so that an
// attempt that read nothing can be repeated; Close leaves it usable. It is bounded in bytes by its reader, and in time
// by stall: a client that sends nothing for that long is given up.
type body struct {
	reader     io.Reader
	controller *http.ResponseController
	stall      time.Duration // 0: no limit

	mu       sync.Mutex
	started  bool
	failure  error
	progress func()
	over     bool // the handler has returned: the connection belongs to another request
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	if err := b.begin(); err != nil {
		return 0, err
	}
	n, err := b.reader.Read(p)
	switch {
	case errors.Is(err, io.EOF):
		b.clear()
	case err != nil:
		b.mu.Lock()
		b.failure = err
		b.mu.Unlock()
	}
	return n, err
}

// failed returns the error of a read that was not the end of the body.
func (b *body) failed() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.failure
}

// begin gives the client time for the next bytes.
func (b *body) begin() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.over {
		return http.ErrBodyReadAfterClose
	}
	b.started = true
	b.extend()
	if b.progress != nil {
		b.progress()
	}
	return nil
}

// onProgress has f called at each read from now on. After onProgress(nil) no call is under way.
func (b *body) onProgress(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.progress = f
}

// extend sets the deadline of reads, which holds for what net/http reads after the handler, too. The server removes it
// when it waits for the next request.
func (b *body) extend() {
	if b.stall != 0 {
		_ = b.controller.SetReadDeadline(time.Now().Add(b.stall)) // a connection without deadlines has none to miss
	}
}

// clear removes the deadline once all was read: the response may take longer.
func (b *body) clear() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.over && b.stall != 0 {
		_ = b.controller.SetReadDeadline(time.Time{}) // as in extend
	}
}

// Close implements io.Closer. The transport calls it after each attempt.
func (b *body) Close() error { return nil }

func (b *body) unread() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.started
}

// end is called before the handler returns.
func (b *body) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.over = true
}
