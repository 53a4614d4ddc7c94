package apiserver

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"wheelhouse/cluster/client"
)

// drainTime is how long requests may go on when the server has been told to stop.
const drainTime = 5 * time.Second

// Serve answers requests on ln, over TLS if conf is not nil (HTTP/2 and HTTP/1.1), until
// ctx ends; then it ends the streams and waits a moment for the other requests.
func (s *Server) Serve(ctx context.Context, ln net.Listener, conf *tls.Config) error {
	srv := &http.Server{
		Handler:           s.Handler(),
		ConnContext:       client.WithPeer,
		ConnState:         s.conns.track,
		ReadHeaderTimeout: 30 * time.Second,
		IdleTimeout:       3 * time.Minute,
		ErrorLog:          slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug),
		// One client-go process multiplexes all its watches and requests over one
		// connection: enough streams for many informers, and windows that hold a
		// large list without a round trip.
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          1000,
			MaxReadFrameSize:              256 << 10,
			MaxReceiveBufferPerConnection: 8 << 20,
			MaxReceiveBufferPerStream:     4 << 20,
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
			done <- srv.ServeTLS(ln, "", "")
		} else {
			done <- srv.Serve(ln)
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

// drain waits for the requests that are under way, and for what they wrote to leave.
// http.Server.Shutdown would wait a second more for every idle HTTP/2 connection.
func (s *Server) drain() {
	const step = 5 * time.Millisecond
	tick := time.NewTicker(step)
	defer tick.Stop()
	quiet := 0
	for waited := time.Duration(0); waited < drainTime && quiet < 4; waited += step {
		<-tick.C
		if s.active.Load() == 0 {
			quiet++
		} else {
			quiet = 0
		}
	}
}
