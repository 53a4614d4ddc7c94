package apiserver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"wheelhouse/cluster/apiserver/apistatus"
	"wheelhouse/cluster/apiserver/authn"
	"wheelhouse/cluster/apiserver/connection"
	"wheelhouse/cluster/apiserver/flowcontrol"
	"wheelhouse/cluster/apiserver/negotiate"
	"wheelhouse/cluster/apiserver/requestinfo"
	"wheelhouse/cluster/client"
)

// handle counts, authenticates, authorizes, bounds and answers a request.
func (s *Server) handle(w http.ResponseWriter, req *http.Request) {
	if req.Context().Err() != nil {
		panic(http.ErrAbortHandler) // the client cancelled it before it was served
	}
	start := time.Now()
	r := newRequest(&exchange{Request: req, Info: requestinfo.Parse(req), s: s, routes: s.routes.Load(), started: start, w: &connection.Writer{ResponseWriter: w}})
	if client.UserFrom(req.Context()) == nil {
		r.w = connection.NewWriter(w, &r.ticket, s.ClientTimeouts)
	}
	if r.IsResource {
		r.res = r.routes.resource(r.Group, r.Version, r.Plural)
		r.serve, r.refusal = s.resolve(r)
	}
	r.audit = s.Audit.Start(req, r.Info, r.w, r.longRunning(), start)
	defer func() { r.audit.Complete() }()
	s.active.Add(1)
	defer s.active.Add(-1)
	done := s.metrics.Begin(req, r.Info, r.serve != nil)
	defer r.finish(req.Context())
	defer func() {
		if r.w.Hijacked != nil {
			s.conns.Remove(r.w.Hijacked)
		}
		if p := recover(); p != nil {
			s.recovered(r, p)
		}
		done(r.w.Code)
		s.Log.Debug("request", "method", req.Method, "path", req.URL.Path, "verb", r.Verb,
			"user", userName(r.user), "code", r.w.Code, "took", time.Since(start))
	}()
	if err := s.serve(r); err != nil { //nolint:contextcheck // the request carries its context
		s.fail(r.w, r.Request, err)
	}
}

// recovered answers for a handler that panicked. http.ErrAbortHandler is intended: it breaks
// the connection off, and is passed on.
func (s *Server) recovered(r *request, p any) {
	r.audit.Panicked(p)
	if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(p)
	}
	s.Log.Error("panic in a handler", "method", r.Method, "path", r.URL.Path, "panic", p, "stack", string(debug.Stack()))
	if r.w.Code == 0 {
		s.fail(r.w, r.Request, errors.New("this request caused the server to panic; the log has the details"))
	} else {
		panic(http.ErrAbortHandler)
	}
}

// maxParameters is how many parameters of a query net/url reads. Of more it reads none, and
// a dry run would be none.
const maxParameters = 10_000

// serve authenticates, bounds and authorizes a request, and calls its handler.
func (s *Server) serve(r *request) error {
	if r.Mutates() {
		growStack(len(r.Verb))
	}
	if err := s.authenticate(r); err != nil {
		r.closeUnauthenticated()
		s.flows.RejectUnauthenticated(r.Context(), &r.ticket, r.RemoteAddr)
		return err
	}
	if err := s.acquireSlot(r); err != nil {
		return err
	}
	if n := strings.Count(r.URL.RawQuery, "&"); n >= maxParameters {
		return apistatus.BadRequest("the query has %d parameters, and at most %d are read", n+1, maxParameters)
	}
	if !r.longRunning() {
		timeout, err := s.timeout(r)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(r.Context(), timeout)
		defer cancel()
		r.Request = r.Request.WithContext(ctx)
	}
	if err := s.authorize(r.exchange, r.Verb); err != nil {
		return err
	}
	if r.readsBody() {
		r.w.ReadAhead(r.Request)
	}
	if err := s.acquireSeats(r); err != nil {
		return err
	}
	if r.IsResource {
		return r.serveResource()
	}
	return s.servePath(r)
}

// timeout returns how long a request may take: its own timeout, if that is shorter.
func (s *Server) timeout(r *request) (time.Duration, error) {
	if !strings.Contains(r.URL.RawQuery, "timeout=") {
		return s.RequestTimeout, nil
	}
	text := r.URL.Query().Get("timeout")
	if text == "" {
		return s.RequestTimeout, nil
	}
	asked, err := time.ParseDuration(text)
	if err != nil {
		return 0, apierrors.NewBadRequest(fmt.Sprintf("invalid timeout specified in the request URL - %v", err))
	}
	if asked <= 0 {
		return s.RequestTimeout, nil
	}
	return min(asked, s.RequestTimeout), nil
}

// authenticate sets the user of the request and of its context. Only callers in the process
// have one in the context already.
func (s *Server) authenticate(r *request) error {
	r.user = client.UserFrom(r.Context())
	r.inProcess = r.user != nil
	if !r.inProcess {
		if s.Authenticator == nil {
			return apistatus.Unauthorized()
		}
		notes := r.collectNotes()
		user, err := s.Authenticator.Authenticate(r.Request)
		if err != nil || user == nil {
			r.audit.Refused(user, notes.Annotations())
			s.Log.Debug("not authenticated", "path", r.Path, "remote", r.RemoteAddr, "err", err)
			return unauthenticated(err)
		}
		r.user = user
		r.Request = r.Request.WithContext(client.WithUser(r.Context(), user))
		defer r.writeNotes(notes)
	}
	s.metrics.Authenticated(r.Request)
	// A proxied service must not get it.
	r.Header.Del("Authorization")
	r.audit.Authenticated(r.Request, r.user)
	return nil
}

