package server

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"time"

	"wheelhouse/lab-runner/classroom/roster"
)

const (
	learnerCookie    = "wh_learner"
	instructorCookie = "wh_instructor"
	defaultPolicy    = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; font-src 'self'; " +
		"frame-src 'self'; frame-ancestors 'self'; base-uri 'none'; form-action 'self'"
)

// guard sets the headers of all answers, and bounds bodies.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", s.cfg.Policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "SAMEORIGIN")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=()")
		h.Set("Cache-Control", "no-store") // asset says otherwise for what has its hash in its name
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		if r.ContentLength != 0 {
			control := http.NewResponseController(w)
			_ = control.SetReadDeadline(time.Now().Add(s.bodyTime)) // without deadlines, the connection's own bounds hold
			r.Body = timedBody{r.Body, control}
		}
		next.ServeHTTP(w, r)
	})
}

// timedBody takes the deadline of a body back when the body is there: one that stays would end requests that take longer.
type timedBody struct {
	io.ReadCloser
	control *http.ResponseController
}

func (b timedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		_ = b.control.SetReadDeadline(time.Time{})
	}
	return n, err
}

// change admits what changes something: JSON with the header of the page, from the page's own origin. A browser sends
// the Origin with each of them. Without one the client is no browser, and has no cookie.
func (s *Server) change(serve http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
		switch {
		case err != nil || kind != "application/json":
			refuse(w, http.StatusUnsupportedMediaType, "a change is sent as JSON: set Content-Type to application/json")
		case r.Header.Get("X-Wheelhouse") != "1":
			refuse(w, http.StatusForbidden, "a change is sent by the page: set the header X-Wheelhouse to 1")
		case !sameOrigin(r) && (r.Header.Get("Origin") != "" || r.Header.Get("Cookie") != ""):
			refuse(w, http.StatusForbidden, "a change comes from the class's own page: open its address")
		default:
			serve(w, r)
		}
	}
}

// sameOrigin reports whether the request's Origin is the host that it was sent to.
func sameOrigin(r *http.Request) bool {
	origin, err := url.Parse(r.Header.Get("Origin"))
	if err != nil || origin.Host == "" || (origin.Scheme != "http" && origin.Scheme != "https") {
		return false
	}
	return origin.Host == r.Host && r.Header.Get("Sec-Fetch-Site") != "cross-site"
}

// ofLearner serves a learner whose session is given.
type ofLearner func(w http.ResponseWriter, r *http.Request, v visit)

// visit is a request of a learner.
type visit struct {
	roster.Learner
	token string
	*keeper
}

// learner finds the learner of the cookie, and bounds the learner's requests.
func (s *Server) learner(serve ofLearner) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		token := cookie(r, learnerCookie)
		l, err := s.cfg.Roster.Session(token, false)
		if err != nil {
			refuse(w, http.StatusUnauthorized, "you have not joined, or your session is over: join with the room's code")
			return
		}
		s.visit(w, r, serve, l, token)
	}
}

func (s *Server) visit(w http.ResponseWriter, r *http.Request, serve ofLearner, l roster.Learner, token string) {
	k := s.keeper(l.ID)
	if k == nil {
		refuse(w, http.StatusServiceUnavailable, "the class is starting or ending: try again in a moment")
		return
	}
	if !k.rate.Allow() {
		w.Header().Set("Retry-After", "1")
		refuse(w, http.StatusTooManyRequests, "too many requests: wait a second")
		return
	}
	serve(w, r, visit{l, token, k})
}

// writing bounds the requests of a learner that are written to the cluster.
func writing(serve ofLearner) ofLearner {
	return func(w http.ResponseWriter, r *http.Request, v visit) {
		if !v.writes.Allow() {
			w.Header().Set("Retry-After", "1")
			refuse(w, http.StatusTooManyRequests, "too many changes: wait a second")
			return
		}
		serve(w, r, v)
	}
}

// Instructor reports whether a request, of the slides for instance, is the instructor's.
func (s *Server) Instructor(r *http.Request) bool {
	return s.cfg.Roster.Instructor(cookie(r, instructorCookie))
}

// members admits a session of a learner or of the instructor.
func (s *Server) members(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := s.cfg.Roster.Session(cookie(r, learnerCookie), false); err != nil && !s.Instructor(r) {
			http.Error(w, "the slides are for the class: join with the room's code first", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// instructor admits a session of the instructor.
func (s *Server) instructor(serve http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !s.Instructor(r) {
			refuse(w, http.StatusUnauthorized, "log in as the instructor first: `wheelhouse classroom password` makes a password")
			return
		}
		serve(w, r)
	}
}

// cookie returns the value of a cookie. Where there are two of one name, a path or another port has set one: neither counts.
func cookie(r *http.Request, name string) string {
	found := r.CookiesNamed(name)
	if len(found) != 1 {
		return ""
	}
	return found[0].Value
}

func (s *Server) setCookie(w http.ResponseWriter, name, value string, seconds int) {
	http.SetCookie(w, &http.Cookie{
		Name: name, Value: value, Path: s.cfg.Prefix, MaxAge: seconds, HttpOnly: true, Secure: !s.cfg.Plain, SameSite: http.SameSiteStrictMode,
	})
}

func answer(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		status, b = http.StatusInternalServerError, []byte(`{"error":"the answer cannot be written: see the log of the class"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n')) // fails only if the client has closed the connection
}

func refuse(w http.ResponseWriter, status int, sentence string) {
	answer(w, status, map[string]string{"error": sentence})
}

// read decodes the request, or answers why it cannot.
func read(w http.ResponseWriter, r *http.Request, into any) bool {
	d := json.NewDecoder(r.Body)
	err := d.Decode(into)
	if err == nil {
		if _, more := d.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("something follows the JSON value")
		}
	}
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		refuse(w, http.StatusRequestEntityTooLarge, "the request is too large: at most 16 KiB are read")
	case err != nil:
		refuse(w, http.StatusBadRequest, "the request is not the JSON that is wanted: "+err.Error())
	}
	return err == nil
}

// failed answers for an error of the roster or the cluster, and logs it.
func (s *Server) failed(w http.ResponseWriter, what string, err error) {
	if errors.Is(err, roster.ErrNotFound) {
		refuse(w, http.StatusNotFound, err.Error())
		return
	}
	s.cfg.Log.Error(what, "err", err)
	refuse(w, http.StatusServiceUnavailable, "the cluster has not answered: try again in a moment")
}
