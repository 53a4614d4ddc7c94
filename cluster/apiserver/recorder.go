package apiserver

import (
	"bufio"
	"fmt"
	"net"
	"net/http"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// recorder is the http.ResponseWriter of every request. It remembers the status code,
// and passes flushes and hijacks on.
type recorder struct {
	http.ResponseWriter
	code   int            // 0: nothing was written yet
	status *metav1.Status // the answer, if it is one
	pace   *pace          // nil when the client is in this process

	taken   net.Conn       // that the handler has taken over
	started func(code int) // nil, or is called when the answer begins
	copyTo  *capture       // nil, or gets what is written
}

// begin notes the code of the answer, which stays.
func (w *recorder) begin(code int) {
	if w.code != 0 {
		return
	}
	w.code = code
	if w.started != nil {
		w.started(code)
	}
}

func (w *recorder) WriteHeader(code int) {
	if code >= 200 {
		w.begin(code)
	}
	w.ResponseWriter.WriteHeader(code)
}

func (w *recorder) Write(p []byte) (int, error) {
	w.begin(http.StatusOK)
	if w.copyTo != nil {
		_, _ = w.copyTo.Write(p) // never fails
	}
	if w.pace != nil {
		return w.pace.write(w.ResponseWriter, p)
	}
	return w.ResponseWriter.Write(p)
}

func (w *recorder) Flush() {
	if f, ok := w.ResponseWriter.(http.Flusher); ok {
		w.begin(http.StatusOK)
		if w.pace != nil {
			w.pace.begin()
			defer w.pace.end()
		}
		f.Flush()
	}
}

func (w *recorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	h, ok := w.ResponseWriter.(http.Hijacker)
	if !ok {
		return nil, nil, fmt.Errorf("this connection cannot be upgraded (HTTP/2, or a caller in the same process)")
	}
	conn, buf, err := h.Hijack()
	if err == nil {
		w.taken = conn
		w.begin(http.StatusSwitchingProtocols)
	}
	return conn, buf, err
}

// Unwrap serves http.ResponseController.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }
