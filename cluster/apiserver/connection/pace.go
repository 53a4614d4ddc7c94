// Package connection bounds what a slow client occupies: the time in which it sends a body
// and takes an answer, and the memory that is kept for it meanwhile.
//
// It owns the writer of answers, the reading of bodies, and the set of open connections. It
// does not decide who may use the server: it counts bytes on a flowcontrol.Ticket, and gives
// the seats of the ticket back early. Callers in the process have no Ticket and no bounds.
package connection

import (
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"wheelhouse/cluster/apiserver/apistatus"
	"wheelhouse/cluster/apiserver/flowcontrol"
)

// ClientTimeouts bound how long clients may take. Each has the default that is named.
type ClientTimeouts struct {
	Body      time.Duration // for a body, beyond what it takes at BodyRate; 10 s
	BodyRate  int           // bytes a second that a body comes at least; 8 KiB
	Seat      time.Duration // in which an answer is written with the seats kept; 250 ms
	Keep      time.Duration // for an answer that keeps its seats until the client has it; the request's timeout
	Write     time.Duration // for one write of at most writeSize bytes, also to a watch; 30 s
	Stream    time.Duration // the same to other streams, which people pause; 10 minutes
	QueueWait time.Duration // for seats; a quarter of the request's timeout, as upstream
}

// WithDefaults returns the timeouts with the defaults for what is not set.
func (p ClientTimeouts) WithDefaults(request time.Duration) ClientTimeouts {
	for at, d := range map[*time.Duration]time.Duration{
		&p.Body: 10 * time.Second, &p.Seat: 250 * time.Millisecond, &p.Write: 30 * time.Second,
		&p.Stream: 10 * time.Minute, &p.Keep: request, &p.QueueWait: request / 4,
	} {
		if *at == 0 {
			*at = d
		}
	}
	if p.BodyRate == 0 {
		p.BodyRate = 8 << 10
	}
	return p
}

const (
	writeSize = 64 << 10 // the most that one write to a client has
	// maxRendered is how much of an answer that is made for one client its user may have.
	maxRendered = 32 << 20
	// FreeBytes is how much of a body or an answer is not counted for its user: requests
	// in flight are bounded themselves.
	FreeBytes = 64 << 10
	// AnswerTimeout is how long an answer may take without progress that the server observes:
	// HTTP/2 streams end then, also when their handler has returned.
	AnswerTimeout = 90 * time.Second
)

// pace keeps a slow client of the network from delaying more than its own request. Its timers
// do nothing as long as the client keeps up.
type pace struct {
	ClientTimeouts
	client *http.ResponseController
	ticket *flowcontrol.Ticket

	mu       sync.Mutex
	timer    *time.Timer
	due      time.Time // when the timer fires; one that fired before it was set again is late
	first    time.Time // when the answer began
	extended time.Time // when the stream's deadline was last put off
	writing  bool
	released bool // the seats are given back, or kept until the end
	kept     bool
	stream   bool
	finished bool
}

// write passes data on, in pieces that a slow client can take within Write.
func (p *pace) write(w io.Writer, data []byte) (written int, err error) {
	for {
		part := data[:min(len(data), writeSize)]
		p.begin()
		n, err := w.Write(part)
		p.end()
		written += n
		if data = data[len(part):]; err != nil || len(data) == 0 {
			return written, err
		}
	}
}

// begin is called before a write, end after it.
func (p *pace) begin() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.writing = true
	if p.timer == nil {
		p.first = time.Now()
		p.extended = p.first
		p.due = p.first.Add(p.wait())
		p.timer = time.AfterFunc(p.wait(), p.timedOut)
		return
	}
	now := time.Now()
	if now.Sub(p.first) > p.Seat {
		p.release()
	}
	if !p.stream && now.Sub(p.extended) > AnswerTimeout/4 {
		p.extended = now
		_ = p.client.SetWriteDeadline(now.Add(AnswerTimeout)) // the write reports what is wrong
	}
	p.reset()
}

// reset sets the timer for the present write.
func (p *pace) reset() {
	p.due = time.Now().Add(p.wait())
	p.timer.Reset(time.Until(p.due))
}

func (p *pace) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.writing = false
	p.timer.Stop()
}

// wait returns how long the present write may take until something is done.
func (p *pace) wait() time.Duration {
	switch {
	case p.kept: // others wait for them
		return min(p.Write, max(0, p.Keep-time.Since(p.first)))
	case !p.released:
		return p.Seat
	case p.stream:
		return p.Stream
	}
	return p.Write
}

// timedOut is called while a write is blocked: the seats are given back first, and in the
// end the client is disconnected.
func (p *pace) timedOut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case !p.writing || p.finished:
	case time.Now().Before(p.due): // the timer of an earlier write, that waited for the lock
	case !p.released:
		p.release()
		p.reset()
	default:
		_ = p.client.SetWriteDeadline(time.Unix(1, 0)) // ends the write
	}
}

func (p *pace) release() {
	if !p.released {
		p.released = true
		p.ticket.Release()
	}
}

// keepSeats keeps the seats of the request until the client has the answer: its user may
// not keep the answer in memory without them.
func (p *pace) keepSeats() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.released, p.kept = true, true
}

// beginStream is called when a request has become a stream, which has no timeout. A paused
// one may stop reading for a while.
func (p *pace) beginStream(paused bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.release()
	p.stream = true
	if !paused {
		p.Stream = p.Write
	}
	_ = p.client.SetWriteDeadline(time.Time{})
}

// finish is called when the handler has returned.
func (p *pace) finish(r *http.Request, code int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.finished = true
	if p.timer != nil {
		p.timer.Stop()
	}
	if code == http.StatusSwitchingProtocols {
		return // the handler has taken the connection over
	}
	if p.stream {
		_ = p.client.SetWriteDeadline(time.Now().Add(p.Write))
	}
	// What is left of a body is read before the next request of an HTTP/1.1 connection.
	if r.ProtoMajor == 1 && r.Body != nil && r.Body != http.NoBody {
		if _, read := r.Body.(*readBody); !read {
			_ = p.client.SetReadDeadline(time.Now().Add(p.Body))
		}
	}
}

// Slow reports whether the client can be slow: whether it is not in this process.
func (w *Writer) Slow() bool { return w.pace != nil }

// Hold counts so much of an answer for the request's user until the client has taken it. What
// the user may not keep beside its seats is kept with them.
func (w *Writer) Hold(bytes int) {
	bytes -= w.rendered // counted already
	if p := w.pace; p != nil && bytes > FreeBytes && !p.ticket.Take(flowcontrol.Bytes, bytes) {
		p.keepSeats()
	}
}

// Reserve counts memory for an answer that is made for this client alone. An error is the
// refusal of what its user may not have.
func (w *Writer) Reserve(bytes int) error {
	if bytes <= FreeBytes || w.pace == nil || w.pace.ticket.Exempt() {
		return nil
	}
	if bytes > maxRendered {
		return apistatus.TooExpensive(fmt.Errorf("the answer takes more than %d MiB in this form; use limit and continue, or another form", maxRendered>>20))
	}
	if !w.pace.ticket.Take(flowcontrol.Bytes, bytes) {
		return apistatus.TooManyRequests()
	}
	w.rendered += bytes
	return nil
}

// BeginStream releases the seats of a request that has become a stream. A paused one may
// stop reading for longer.
func (w *Writer) BeginStream(paused bool) {
	if w.pace != nil {
		w.pace.beginStream(paused)
	}
}

// Finish is called when the handler has returned.
func (w *Writer) Finish(r *http.Request) {
	if w.pace != nil {
		w.pace.finish(r, w.Code)
	}
}
