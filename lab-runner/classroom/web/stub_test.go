//go:build !quick

package web

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	roomCode = "ROOM-42"
	prefix   = "/class/" // the pages work below a path
	jsonMost = 16 << 10  // bytes of a request
)

// stub is the HTTP API of a class with learners in memory, and shells of this machine as their
// workbenches. It answers in the shape that the server of the class has; what is authorized is
// the server's to test.
type stub struct {
	dir string // the learners' home directories are below it

	lock     sync.Mutex
	learners []*learner
	class    map[string]any
	password string
	session  string // of the instructor; empty: none
	actions  []map[string]any
	changed  chan struct{} // closed at the next change
	requests []string      // paths that were asked for
	streams  map[*http.Request]func()
	broken   bool // new connections for events and terminals are refused
}

func newStub(t *testing.T) *stub {
	t.Helper()
	return &stub{
		dir: t.TempDir(), password: "once-only-password", changed: make(chan struct{}), streams: map[*http.Request]func(){},
		class: map[string]any{"title": "Kubernetes in a day", "labs": []string{"workshop/notes", "workshop/pods"}, "message": "", "timer": nil, "slide": nil, "follow": false},
	}
}

// change runs f with the lock held and notifies all streams.
func (s *stub) change(f func()) {
	s.lock.Lock()
	defer s.lock.Unlock()
	f()
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *stub) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/join", s.join)
	mux.HandleFunc("GET /api/me", s.of(func(w http.ResponseWriter, _ *http.Request, l *learner) { answer(w, 200, s.me(l)) }))
	mux.HandleFunc("GET /api/labs", s.of(func(w http.ResponseWriter, _ *http.Request, l *learner) { answer(w, 200, s.labs(l)) }))
	mux.HandleFunc("POST /api/desk", s.of(s.desk))
	mux.HandleFunc("GET /api/live", s.of(s.live))
	mux.HandleFunc("GET /api/terminal", s.of(func(w http.ResponseWriter, r *http.Request, l *learner) { s.terminal(w, r, l, false) }))
	mux.HandleFunc("POST /api/help", s.of(s.set(func(l *learner, o map[string]any) {
		l.help = nil
		if o["on"] == true {
			l.help = time.Now().UTC().Format(time.RFC3339)
		}
	})))
	mux.HandleFunc("POST /api/typing", s.of(s.set(func(l *learner, o map[string]any) {
		l.typing = map[any]string{true: "allowed", false: "no"}[o["allow"]]
	})))
	mux.HandleFunc("POST /api/leave", s.of(s.set(func(l *learner, _ map[string]any) { l.cookie = rand.Text() })))
	s.boardRoutes(mux)
	mux.HandleFunc("POST /test/{do}", s.test)
	mux.Handle("GET /slides/", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, "<!doctype html><title>slide</title><h1>Slide of %s</h1>", strings.TrimPrefix(r.URL.Path, "/slides/"))
	}))
	files := http.FileServerFS(os.DirFS("dist"))
	mux.HandleFunc("GET /board", func(w http.ResponseWriter, r *http.Request) { http.ServeFileFS(w, r, os.DirFS("dist"), "board.html") })
	mux.Handle("GET /", files)
	return http.StripPrefix(strings.TrimSuffix(prefix, "/"), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.lock.Lock()
		s.requests = append(s.requests, r.URL.Path)
		broken := s.broken
		s.lock.Unlock()
		w.Header().Set("Content-Security-Policy", ContentSecurityPolicy)
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if broken && strings.HasPrefix(r.URL.Path, "/api/") {
			refuse(w, 503, "the server restarts")
			return
		}
		if r.Method == http.MethodPost && (r.Header.Get("X-Wheelhouse") != "1" || r.Header.Get("Content-Type") != "application/json") {
			refuse(w, 403, "a change needs the header X-Wheelhouse and JSON")
			return
		}
		mux.ServeHTTP(w, r)
	}))
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

func refuse(w http.ResponseWriter, status int, says string) {
	answer(w, status, map[string]string{"error": says})
}

func read(w http.ResponseWriter, r *http.Request) (map[string]any, bool) {
	o := map[string]any{}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, jsonMost)).Decode(&o); err != nil {
		refuse(w, 400, err.Error())
		return nil, false
	}
	return o, true
}

func (s *stub) join(w http.ResponseWriter, r *http.Request) {
	o, ok := read(w, r)
	if !ok {
		return
	}
	name, _ := o["name"].(string)
	if o["code"] != roomCode {
		w.Header().Set("Retry-After", "2")
		refuse(w, 429, "this is not the code of the room")
		return
	}
	s.lock.Lock()
	i := slices.IndexFunc(s.learners, func(l *learner) bool { return l.name == name })
	s.lock.Unlock()
	if i >= 0 && s.learners[i].returnCode != o["returnCode"] {
		refuse(w, 409, "this name is taken: give its return code, or another name")
		return
	}
	s.change(func() {
		if i < 0 {
			s.learners = append(s.learners, s.newLearner(name))
			i = len(s.learners) - 1
		}
		s.learners[i].cookie = rand.Text()
	})
	l := s.learners[i]
	http.SetCookie(w, &http.Cookie{Name: "wh_learner", Value: l.cookie, Path: prefix, HttpOnly: true, SameSite: http.SameSiteStrictMode})
	answer(w, 201, map[string]string{"id": l.id, "name": l.name, "returnCode": l.returnCode})
}

