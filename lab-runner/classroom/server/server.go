// Package server is the HTTP side of a class: the learner's page and its API, live events, terminals, the instructor's
// board. It serves the assets and slides that it is given, and it keeps nothing: what must survive is in the roster, the
// rest is of the connections that are open.
//
// Every request is hostile. An answer has the security headers; a change needs JSON, a header of the page and an Origin of
// its own; bodies, frames, lines of a desk, requests per second, streams per learner and in total are bounded, and
// what blocks ends. A learner is found by a session alone, and each path acts on that learner: no request names another.
// The desk and the shell are in the learner's hands: what comes from them is forwarded to the same learner's page, and the
// board gets numbers and short plain texts of it. No keystroke and no output is stored or logged.
//
// The caller makes the listener, bounds its connections, and sets the timeouts of the http.Server.
package server

import (
	"cmp"
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"wheelhouse/lab-runner/catalog"
	"wheelhouse/lab-runner/classroom/roster"
	"wheelhouse/lab-runner/classroom/workbench"
)

// Benches makes and removes the workbenches of learners.
type Benches interface {
	Ensure(ctx context.Context, l workbench.Learner) error
	Remove(ctx context.Context, l workbench.Learner) error
}

// Streams opens streams into a workbench. Each ends with its context.
type Streams interface {
	Terminal(ctx context.Context, l workbench.Learner, t workbench.Terminal) error
	Desk(ctx context.Context, l workbench.Learner, in io.Reader, out io.Writer) error
}

// Config is what a server needs.
type Config struct {
	Roster  *roster.Roster
	Benches Benches
	Streams Streams
	Labs    []*catalog.Lab // that may be offered
	Gives   []string       // requirements of labs that learners have met; nil: those that a namespace of a class meets
	Making  int            // workbenches that are made at a time; default 4
	Admit   func() error   // why a further learner has no place now, in a sentence; nil: all have
	Assets  fs.FS          // of the pages
	Policy  string         // Content-Security-Policy of the pages; default: everything from the server itself
	Slides  http.Handler   // below slides/; nil: none
	Takings Takings        // what a bundle has for the class
	CA      []byte         // PEM: the authority of the server's certificate, for the page trust; nil: there is none
	Plain   bool           // it is served by plain HTTP, so that cookies cannot be for TLS alone
	Prefix  string         // of all paths, such as "/class/"; default "/"
	// Proxies are those whose X-Forwarded-For names the client, so that attempts and shares are counted by the client.
	Proxies []netip.Prefix
	// SharedAddress says that learners may all have one address, which is not bounded then to a part of the class's places.
	SharedAddress bool
	Linger        time.Duration // that a desk goes on without a connection of its learner; default half an hour
	Log           *slog.Logger
}

// Bounds of a class of so many learners. Each stream costs a few goroutines and at most half a megabyte.
const (
	maxBody      = 16 << 10         // bytes of a request
	bodyTime     = 10 * time.Second // that its body may take
	maxFrame     = 64 << 10         // bytes of a terminal's frame
	maxLine      = 1 << 20          // bytes of a line of a desk
	maxView      = 256 << 10
	maxMap       = 128 << 10
	maxOutput    = 64 << 10 // bytes of a desk's output that a page gets when it connects again
	maxPending   = 4        // requests of one learner to the desk
	maxLive      = 4        // event streams of one learner
	maxTerminals = 4        // of one learner, those of the instructor apart
	maxBoards    = 8        // event streams of instructors
	maxWatching  = 8        // terminals that instructors look at
	maxFiles     = 4        // files of the bundle that are sent to one learner
	ensuring     = 4        // workbenches that are made at a time, unless Config says otherwise
	perSecond    = 20       // requests of one learner
	burst        = 60

	linesPerSecond = 50 // of a desk; of bytes, maxLine
	linesBurst     = 200

	writesPerSecond = 2 // that requests of a learner cause beside their desk's
	writesBurst     = 10

	writeTime = 10 * time.Second
	heartbeat = 15 * time.Second
)

// Server is the HTTP side of a class.
type Server struct {
	cfg         Config
	mux         *http.ServeMux
	codes       *lockout       // wrong codes of the room
	returns     *lockout       // wrong return codes
	logins      *lockout       // wrong passwords
	joins       *joinLimiter   // all
	newLearners *joinLimiter   // those of who is not in the class yet
	heldUp      rate.Sometimes // when the log has a line about new learners that were refused
	bodyTime    time.Duration
	ensure      chan struct{}
	boards      gauge
	watches     gauge

	mu      sync.Mutex
	ctx     context.Context // of Run; nil before
	keepers map[string]*keeper
	working sync.WaitGroup // what ends with ctx
}

