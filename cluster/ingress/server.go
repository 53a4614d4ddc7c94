package ingress

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"wheelhouse/cluster/connlimit"
)

// The bounds of what a client may do before there is a request, and of its connections.
const (
	connsPerSource, connsTotal = 400, 1000
	headerTimeout              = 10 * time.Second // of a TLS handshake and of the headers of a request
	idleTimeout                = 75 * time.Second
	maxHeaderBytes             = 32 << 10 // net/http allows 4 KiB more
	streamsPerConn             = 100
	relisten                   = 5 * time.Second // between attempts to get a port that is in use
	shutdown                   = 5 * time.Second
)

// server has the listeners.
type server struct {
	handler  *handler
	fallback *tls.Certificate
	log      *slog.Logger
	serving  atomic.Int32 // listeners
	changed  func()       // a listener serves
}

// run serves HTTP and TLS until ctx is done. A port of 0 is not served. A port that is in use is waited for: the
// rest of the process does not depend on it.
func (s *server) run(ctx context.Context, plain, secure netip.AddrPort) error {
	all, ctx := errgroup.WithContext(ctx)
	if plain.Port() != 0 {
		all.Go(func() error { return s.serve(ctx, plain, nil) })
	}
	if secure.Port() != 0 {
		config := &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: s.certificate}
		all.Go(func() error { return s.serve(ctx, secure, config) })
	}
	return all.Wait()
}

func (s *server) serve(ctx context.Context, at netip.AddrPort, config *tls.Config) error {
	for told := false; ; told = true {
		var l net.ListenConfig
		listener, err := l.Listen(ctx, "tcp", at.String())
		if err == nil {
			return s.serveOn(ctx, listener, config)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if !told {
			s.log.Warn("Ingresses are not served at this port; it is tried again", "address", at, "err", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(relisten):
		}
	}
}

// serveOn serves on a listener, which it closes. It returns the error of ctx when that is done, after requests
// under way have had a moment to end.
func (s *server) serveOn(ctx context.Context, l net.Listener, config *tls.Config) error {
	bounded := connlimit.New(l, connlimit.Config{PerSource: connsPerSource, Total: connsTotal})
	web := &http.Server{
		Handler: s.handler, ConnState: bounded.ConnState, TLSConfig: config, Protocols: new(http.Protocols),
		ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
		HTTP2:    &http.HTTP2Config{MaxConcurrentStreams: streamsPerConn, SendPingTimeout: 30 * time.Second, PingTimeout: 15 * time.Second},
		ErrorLog: log.New(discard{}, "", 0), // what hostile clients cause
	}
	web.Protocols.SetHTTP1(true)
	serve := web.Serve
	if config == nil {
		web.Protocols.SetUnencryptedHTTP2(true)
	} else {
		web.Protocols.SetHTTP2(true)
		serve = func(l net.Listener) error { return web.ServeTLS(l, "", "") }
	}
	s.serving.Add(1)
	defer s.serving.Add(-1)
	s.changed()
	ended := make(chan error, 1)
	go func() { ended <- serve(bounded) }()
	select {
	case err := <-ended:
		return fmt.Errorf("serving Ingresses: %w", err)
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdown)
	defer cancel()
	if err := web.Shutdown(stop); errors.Is(err, context.DeadlineExceeded) {
		_ = web.Close() // what is still open is cut
	}
	return ctx.Err()
}

// certificate returns the certificate of the host that the client asks for.
func (s *server) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if c := s.handler.table.Load().certs.find(hello.ServerName); c != nil {
		return c, nil
	}
	return s.fallback, nil
}