// of serves the learner whose cookie the request has.
func (s *stub) of(serve func(http.ResponseWriter, *http.Request, *learner)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c, err := r.Cookie("wh_learner")
		if err == nil {
			s.lock.Lock()
			i := slices.IndexFunc(s.learners, func(l *learner) bool { return l.cookie == c.Value })
			s.lock.Unlock()
			if i >= 0 {
				serve(w, r, s.learners[i])
				return
			}
		}
		refuse(w, 401, "join the class first")
	}
}

// set changes a learner by a request.
func (s *stub) set(f func(*learner, map[string]any)) func(http.ResponseWriter, *http.Request, *learner) {
	return func(w http.ResponseWriter, r *http.Request, l *learner) {
		o, ok := read(w, r)
		if !ok {
			return
		}
		s.change(func() { f(l, o) })
		answer(w, 200, map[string]any{})
	}
}

func (s *stub) me(l *learner) map[string]any {
	s.lock.Lock()
	defer s.lock.Unlock()
	return map[string]any{"id": l.id, "name": l.name, "returnCode": l.returnCode, "class": s.class, "help": l.help != nil, "watched": l.watched > 0, "typing": l.typing}
}

func (s *stub) labs(l *learner) []map[string]any {
	s.lock.Lock()
	defer s.lock.Unlock()
	done := 0
	for _, state := range l.states {
		if state != "todo" {
			done++
		}
	}
	opened, _ := s.class["labs"].([]string)
	lab := func(id, title, about string, minutes int, here bool, why string) map[string]any {
		return map[string]any{
			"lab": id, "title": title, "about": about, "minutes": minutes, "track": "workshop", "steps": titles, "stepsDone": 0,
			"open": slices.Contains(opened, id), "here": here, "why": why,
		}
	}
	first := lab("workshop/notes", "Notes that stay", "A file is written, and looked at by a check.", 10, true, "")
	first["stepsDone"] = done
	return []map[string]any{
		first,
		lab("workshop/pods", "Pods and services", "What runs where, and how it is reached.", 25, true, ""),
		lab("workshop/updates", "Rolling updates", "A new version without an interruption.", 30, true, ""),
		lab("hard-way/nodes", "A node by hand", "The parts of a node, one by one.", 60, false, "It needs the rights of a cluster's administrator: do it on a cluster of your own, and report with lab join."),
	}
}

// live is the stream of a learner: the whole state first, then each change.
func (s *stub) live(w http.ResponseWriter, r *http.Request, l *learner) {
	last := map[string]string{}
	s.stream(w, r, func(event func(string, any)) {
		once := func(name string, v any) {
			data, _ := json.Marshal(v)
			if last[name] != string(data) {
				last[name] = string(data)
				event(name, v)
			}
		}
		once("class", s.me(l))
		s.lock.Lock()
		view, output := l.view(), l.output
		l.output = ""
		s.lock.Unlock()
		once("desk", map[string]string{"state": "ready"})
		once("view", view)
		once("map", l.clusterMap())
		if output != "" {
			event("output", map[string]string{"text": output})
		}
	})
}

// stream writes events whenever the state has changed, and looks at the files of workbenches in between.
func (s *stub) stream(w http.ResponseWriter, r *http.Request, write func(event func(string, any))) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.WriteHeader(http.StatusOK)
	out := http.NewResponseController(w)
	cut := make(chan struct{})
	s.lock.Lock()
	s.streams[r] = sync.OnceFunc(func() { close(cut) })
	s.lock.Unlock()
	defer func() {
		s.lock.Lock()
		delete(s.streams, r)
		s.lock.Unlock()
	}()
	looks, beat := time.NewTicker(50*time.Millisecond), time.NewTicker(10*time.Second)
	defer looks.Stop()
	defer beat.Stop()
	for {
		s.lock.Lock()
		changed := s.changed
		s.lock.Unlock()
		write(func(name string, v any) {
			data, _ := json.Marshal(v)
			fmt.Fprintf(w, "event: %s\ndata: %s\n\n", name, data)
		})
		if out.Flush() != nil {
			return
		}
		select {
		case <-changed:
		case <-looks.C:
		case <-beat.C:
			fmt.Fprint(w, "event: beat\ndata: {}\n\n")
		case <-cut:
			return
		case <-r.Context().Done():
			return
		}
	}
}

// test is how a test acts as the server: it breaks connections, and reports what it has received.
func (s *stub) test(w http.ResponseWriter, r *http.Request) {
	o, ok := read(w, r)
	if !ok {
		return
	}
	switch r.PathValue("do") {
	case "break":
		s.lock.Lock()
		s.broken = o["on"] == true
		for _, cut := range s.streams {
			cut()
		}
		s.lock.Unlock()
	case "class":
		s.change(func() {
			for k, v := range o {
				s.class[k] = v
			}
		})
	case "watch":
		s.change(func() {
			for _, l := range s.learners {
				if l.name == o["name"] {
					l.typing, _ = o["typing"].(string)
				}
			}
		})
	case "evil":
		s.change(func() {
			for _, l := range s.learners {
				if l.name == o["name"] {
					l.html, _ = o["html"].(string)
				}
			}
		})
	}
	s.lock.Lock()
	defer s.lock.Unlock()
	answer(w, 200, map[string]any{"actions": s.actions, "requests": s.requests})
}

func home(dir, id string) string {
	path := filepath.Join(dir, id)
	if err := os.MkdirAll(path, 0o700); err != nil {
		panic(err)
	}
	return path
}
