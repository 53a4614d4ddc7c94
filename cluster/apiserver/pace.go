package apiserver

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"wheelhouse/cluster/apiserver/apistatus"
	"wheelhouse/cluster/apiserver/flowcontrol"
)

// ClientTimeouts bound how long clients may take. Each has the default that is named.
type ClientTimeouts struct {
	Body      time.Duration // for a body, beyond what it takes at BodyRate; 10 s
	BodyRate  int           // bytes a second that a body comes at least; 8 KiB
	Seat      time.Duration // in which an answer is written with the seats kept; 250 ms
	Keep      time.Duration // for an answer that keeps its seats until the client has it; RequestTimeout
	Write     time.Duration // for one write of at most writeSize bytes, also to a watch; 30 s
	Stream    time.Duration // the same to other streams, which people pause; 10 minutes
	QueueWait time.Duration // for seats; a quarter of RequestTimeout, as upstream
}

// withDefaults fills in what is not set.
func (p ClientTimeouts) withDefaults(request time.Duration) ClientTimeouts {
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
	// freeBytes is how much of a body or an answer is not counted for its user: requests
	// under way are bounded themselves.
	freeBytes = 64 << 10
	// answerTime is how long an answer may take that makes no progress which the server
	// sees: HTTP/2 streams end then, also when their handler has returned.
	answerTime = 90 * time.Second
)

// pace keeps a slow client of the network from holding up more than its own request. Its timers do
// nothing as long as the client keeps up.
type pace struct {
	ClientTimeouts
	client *http.ResponseController
	ticket *flowcontrol.Ticket

	mu       sync.Mutex
	timer    *time.Timer
	first    time.Time // when the answer began
	extended time.Time // when the stream's deadline was last put off
	writing  bool
	released bool // the seats are given back, or kept to the end
	kept     bool
	stream   bool
	ended    bool
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
		p.timer = time.AfterFunc(p.wait(), p.late)
		return
	}
	now := time.Now()
	if now.Sub(p.first) > p.Seat {
		p.release()
	}
	if !p.stream && now.Sub(p.extended) > answerTime/4 {
		p.extended = now
		_ = p.client.SetWriteDeadline(now.Add(answerTime)) // the write reports what is wrong
	}
	p.timer.Reset(p.wait())
}

func (p *pace) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.writing = false
	p.timer.Stop()
}

// wait is how long the present write may take until something is done.
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

// late is called while a write is held up: the seats are given back first, and in the end
// the client is cut off.
func (p *pace) late() {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case !p.writing || p.ended:
	case !p.released:
		p.release()
		p.timer.Reset(p.wait())
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

// keepSeats makes a request whose answer its user may not keep in memory without them
// occupy its seats until the client has it.
func (p *pace) keepSeats() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.released, p.kept = true, true
}

// beginStream is called when a request has become a stream, which lasts as long as the
// client wants. paused says that it may stop reading for a while.
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
func (p *pace) finish(r *request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	if p.timer != nil {
		p.timer.Stop()
	}
	if r.w.code == http.StatusSwitchingProtocols {
		return // the connection belongs to others
	}
	if p.stream {
		_ = p.client.SetWriteDeadline(time.Now().Add(p.Write))
	}
	// What is left of a body is read before the next request of an HTTP/1.1 connection.
	if r.ProtoMajor == 1 && r.Body != nil && r.Body != http.NoBody {
		if _, read := r.Body.(*readAhead); !read {
			_ = p.client.SetReadDeadline(time.Now().Add(p.Body))
		}
	}
}

// hold counts so much of an answer for the request's user for as long as the client has
// not taken it. What the user may not keep beside its seats is kept with them.
func (r *request) hold(bytes int) {
	bytes -= r.rendered // counted already
	if p := r.w.pace; p != nil && bytes > freeBytes && !r.ticket.Take(flowcontrol.Bytes, bytes) {
		p.keepSeats()
	}
}

// beginStream ends the part of a stream that takes a seat.
func (r *request) beginStream(paused bool) {
	if r.w.pace != nil {
		r.w.pace.beginStream(paused)
	}
}

// readAhead is a body that was read before the request was executed.
type readAhead struct {
	data []byte
	err  error
}

func (b *readAhead) Read([]byte) (int, error) { return 0, io.EOF }
func (b *readAhead) Close() error             { return nil }

var errSlowBody = apistatus.New(http.StatusRequestTimeout, "Timeout", "the body of the request did not arrive in time")

// readAhead reads the body before the request takes a seat, so that a client that sends it
// slowly holds up nobody. An error is the handler's to return, in its turn.
func (r *request) readAhead() {
	if r.w.pace == nil || !r.readsBody() {
		return
	}
	data, err := r.readInTime()
	r.Body = &readAhead{data, err}
}

// readInTime reads the body; the connection's deadline ends a read that takes too long.
func (r *request) readInTime() ([]byte, error) {
	if r.ContentLength > apistatus.MaxBody {
		return nil, apistatus.BodyTooLarge()
	}
	p := r.w.pace
	var read atomic.Int64
	var late atomic.Bool
	began := time.Now()
	limit := func() time.Duration {
		allowed := p.Body + time.Duration(read.Load())*time.Second/time.Duration(p.BodyRate)
		if end, ok := r.Context().Deadline(); ok {
			allowed = min(allowed, end.Sub(began))
		}
		return allowed - time.Since(began)
	}
	var timer *time.Timer
	p.mu.Lock()
	timer = time.AfterFunc(limit(), func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.ended {
			return
		}
		if left := limit(); left > 0 {
			timer.Reset(left)
			return
		}
		late.Store(true)
		_ = p.client.SetReadDeadline(time.Unix(1, 0)) // ends the read
	})
	p.mu.Unlock()
	defer timer.Stop()
	body, err := r.readCounted(&read)
	var status apierrors.APIStatus
	switch {
	case late.Load():
		return nil, errSlowBody
	case err != nil && !errors.As(err, &status):
		return nil, apistatus.BadRequest("reading the body of the request: %v", err)
	}
	return body, err
}

// readCounted reads into a buffer that grows with what has come, not with what was
// announced, and counts it for the user.
func (r *request) readCounted(read *atomic.Int64) ([]byte, error) {
	size := min(r.ContentLength, freeBytes)
	if size <= 0 { // it is not known
		size = 4 << 10
	}
	body := make([]byte, 0, size)
	for {
		n, err := r.Body.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		read.Store(int64(len(body)))
		switch {
		case len(body) > apistatus.MaxBody:
			return nil, apistatus.BodyTooLarge()
		case err == io.EOF || (int64(len(body)) == r.ContentLength && len(body) > 0):
			return body, nil
		case err != nil:
			return nil, err
		}
		if len(body) < cap(body) {
			continue
		}
		grown := min(2*cap(body), apistatus.MaxBody+1)
		if grown > freeBytes && !r.ticket.Take(flowcontrol.Bytes, grown-cap(body)) {
			return nil, apistatus.TooManyRequests()
		}
		body = append(make([]byte, 0, grown), body...)
	}
}
