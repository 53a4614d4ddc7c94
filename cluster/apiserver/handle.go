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
	"wheelhouse/cluster/apiserver/flowcontrol"
	"wheelhouse/cluster/apiserver/requestinfo"
	"wheelhouse/cluster/client"
)

// request is one API request on its way through the pipeline.
type request struct {
	*http.Request
	*requestinfo.Info
	s    *Server
	w    *recorder
	user *client.User
	res  *resource // of the path, nil when it names none
	// serve answers the request once it is allowed; refusal is why there is no such handler.
	serve   handler
	refusal error

	audit     *auditing
	inProcess bool // the caller is a component of this very process
	warnings  warnings
	bodySize  int // of what the client sent, or of what its patch made of the object
	rendered  int // bytes that are counted for the answer before it is written
	ticket    flowcontrol.Ticket
}

// handle is the pipeline: count, authenticate, authorize, bound, answer.
func (s *Server) handle(w http.ResponseWriter, req *http.Request) {
	if req.Context().Err() != nil {
		panic(http.ErrAbortHandler) // the client took it back before its turn came
	}
	start := time.Now()
	rec := &recorder{ResponseWriter: w}
	r := &request{Request: req, Info: requestinfo.Parse(req), s: s, w: rec}
	if client.UserFrom(req.Context()) == nil {
		rec.pace = &pace{ClientTimeouts: s.ClientTimeouts, client: http.NewResponseController(w), ticket: &r.ticket}
	}
	if r.IsResource {
		r.res = s.resource(r.Group, r.Version, r.Plural)
		r.serve, r.refusal = s.resolve(r)
	}
	r.audit = s.startAudit(r, start)
	defer func() { r.audit.complete() }()
	s.active.Add(1)
	defer s.active.Add(-1)
	done := s.stats.begin(r)
	defer r.finish(req.Context())
	defer func() {
		if rec.taken != nil {
			s.conns.forget(rec.taken)
		}
		if p := recover(); p != nil {
			s.recovered(r, p)
		}
		done(rec.code)
		s.Log.Debug("request", "method", req.Method, "path", req.URL.Path, "verb", r.Verb,
			"user", userName(r.user), "code", rec.code, "took", time.Since(start))
	}()
	if err := s.admitRequest(r); err != nil {
		s.fail(rec, r.Request, err)
	}
}

// recovered answers for a handler that panicked. http.ErrAbortHandler is no accident:
// it breaks the connection off, and goes on.
func (s *Server) recovered(r *request, p any) {
	r.audit.panics(p)
	if p == http.ErrAbortHandler {
		panic(p)
	}
	s.Log.Error("panic in a handler", "method", r.Method, "path", r.URL.Path, "panic", p, "stack", string(debug.Stack()))
	if r.w.code == 0 {
		s.fail(r.w, r.Request, errors.New("this request caused the server to panic; the log has the details"))
	} else {
		panic(http.ErrAbortHandler)
	}
}

// maxParameters is how many parameters of a query net/url reads. Of more it reads none, and
// a dry run would be none.
const maxParameters = 10_000

// admitRequest lets a request through the gates and has it answered.
func (s *Server) admitRequest(r *request) error {
	if r.Mutates() {
		growStack(len(r.Verb))
	}
	if err := s.authenticate(r); err != nil {
		r.closeUnauthenticated()
		s.refuse(r, s.flows.requests[flowcontrol.CatchAll], flowcontrol.SourceOf(r.RemoteAddr))
		return err
	}
	if err := s.enter(r); err != nil {
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
	r.readAhead()
	if err := r.acquire(); err != nil {
		return err
	}
	if r.IsResource {
		return r.serveResource()
	}
	return s.servePath(r)
}

// timeout is how long a request may take: as long as it says itself, if that is less
// than it may.
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

// authenticate puts the user into the request and its context. In-process callers
// bring theirs; a request from the network has none in its context.
func (s *Server) authenticate(r *request) error {
	r.user = client.UserFrom(r.Context())
	r.inProcess = r.user != nil
	if !r.inProcess {
		if s.Authenticator == nil {
			return apistatus.Unauthorized()
		}
		user, err := s.Authenticator.Authenticate(r.Request)
		if err != nil || user == nil {
			r.audit.refused(user)
			s.Log.Debug("not authenticated", "path", r.Path, "remote", r.RemoteAddr, "err", err)
			return unauthenticated(err)
		}
		r.user = user
		r.Request = r.Request.WithContext(client.WithUser(r.Context(), user))
	}
	// It has served; a proxied service must not get it.
	r.Header.Del("Authorization")
	r.audit.authenticated()
	return nil
}

// unauthenticated keeps an authenticator's own Status (a refused impersonation, say).
func unauthenticated(err error) error {
	if err != nil && apistatus.Of(err).Code != http.StatusInternalServerError {
		return err
	}
	return apistatus.Unauthorized()
}

// authorize asks whether the user may do to the request's object what the verb stands for:
// the request's own verb, or another that it takes as well.
func (s *Server) authorize(r *request, verb string) error {
	a := r.Attributes(r.user, verb)
	a.FieldSelector = r.Info.FieldSelector(r.URL)
	allowed, reason, err := s.Authorizer.Authorize(r.Context(), a)
	r.audit.authorized(allowed, reason, err)
	if err != nil {
		return fmt.Errorf("authorizing: %w", err)
	}
	if !allowed {
		return apistatus.Forbidden(&a, reason)
	}
	return nil
}

// longRunning requests have no timeout and are not counted as in flight.
func (r *request) longRunning() bool { return r.serve != nil && r.Info.LongRunning() }

// serveResource hands a request to its route.
func (r *request) serveResource() error {
	if r.res != nil && r.res.retirement != "" {
		r.warn(r.res.retirement)
	}
	if r.refusal != nil {
		return r.refusal
	}
	return r.serve(r)
}

// servePath answers the paths that are not resources.
func (s *Server) servePath(r *request) error {
	path := r.URL.Path
	switch {
	case path == "/":
		return r.writePaths()
	case path == "/version" || path == "/version/":
		return r.writeVersion()
	case path == "/metrics":
		s.stats.handler.ServeHTTP(r.w, r.Request)
		return nil
	case path == "/metrics/slis":
		s.stats.slis.ServeHTTP(r.w, r.Request)
		return nil
	case strings.HasPrefix(path, "/openapi/"):
		if s.OpenAPI == nil {
			return apistatus.PathNotFound()
		}
		s.OpenAPI.ServeHTTP(r.w, r.Request)
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
// it to copy: to grow it in the depth of etcd's client takes a twentieth of a create.
//
//go:noinline
func growStack(at int) byte {
	var frame [9 << 10]byte
	return frame[at]
}