// New returns a server. It serves when Run does.
func New(cfg Config) (*Server, error) {
	if cfg.Roster == nil || cfg.Benches == nil || cfg.Streams == nil || cfg.Assets == nil {
		return nil, errors.New("a class needs a roster, benches, streams and pages")
	}
	cfg.Prefix = "/" + strings.Trim(cfg.Prefix, "/") + "/"
	if cfg.Prefix == "//" {
		cfg.Prefix = "/"
	}
	cfg.Linger = cmp.Or(cfg.Linger, 30*time.Minute)
	cfg.Policy = cmp.Or(cfg.Policy, defaultPolicy)
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{
		cfg: cfg, mux: http.NewServeMux(), codes: newLockout(time.Now, max(freeAttempts, cfg.Roster.Limit()/4), true),
		returns: newLockout(time.Now, freeAttempts, false), logins: newLockout(time.Now, freeAttempts, false),
		joins:       newJoinLimiter(joinInterval, max(joinBurst, cfg.Roster.Limit())),
		newLearners: newJoinLimiter(newLearnerInterval, max(3, cfg.Roster.Limit()/4)), heldUp: rate.Sometimes{Interval: time.Minute}, bodyTime: bodyTime,
		ensure: make(chan struct{}, cmp.Or(cfg.Making, ensuring)), boards: gauge{most: maxBoards}, watches: gauge{most: maxWatching}, keepers: map[string]*keeper{},
	}
	s.routes()
	return s, nil
}

// routes lists everything that is served.
func (s *Server) routes() {
	s.mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") })
	s.mux.HandleFunc("GET /trust", s.trust)
	s.mux.HandleFunc("GET /trust/ca.crt", s.authority)
	s.mux.HandleFunc("GET /board", s.page("board.html"))
	s.mux.HandleFunc("GET /{$}", s.page("index.html"))
	s.mux.HandleFunc("/", s.asset)
	if s.cfg.Slides != nil {
		s.mux.Handle("/slides/", s.members(http.StripPrefix("/slides", s.cfg.Slides)))
	}
	if s.cfg.Takings.Files != nil {
		s.mux.HandleFunc("GET /bundle/", s.files)
	}

	s.mux.HandleFunc("POST /api/join", s.change(s.join))
	s.mux.HandleFunc("GET /api/me", s.learner(s.me))
	s.mux.HandleFunc("GET /api/labs", s.learner(s.labs))
	s.mux.HandleFunc("GET /api/live", s.learner(s.live))
	s.mux.HandleFunc("GET /api/terminal", s.learner(s.terminal))
	s.mux.HandleFunc("POST /api/desk", s.change(s.learner(s.desk)))
	s.mux.HandleFunc("POST /api/help", s.change(s.learner(writing(s.help))))
	s.mux.HandleFunc("POST /api/typing", s.change(s.learner(s.typing)))
	s.mux.HandleFunc("POST /api/leave", s.change(s.leaves))
	s.mux.HandleFunc("POST /api/report", s.change(s.report))

	s.mux.HandleFunc("POST /api/instructor/login", s.change(s.login))
	s.mux.HandleFunc("POST /api/instructor/logout", s.change(s.instructor(s.logout)))
	s.mux.HandleFunc("GET /api/board", s.instructor(s.board))
	s.mux.HandleFunc("GET /api/board/live", s.instructor(s.boardLive))
	s.mux.HandleFunc("GET /api/board/export.csv", s.instructor(s.export))
	s.mux.HandleFunc("GET /api/board/terminal/{id}", s.instructor(s.shoulder))
	s.mux.HandleFunc("POST /api/board/do", s.change(s.instructor(s.act)))
	s.mux.HandleFunc("POST /api/board/forget", s.change(s.instructor(s.forget)))
}

// Handler serves the class below its prefix.
func (s *Server) Handler() http.Handler {
	below := s.below(s.guard(s.mux))
	if images := s.cfg.Takings.Images; images != nil {
		below = imagesFirst(images, below)
	}
	return s.fromClient(below)
}

// below serves what is below the prefix.
func (s *Server) below(guarded http.Handler) http.Handler {
	if s.cfg.Prefix == "/" {
		return guarded
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path+"/" == s.cfg.Prefix {
			http.Redirect(w, r, s.cfg.Prefix, http.StatusMovedPermanently)
			return
		}
		http.StripPrefix(strings.TrimSuffix(s.cfg.Prefix, "/"), guarded).ServeHTTP(w, r)
	})
}

// Run keeps the desks until ctx is done, and returns when what they have reported is stored.
func (s *Server) Run(ctx context.Context) error {
	s.mu.Lock()
	s.ctx = ctx
	s.mu.Unlock()
	changed, end := s.cfg.Roster.Subscribe()
	defer end()
	for {
		select {
		case <-ctx.Done():
			s.working.Wait()
			return ctx.Err()
		case <-changed:
			s.dropRemoved()
		}
	}
}

// dropRemoved ends the streams of learners that are not in the class any more.
func (s *Server) dropRemoved() {
	s.mu.Lock()
	var gone []*keeper
	for id, k := range s.keepers {
		if _, err := s.cfg.Roster.Learner(id); err != nil {
			gone = append(gone, k)
			delete(s.keepers, id)
		}
	}
	s.mu.Unlock()
	for _, k := range gone {
		k.end()
	}
}

// ensureBench makes a learner's workbench, a few at a time.
func (s *Server) ensureBench(ctx context.Context, l workbench.Learner) error {
	select {
	case s.ensure <- struct{}{}:
		defer func() { <-s.ensure }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	return s.cfg.Benches.Ensure(ctx, l)
}

func benchOf(id string) workbench.Learner {
	return workbench.Learner{ID: id, Namespace: "learner-" + id}
}
