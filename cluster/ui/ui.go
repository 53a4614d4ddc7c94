// Package ui serves a web page that shows the objects of the cluster.
//
// It serves one static file and has no access to the cluster: the page reads the API with
// the rights of the user in whose browser it runs, through the API server's proxy to the
// service kube-ui (`kubectl proxy`, then the URL that `kubectl cluster-info` prints). The
// port itself serves no data.
package ui

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"

	"wheelhouse/cluster/connlimit"
)

//go:embed page.html
var page []byte

// Handler serves the page at every path that ends in "/".
func Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'")
		h.Set("Cache-Control", "no-cache")
		_, _ = w.Write(page) // fails only if the client has closed the connection
	})
	return mux
}

// Run serves the page on addr until ctx is done.
func Run(ctx context.Context, addr netip.AddrPort) error {
	l, err := net.Listen("tcp", addr.String())
	if err != nil {
		return fmt.Errorf("listening for the web page: %w", err)
	}
	server, bounded := connlimit.NewServer(l, Handler())
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(bounded); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving the web page: %w", err)
	}
	return ctx.Err()
}
