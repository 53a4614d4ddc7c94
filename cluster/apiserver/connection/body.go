package connection

import (
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"wheelhouse/cluster/apiserver/apistatus"
	"wheelhouse/cluster/apiserver/flowcontrol"
)

// readBody is a body that was read before the request was executed.
type readBody struct {
	data []byte
	err  error
}

func (b *readBody) Read([]byte) (int, error) { return 0, io.EOF }
func (b *readBody) Close() error             { return nil }

var errSlowBody = apistatus.New(http.StatusRequestTimeout, "Timeout", "the body of the request did not arrive in time")

// ReadAhead reads the body before the request takes a seat, so that a client that sends it
// slowly delays no other request. An error is ReadBody's to return.
func (w *Writer) ReadAhead(r *http.Request) {
	if w.pace != nil {
		data, err := w.pace.readInTime(r)
		r.Body = &readBody{data, err}
	}
}

// BodySize returns the bytes of a body that was read ahead; false for others.
func BodySize(r *http.Request) (int, bool) {
	body, ok := r.Body.(*readBody)
	if !ok {
		return 0, false
	}
	return len(body.data), true
}

// ReadBody returns the whole body, if it is not too large.
func ReadBody(r *http.Request) ([]byte, error) {
	if r.Body == nil || r.Body == http.NoBody {
		return nil, nil
	}
	if ahead, ok := r.Body.(*readBody); ok {
		return ahead.data, ahead.err
	}
	if r.ContentLength > apistatus.MaxBody {
		return nil, apistatus.BodyTooLarge()
	}
	var body []byte
	var err error
	if n := r.ContentLength; n > 0 {
		body = make([]byte, n)
		_, err = io.ReadFull(r.Body, body)
	} else {
		body, err = io.ReadAll(io.LimitReader(r.Body, apistatus.MaxBody+1))
	}
	if err != nil {
		return nil, apistatus.BadRequest("reading the body of the request: %v", err)
	}
	if len(body) > apistatus.MaxBody {
		return nil, apistatus.BodyTooLarge()
	}
	return body, nil
}

// readInTime reads the body; the connection's deadline ends a read that takes too long.
func (p *pace) readInTime(r *http.Request) ([]byte, error) {
	var read atomic.Int64
	var late atomic.Bool
	start := time.Now()
	limit := func() time.Duration {
		allowed := p.Body + time.Duration(read.Load())*time.Second/time.Duration(p.BodyRate)
		if end, ok := r.Context().Deadline(); ok {
			allowed = min(allowed, end.Sub(start))
		}
		return allowed - time.Since(start)
	}
	var timer *time.Timer
	p.mu.Lock()
	timer = time.AfterFunc(limit(), func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.finished {
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
	body, err := p.readCounted(r, &read)
	var status apierrors.APIStatus
	switch {
	case late.Load():
		return nil, errSlowBody
	case err != nil && !errors.As(err, &status):
		return nil, apistatus.BadRequest("reading the body of the request: %v", err)
	}
	return body, err
}

// discard reads a body that is too large: many clients read no answer before they have sent
// all. What is far too large is cut off.
func discard(body io.Reader, read *atomic.Int64) error {
	for buf := make([]byte, 32<<10); read.Load() < 4*apistatus.MaxBody; {
		n, err := body.Read(buf)
		read.Add(int64(n))
		if err != nil {
			break
		}
	}
	return apistatus.BodyTooLarge()
}

// readCounted reads into a buffer that grows with what has arrived, not with what was
// announced, and counts it for the user.
func (p *pace) readCounted(r *http.Request, read *atomic.Int64) ([]byte, error) {
	if r.ContentLength > apistatus.MaxBody {
		return nil, discard(r.Body, read)
	}
	size := min(r.ContentLength, FreeBytes)
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
		if grown > FreeBytes && !p.ticket.Take(flowcontrol.Bytes, grown-cap(body)) {
			return nil, apistatus.TooManyRequests()
		}
		body = append(make([]byte, 0, grown), body...)
	}
}
