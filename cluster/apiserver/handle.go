package apiserver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"wheelhouse/cluster/apiserver/apistatus"
	"wheelhouse/cluster/apiserver/audit"
	"wheelhouse/cluster/apiserver/connection"
	"wheelhouse/cluster/apiserver/flowcontrol"
	"wheelhouse/cluster/apiserver/requestinfo"
	"wheelhouse/cluster/client"
)

// request is one API request.
type request struct {
	*http.Request
	*requestinfo.Info
	s    *Server
	w    *connection.Writer
	user *client.User
	// routes are those of the table of kinds when the request came.
	routes *routes
	res    *resource // of the path, nil when it names none
	// serve answers the request once it is allowed; refusal is the error when there is none.
	serve   handler
	refusal error

	audit     *audit.Trail
	inProcess bool // the caller is a component of this very process
	bodySize  int  // of what the client sent, or of what its patch made of the object
	ticket    flowcontrol.Ticket
}

// handle counts, authenticates, authorizes, bounds and answers a request.
func (s *Server) handle(w http.ResponseWriter, req *http.Request) {
	if req.Context().Err() != nil {
		panic(http.ErrAbortHandler) // the client cancelled it before it was served
	}
	start := time.Now()
	r := &request{Request: req, Info: requestinfo.Parse(req), s: s, routes: s.routes.Load(), w: &connection.Writer{ResponseWriter: w}}
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
	done := s.metrics.Begin(r.Info, r.serve != nil)
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
	if err := s.serve(r); err != nil {
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
	if err := s.authorize(r, r.Verb); err != nil {
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
		user, err := s.Authenticator.Authenticate(r.Request)
		if err != nil || user == nil {
			r.audit.Refused(user)
			s.Log.Debug("not authenticated", "path", r.Path, "remote", r.RemoteAddr, "err", err)
			return unauthenticated(err)
		}
		r.user = user
		r.Request = r.Request.WithContext(client.WithUser(r.Context(), user))
	}
	// A proxied service must not get it.
	r.Header.Del("Authorization")
	r.audit.Authenticated(r.Request, r.user)
	return nil
}

// unauthenticated keeps an authenticator's own Status (of a refused impersonation, say).
func unauthenticated(err error) error {
	if err != nil && apistatus.Of(err).Code != http.StatusInternalServerError {
		return err
	}
	return apistatus.Unauthorized()
}

// authorize returns a 403 if the user may not do to the request's object what the verb
// stands for: the request's own verb, or another that it needs as well.
func (s *Server) authorize(r *request, verb string) error {
	a := r.Attributes(r.user, verb)
	a.FieldSelector = r.Info.FieldSelector(r.URL)
	allowed, reason, err := s.Authorizer.Authorize(r.Context(), a)
	r.audit.Authorized(allowed, reason, err)
	if err != nil {
		return fmt.Errorf("authorizing: %w", err)
	}
	if !allowed {
		return apistatus.Forbidden(&a, reason)
	}
	return nil
}

// longRunning reports whether the request has no timeout and counts as a stream.
func (r *request) longRunning() bool { return r.serve != nil && r.Info.LongRunning() }

// serveResource calls the handler of the route.
func (r *request) serveResource() error {
	if r.res != nil && r.res.retirement != "" {
		r.w.Warn(r.res.retirement)
	}
	if r.refusal != nil {
		return r.refusal
	}
	return r.serve(r)
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
	for prefix, h := range s.Paths {
		if strings.HasPrefix(path, prefix) {
			h.ServeHTTP(r.w, r.Request)
			return nil
		}
	}
	if name, check, ok := healthPath(path); ok {
		return r.serveHealth(name, check)
	}
	return apistatus.PathNotFound()
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
