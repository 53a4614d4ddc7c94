// Package registry is the image registry of a class: an HTTP handler that speaks the OCI distribution protocol. Everybody
// whom the caller admits pulls; only the instructor pushes. It owns the images that were pushed, in a directory,
// and serves those of a base beside them, such as the ones of a bundle. It never writes to the base, and it
// has no TLS and no address of its own: the caller serves the handler at the root of a host, with TLS and with a timeout
// for headers.
//
// An image is found under the name that it was pushed with, and under the full name that its short name stands for:
// /v2/docker.io/library/nginx/, /v2/library/nginx/ (as Docker asks a mirror), /v2/nginx/, and
// /v2/library/nginx/?ns=docker.io (as containerd asks a mirror) are the same repository.
package registry

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"cuelabs.dev/go/oci/ociregistry"
	"cuelabs.dev/go/oci/ociregistry/ociref"
	"cuelabs.dev/go/oci/ociregistry/ociserver"

	"wheelhouse/lab-runner/classroom/address"
)

// Instructor is the user who may push.
const Instructor = "instructor"

// The bounds of a request.
const (
	MaxManifest     = 4 << 20 // bytes, as registries of others have it
	minPassword     = 12      // bytes
	requestTimeout  = 30 * time.Minute
	requestsAtOnce  = 128
	requestsEach    = 32 // of one address, so that others have turns
	waitForTurn     = 30 * time.Second
	defaultMaxBlob  = 4 << 30
	defaultMaxTotal = 20 << 30
)

// Config is what a registry needs.
type Config struct {
	Dir      string                     // has the images that are pushed; "": none can be pushed
	Base     ociregistry.Interface      // further images, which cannot be changed; nil: none
	Password string                     // of the user Instructor, at least 12 bytes; "": nobody pushes
	Allow    func(r *http.Request) bool // reports whether a client may pull; nil: everybody may
	MaxBlob  int64                      // bytes of one layer, default 4 GiB
	MaxTotal int64                      // bytes of all that was pushed, default 20 GiB
	Log      *slog.Logger               // default: none
}

// Registry is the handler.
type Registry struct {
	config  Config
	key     [32]byte // signs tokens
	backend ociregistry.Interface
	server  http.Handler
	turns   chan struct{}
	guesses guesses
	shares  shares
}

// New returns a registry; it starts nothing. An error says that the directory cannot be used, or the password is too short.
func New(c Config) (*Registry, error) {
	if c.Password != "" && len(c.Password) < minPassword {
		return nil, fmt.Errorf("the registry's password has %d characters: it needs %d or more", len(c.Password), minPassword)
	}
	if c.MaxBlob <= 0 {
		c.MaxBlob = defaultMaxBlob
	}
	if c.MaxTotal <= 0 {
		c.MaxTotal = defaultMaxTotal
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	layers := &overlay{base: c.Base}
	if c.Dir != "" {
		d, err := openDisk(c.Dir, c.MaxBlob, c.MaxTotal)
		if err != nil {
			return nil, err
		}
		d.others, layers.disk = layers, d
	}
	r := &Registry{config: c, backend: layers, turns: make(chan struct{}, requestsAtOnce)}
	if _, err := rand.Read(r.key[:]); err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	r.server = ociserver.New(layers, &ociserver.Options{WriteError: r.writeError})
	return r, nil
}

// writeError writes an error as the protocol has it. Errors of this machine are logged, and clients see no path of it.
func (r *Registry) writeError(w http.ResponseWriter, req *http.Request, err error) {
	if _, status := ociregistry.MarshalError(err); status >= http.StatusInternalServerError && req.Context().Err() == nil {
		r.config.Log.Warn("the registry cannot answer", "method", req.Method, "path", req.URL.Path, "err", err)
		err = ociregistry.NewError("the registry cannot do this; its log says why", "UNKNOWN", nil)
	}
	_ = ociregistry.WriteError(w, err) // the client is gone
}

// ServeHTTP answers a request of the protocol.
func (r *Registry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	deadline := time.Now().Add(requestTimeout)
	ctx, cancel := context.WithDeadline(req.Context(), deadline)
	defer cancel()
	control := http.NewResponseController(w)
	if err := errors.Join(control.SetReadDeadline(deadline), control.SetWriteDeadline(deadline)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		r.writeError(w, req, err)
		return
	}
	client := address.Of(req.RemoteAddr)
	if !r.shares.enter(client) {
		r.writeError(w, req, ociregistry.ErrTooManyRequests)
		return
	}
	defer r.shares.leave(client)
	if !r.takeTurn(ctx) {
		r.writeError(w, req, ociregistry.ErrTooManyRequests)
		return
	}
	defer func() { <-r.turns }()
	req, w = req.WithContext(ctx), boundedWriter{w, ctx}
	if req.URL.Path == tokenPath {
		r.serveToken(w, req)
		return
	}
	if !r.mayDo(w, req) {
		return
	}
	if _, _, upload := cutLast(req.URL.Path, "/blobs/uploads/"); !upload || strings.Contains(req.URL.Path, "/manifests/") {
		req.Body = http.MaxBytesReader(w, req.Body, MaxManifest)
	}
	if ns := req.URL.Query().Get("ns"); ociref.IsValidHost(ns) {
		req = req.WithContext(context.WithValue(ctx, namespaceKey{}, ns))
	}
	adapted, err := r.adapt(req)
	if err != nil {
		r.writeError(w, req, err)
		return
	}
	r.server.ServeHTTP(w, adapted)
}

// shares counts the requests of each address that are served.
type shares struct {
	mu sync.Mutex
	by map[netip.Prefix]int
}

// enter reports whether one more of the client may be served; leave must follow then.
func (s *shares) enter(client netip.Prefix) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.by == nil {
		s.by = map[netip.Prefix]int{}
	}
	if s.by[client] >= requestsEach {
		return false
	}
	s.by[client]++
	return true
}

func (s *shares) leave(client netip.Prefix) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.by[client]--; s.by[client] == 0 {
		delete(s.by, client)
	}
}

// boundedWriter is the writer of a request that has a time as a whole: a listener that bounds each write may put its deadline off, for a
// client that reads a byte now and then.
type boundedWriter struct {
	http.ResponseWriter
	ctx context.Context
}

func (w boundedWriter) Write(b []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (w boundedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// takeTurn waits until less than the most requests are served; false when that takes too long.
func (r *Registry) takeTurn(ctx context.Context) bool {
	timer := time.NewTimer(waitForTurn)
	defer timer.Stop()
	select {
	case r.turns <- struct{}{}:
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	return false
}
