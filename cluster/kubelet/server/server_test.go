package server

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// One address cannot have all connections to the node's server: a new one takes the place
// of one that has sent no request.
func TestConnectionsOfOneClient(t *testing.T) {
	s := New(Config{
		Listen: "127.0.0.1:0", Serving: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &tls.Certificate{}, nil },
		ClientCAs: x509.NewCertPool(), Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(),
	})
	h, l, err := s.open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	h.ReadHeaderTimeout = time.Hour // which ends such a connection, too, but late
	done := make(chan error, 1)
	go func() { done <- h.Serve(l) }()
	var all []net.Conn
	for range connections.PerSource + 1 {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	if _, err := all[0].Read(make([]byte, 1)); err == nil { // an end, or a reset
		t.Error("the first connection is still there")
	}
	for _, c := range all {
		c.Close()
	}
	_ = h.Close()
	if err := <-done; !errors.Is(err, http.ErrServerClosed) {
		t.Error(err)
	}
}
