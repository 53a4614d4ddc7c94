package dns

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// firstBytes is how long a TCP client may take to show whether it speaks DNS.
const firstBytes = 10 * time.Second

// acceptPause is the delay after Accept has failed.
const acceptPause = 50 * time.Millisecond

// tcpMux distinguishes HTTP from DNS on one TCP listener: `kubectl cluster-info` prints the
// port "dns" of the service kube-dns as a URL, which must serve something. A DNS message
// starts with its length; "GE" and "HE" would be the length of a query of 18 KB and more,
// which does not occur.
type tcpMux struct {
	net.Listener
	dns, http chan net.Conn
	done      chan struct{}
}

func newTCPMux(l net.Listener) *tcpMux {
	return &tcpMux{Listener: l, dns: make(chan net.Conn), http: make(chan net.Conn), done: make(chan struct{})}
}

// run dispatches connections until the listener is closed.
func (s *tcpMux) run() {
	defer close(s.done)
	for {
		c, err := s.Listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // such as no file descriptor left: temporary
			time.Sleep(acceptPause)
			continue
		}
		go s.sort(c)
	}
}

func (s *tcpMux) sort(c net.Conn) {
	p := &peeked{Conn: c, r: bufio.NewReaderSize(c, 512)}
	_ = c.SetReadDeadline(time.Now().Add(firstBytes)) // fails only if c is closed; then Peek fails, too
	start, err := p.r.Peek(2)
	_ = c.SetReadDeadline(time.Time{})
	to := s.dns
	if string(start) == "GE" || string(start) == "HE" {
		to = s.http
	}
	if err == nil {
		select {
		case to <- p:
			return
		case <-s.done:
		}
	}
	_ = c.Close()
}

// peeked is a connection of which some bytes are buffered.
type peeked struct {
	net.Conn
	r *bufio.Reader
}

func (p *peeked) Read(b []byte) (int, error) { return p.r.Read(b) }

// muxListener is one of the two listeners of a tcpMux.
type muxListener struct {
	*tcpMux
	conns chan net.Conn
}

func (s muxListener) Accept() (net.Conn, error) {
	select {
	case c := <-s.conns:
		return c, nil
	case <-s.done:
		return nil, net.ErrClosed
	}
}

// pages are what the TCP port serves by HTTP.
func (s *Server) pages() http.Handler {
	mux := http.NewServeMux()
	ok := func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "OK") }
	mux.HandleFunc("/health", ok)
	mux.HandleFunc("/ready", ok) // nothing listens before the caches are filled
	mux.Handle("/metrics", s.metrics.handler())
	mux.HandleFunc("/", s.info)
	return mux
}

// info describes this server to a browser.
func (s *Server) info(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintf(w, "KubeDNS: names of the domain %s\n\n"+
		"A service: SERVICE.NAMESPACE.svc.%[1]s\nA named pod of a headless service: POD.SERVICE.NAMESPACE.svc.%[1]s\n\n"+
		"In a pod: nslookup kubernetes.default\n", s.cfg.Domain)
}
