package apiserver

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
)

// recorder is the http.ResponseWriter of every request. It remembers the status code,
// and passes flushes and hijacks on.
type recorder struct {
	http.ResponseWriter
	code int // 0: nothing was written yet
}

func (w *recorder) WriteHeader(code int) {
	if w.code == 0 && code >= 200 {
		w.code = code
	}
	w.ResponseWriter.WriteHeader(code)
}

func (w *recorder) Write(p []byte) (int, error) {
	if w.code == 0 {
		w.code = http.StatusOK
	}
	return w.ResponseWriter.Write(p)
}

func (w *recorder) Flush() {
	if f, ok := w.ResponseWriter.(http.Flusher); ok {
		if w.code == 0 {
			w.code = http.StatusOK
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
		w.code = http.StatusSwitchingProtocols
	}
	return conn, buf, err
}

// Unwrap serves http.ResponseController.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }
