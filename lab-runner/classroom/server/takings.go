package server

import (
	"net/http"
	"path"
	"strings"
	"time"
)

// Takings are what a class gives out beside its pages. The zero value has nothing.
type Takings struct {
	Images   http.Handler // a registry, at /v2/ of the host, whatever the prefix is: nodes have no session, so it admits on its own
	Files    http.Handler // of the bundle, below bundle/, for sessions of the class
	Programs []Program
}

// Program is the program lab for one system.
type Program struct {
	System string `json:"system"` // linux, darwin or windows
	Arch   string `json:"arch"`   // amd64 or arm64
	Path   string `json:"path"`   // relative to the class's prefix
	Bytes  int64  `json:"bytes"`
}

// fileTime is how long a file of the bundle may take: 100 MB at 60 kB/s.
const fileTime = 30 * time.Minute

// imagesFirst serves a registry beside the class. Its bodies have bounds of their own. What a browser gets of it is
// no page.
func imagesFirst(images, class http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v2" && !strings.HasPrefix(r.URL.Path, "/v2/") {
			class.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		images.ServeHTTP(w, r)
	})
}

// forLearners has the files of a bundle that learners download: the program lab. The decks beside it have the instructor's notes.
const forLearners = "/bundle/files/lab/"

// files serves the bundle to a session of the instructor, and the program lab to each learner, a few files at a time.
func (s *Server) files(w http.ResponseWriter, r *http.Request) {
	send := http.StripPrefix("/bundle", s.cfg.Takings.Files)
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(fileTime)) // without deadlines, the connection's own bounds hold
	if s.Instructor(r) {
		send.ServeHTTP(w, r)
		return
	}
	s.learner(func(w http.ResponseWriter, r *http.Request, v visit) {
		if !strings.HasPrefix(path.Clean(r.URL.Path), forLearners) {
			refuse(w, http.StatusForbidden, "this file of the bundle is the instructor's; the page lists what is yours")
			return
		}
		if !v.files.enter() {
			refuse(w, http.StatusTooManyRequests, "you are downloading already: wait until a file is there")
			return
		}
		defer v.files.leave()
		send.ServeHTTP(w, r)
	})(w, r)
}