// collectNotes lets authentication say more about a token than whose it is.
func (r *exchange) collectNotes() *authn.Notes {
	if r.Header.Get("Authorization") == "" {
		return nil
	}
	notes := &authn.Notes{}
	r.Request = r.Request.WithContext(authn.WithNotes(r.Context(), notes))
	return notes
}

// writeNotes passes on what has been said of a token.
func (r *exchange) writeNotes(notes *authn.Notes) {
	for _, text := range notes.Warnings() {
		r.w.Warn(text)
	}
	r.audit.Annotate(notes.Annotations())
}

// unauthenticated keeps an authenticator's own Status (of a refused impersonation, say).
func unauthenticated(err error) error {
	if err != nil && apistatus.Of(err).Code != http.StatusInternalServerError {
		return err
	}
	return apistatus.Unauthorized()
}

// serveResource calls the handler of the route.
func (r *request) serveResource() error {
	if r.refusal != nil {
		return r.refusal
	}
	if r.res != nil && r.res.retirement != "" && !r.inProcess {
		r.w.Warn(r.res.retirement)
	}
	if r.Mutates() && !r.longRunning() { // before it has an effect
		if _, err := r.output(negotiate.AllForms); err != nil {
			return err
		}
	}
	return r.res.renamed(r.serve(r))
}

// servePath answers paths that are not resources.
func (s *Server) servePath(r *request) error {
	path := r.URL.Path
	switch {
	case path == "/":
		return r.writePaths()
	case path == "/version" || path == "/version/":
		return r.writeVersion()
	case path == "/metrics":
		s.metrics.Handler.ServeHTTP(r.w, r.Request)
		return nil
	case path == "/metrics/slis":
		s.metrics.SLIs.ServeHTTP(r.w, r.Request)
		return nil
	case strings.HasPrefix(path, "/openapi/"):
		if r.routes.openAPI == nil {
			return apistatus.PathNotFound()
		}
		r.routes.openAPI.ServeHTTP(r.w, r.Request)
		return nil
	case path == "/api" || path == "/apis" || strings.HasPrefix(path, "/api/") || strings.HasPrefix(path, "/apis/"):
		return r.serveDiscovery()
	}
	for at, h := range s.Paths {
		if path == at || strings.HasSuffix(at, "/") && strings.HasPrefix(path, at) {
			h.ServeHTTP(r.w, r.Request)
			return nil
		}
	}
	if name, check, ok := healthPath(path); ok {
		return r.serveHealth(name, check)
	}
	http.NotFound(r.w, r.Request) // as upstream, no Status
	return nil
}

func userName(u *client.User) string {
	if u == nil {
		return ""
	}
	return u.Name
}

// growStack makes the goroutine's stack large enough for a write, while there is little on
// it to copy: growing it in the depth of etcd's client takes a twentieth of a create.
//
//go:noinline
func growStack(at int) byte {
	var frame [9 << 10]byte
	return frame[at]
}

// acquireSlot counts a request for its user until the client has the answer. The process's
// own components are exempt: they bound themselves, and a rejection would only delay them.
func (s *Server) acquireSlot(r *request) error {
	if r.inProcess {
		return nil
	}
	what := flowcontrol.Requests
	switch {
	case !r.longRunning():
	case r.Verb == "watch":
		what = flowcontrol.Watches
	default:
		what = flowcontrol.Streams
	}
	if !s.flows.AcquireSlot(r.Context(), &r.ticket, &flowcontrol.Request{
		User: r.user.Name, Groups: r.user.Groups, Remote: r.RemoteAddr, Path: r.Path,
		Verb: r.Verb, Group: r.Group, Resource: r.Plural, Namespace: r.Namespace,
	}, what) {
		return apistatus.TooManyRequests()
	}
	return nil
}

// acquireSeats waits for the seats that executing the request occupies.
func (s *Server) acquireSeats(r *request) error {
	ok, err := flowcontrol.AcquireSeats(r.Context(), &r.ticket, r.width())
	if !ok && err == nil {
		err = apistatus.TooManyRequests()
	}
	return err
}

// What keeps a processor, or the disk, busy for long.
const (
	longList = 1000    // objects
	longBody = 1 << 20 // bytes
)

// width returns how many seats a request occupies: more the more objects a list may have, as
// upstream, and the larger a body is.
func (r *exchange) width() int {
	if r.ticket.Exempt() {
		return 1
	}
	if size, ok := connection.BodySize(r.Request); ok {
		return r.ticket.Width(size, longBody)
	}
	if (r.Verb != "list" && r.Verb != "watch") || r.res == nil || r.res.collection == nil {
		return 1
	}
	objects := r.res.collection.Len()
	if objects > longList/10 && strings.Contains(r.URL.RawQuery, "limit=") {
		if limit, err := strconv.Atoi(r.URL.Query().Get("limit")); err == nil && limit > 0 {
			objects = min(objects, limit)
		}
	}
	return r.ticket.Width(objects, longList)
}

// finish releases the seats when the request has been executed, and the rest when the
// client has the answer, which is when ctx, the connection's context for it, ends.
func (r *exchange) finish(ctx context.Context) {
	r.w.Finish(r.Request)
	if !r.ticket.Exempt() {
		r.ticket.Release()
		context.AfterFunc(ctx, r.ticket.ReleaseSlot)
	}
}

// readsBody reports whether the request's handler takes its body as a whole.
func (r *exchange) readsBody() bool {
	return r.serve != nil && r.Mutates() && !r.longRunning() && r.Body != nil && r.Body != http.NoBody
}

// closeUnauthenticated closes an HTTP/2 connection with the answer to a request without a
// valid credential, as upstream: a new one costs its client a handshake.
func (r *exchange) closeUnauthenticated() {
	if r.ProtoMajor == 2 && !strings.EqualFold(r.w.Header().Get("Connection"), "close") {
		r.w.Header().Set("Connection", "close")
	}
}
