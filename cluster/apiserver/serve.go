package apiserver

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"wheelhouse/cluster/apiserver/connection"
	"wheelhouse/cluster/client"
	"wheelhouse/cluster/connlimit"
)

// drainTimeout is how long requests may go on when the server stops.
const drainTimeout = 5 * time.Second

// The bounds on clients before they are authenticated. A class may share one address.
const (
	maxPerSource   = 2000
	maxConnections = 8000
	headerTimeout  = 10 * time.Second // for the TLS handshake, and for the head of a request
	headerBytes    = 128 << 10
)

// Serve answers requests on ln, over TLS if conf is not nil (HTTP/2 and HTTP/1.1), until
// ctx ends; then it ends the streams and waits a moment for the other requests.
func (s *Server) Serve(ctx context.Context, ln net.Listener, conf *tls.Config) error {
	bounded := connlimit.New(ln, connlimit.Config{PerSource: maxPerSource, Total: maxConnections, WriteStall: s.ClientTimeouts.Write, StreamStall: s.ClientTimeouts.Stream})
	srv := &http.Server{
		Handler:     s.Handler(),
		ConnContext: client.WithPeer,
		ConnState: func(c net.Conn, state http.ConnState) {
			bounded.ConnState(c, state)
			s.conns.Track(c, state)
		},
		ReadHeaderTimeout: headerTimeout,
		WriteTimeout:      connection.AnswerTimeout, // extended while an answer makes progress
		IdleTimeout:       3 * time.Minute,
		MaxHeaderBytes:    headerBytes,
		ErrorLog:          slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug),
		// One client-go process multiplexes all its watches and requests over one
		// connection, and opens another beyond this many, upstream's number. What clients send is kept for
		// handlers that do not read it yet: no more than most objects are large.
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          100,
			MaxReadFrameSize:              256 << 10,
			MaxReceiveBufferPerConnection: 1 << 20,
			MaxReceiveBufferPerStream:     256 << 10,
		},
	}
	if conf != nil {
		conf = conf.Clone()
		conf.NextProtos = []string{"h2", "http/1.1"}
		srv.TLSConfig = conf
	}
	done := make(chan error, 1)
	go func() {
		if conf != nil {
			done <- srv.ServeTLS(bounded, "", "")
		} else {
			done <- srv.Serve(bounded)
		}
	}()
	select {
	case err := <-done:
		s.Close()
		return err
	case <-ctx.Done():
	}
	s.Close()
	_ = ln.Close()
	s.drain()
	_ = srv.Close()
	if err := <-done; !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// drain waits for the requests in flight, and for their answers to be sent.
// http.Server.Shutdown would wait a second more for every idle HTTP/2 connection.
func (s *Server) drain() {
	const step = 5 * time.Millisecond
	tick := time.NewTicker(step)
	defer tick.Stop()
	quiet := 0
	for waited := time.Duration(0); waited < drainTimeout && quiet < 4; waited += step {
		<-tick.C
		if s.active.Load() == 0 {
			quiet++
		} else {
			quiet = 0
		}
	}
}

// Drop closes the connections whose client certificate is refused, and lets those to kubelets
// be verified again.
func (s *Server) Drop(refused func(*x509.Certificate) bool) {
	s.nodes.Reset()
	s.conns.Drop(refused)
}
