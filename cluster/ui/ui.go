// Package ui serves a web page that shows the objects of the cluster.
//
// It serves static files and has no access to the cluster: the page reads the API with
// the rights of the user in whose browser it runs, through the API server's proxy to the
// service kube-ui (`kubectl proxy`, then the URL that `kubectl cluster-info` prints). The
// port itself serves no data.
//
// The page is the cluster view of lab-runner/classroom/web. A program that was built without
// it (go build alone) serves page.html, which shows the tables only.
package ui

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"wheelhouse/cluster/connlimit"
	"wheelhouse/lab-runner/classroom/web"
)

//go:embed page.html
var page []byte

// view is the built page among the files of web.
const view = "cluster.html"

// Handler serves the page at "/", and the files that it loads.
func Handler() http.Handler {
	if !web.Built() {
		return handler(nil)
	}
	return handler(web.Assets())
}

// handler serves the view of files, or page.html if files is nil.
func handler(files fs.FS) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-cache")
		if files != nil {
			h.Set("Content-Security-Policy", web.ContentSecurityPolicy)
			http.ServeFileFS(w, r, files, view)
			return
		}
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'")
		_, _ = w.Write(page) // fails only if the client has closed the connection
	})
	mux.HandleFunc("GET /{path...}", func(w http.ResponseWriter, r *http.Request) {
		name := r.PathValue("path")
		if files == nil || strings.HasSuffix(name, ".html") {
			http.NotFound(w, r) // the other pages are the class's
			return
		}
		if info, err := fs.Stat(files, name); err != nil || info.IsDir() {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Cache-Control", "no-cache")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		http.ServeFileFS(w, r, files, name)
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
