package connection

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/cluster/apiserver/flowcontrol"
	"wheelhouse/cluster/linger"
)

// Writer is the http.ResponseWriter of every request. It records the status code, and passes
// flushes and hijacks on.
type Writer struct {
	http.ResponseWriter
	Code     int            // 0: nothing was written yet
	Status   *metav1.Status // the answer, if it is one
	Hijacked net.Conn       // that the handler has taken over
	Started  func(code int) // nil, or is called when the answer begins
	CopyTo   io.Writer      // nil, or gets what is written

	pace     *pace // nil when the client is in this process
	warnings warnings
	rendered int // bytes that are counted for the answer before it is written
}

// NewWriter returns the Writer of a request from the network, whose bytes ticket counts.
func NewWriter(w http.ResponseWriter, ticket *flowcontrol.Ticket, t ClientTimeouts) *Writer {
	return &Writer{ResponseWriter: w, pace: &pace{ClientTimeouts: t, client: http.NewResponseController(w), ticket: ticket}}
}

// begin records the code of the answer, which stays.
func (w *Writer) begin(code int) {
	if w.Code != 0 {
		return
	}
	w.Code = code
	if w.Started != nil {
		w.Started(code)
	}
}

// WriteHeader implements http.ResponseWriter.
func (w *Writer) WriteHeader(code int) {
	if code >= 200 {
		w.begin(code)
	}
	w.ResponseWriter.WriteHeader(code)
}

// Write implements http.ResponseWriter.
func (w *Writer) Write(p []byte) (int, error) {
	w.begin(http.StatusOK)
	if w.CopyTo != nil {
		_, _ = w.CopyTo.Write(p) // never fails
	}
	if w.pace != nil {
		return w.pace.write(w.ResponseWriter, p)
	}
	return w.ResponseWriter.Write(p)
}

// Flush implements http.Flusher.
func (w *Writer) Flush() {
	if f, ok := w.ResponseWriter.(http.Flusher); ok {
		w.begin(http.StatusOK)
		if w.pace != nil {
			w.pace.begin()
			defer w.pace.end()
		}
		f.Flush()
	}
}

// lingerTime is how long a client that goes on sending has to read the end of an upgraded connection.
const lingerTime = 5 * time.Second

// Hijack implements http.Hijacker. The connection's Close loses nothing that was written (package linger).
func (w *Writer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	h, ok := w.ResponseWriter.(http.Hijacker)
	if !ok {
		return nil, nil, fmt.Errorf("this connection cannot be upgraded (HTTP/2, or a caller in the same process)")
	}
	conn, buf, err := h.Hijack()
	if err == nil {
		w.Hijacked = conn
		conn = linger.New(conn, lingerTime)
		w.begin(http.StatusSwitchingProtocols)
	}
	return conn, buf, err
}

// Unwrap is for http.ResponseController.
func (w *Writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }
