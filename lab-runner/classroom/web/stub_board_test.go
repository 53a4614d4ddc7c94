//go:build !quick

package web

import (
	"crypto/rand"
	"io"
	"net/http"
	"slices"
	"time"
)

func (s *stub) boardRoutes(mux *http.ServeMux) {
	mux.HandleFunc("POST /api/instructor/login", s.login)
	mux.HandleFunc("POST /api/instructor/logout", s.instructor(func(w http.ResponseWriter, _ *http.Request) {
		s.change(func() { s.session = "" })
		answer(w, 200, map[string]any{})
	}))
	mux.HandleFunc("GET /api/board", s.instructor(func(w http.ResponseWriter, _ *http.Request) { answer(w, 200, s.board()) }))
	mux.HandleFunc("GET /api/board/live", s.instructor(func(w http.ResponseWriter, r *http.Request) {
		s.stream(w, r, func(event func(string, any)) { event("board", s.board()) })
	}))
	mux.HandleFunc("POST /api/board/do", s.instructor(s.act))
	mux.HandleFunc("POST /api/board/forget", s.instructor(func(w http.ResponseWriter, _ *http.Request) {
		s.change(func() { s.learners = nil })
		answer(w, 200, map[string]any{})
	}))
	mux.HandleFunc("GET /api/board/export.csv", s.instructor(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/csv")
		_, _ = io.WriteString(w, "name,lab,step\n")
	}))
	mux.HandleFunc("GET /api/board/terminal/{id}", s.instructor(func(w http.ResponseWriter, r *http.Request) {
		s.lock.Lock()
		i := slices.IndexFunc(s.learners, func(l *learner) bool { return l.id == r.PathValue("id") })
		s.lock.Unlock()
		if i < 0 {
			refuse(w, 404, "no such learner")
			return
		}
		l := s.learners[i]
		s.change(func() { l.watched++ })
		defer s.change(func() { l.watched-- })
		s.terminal(w, r, l, r.URL.Query().Get("mode") != "type")
	}))
}

func (s *stub) login(w http.ResponseWriter, r *http.Request) {
	o, ok := read(w, r)
	if !ok {
		return
	}
	if s.password == "" || o["password"] != s.password {
		refuse(w, 403, "this is not the password, or it was used: run 'wheelhouse classroom password'")
		return
	}
	s.change(func() { s.session = rand.Text() })
	http.SetCookie(w, &http.Cookie{Name: "wh_instructor", Value: s.session, Path: prefix, HttpOnly: true, SameSite: http.SameSiteStrictMode})
	answer(w, 200, map[string]any{})
}

func (s *stub) instructor(serve http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c, err := r.Cookie("wh_instructor")
		if err != nil || s.session == "" || c.Value != s.session {
			refuse(w, 401, "log in as the instructor first")
			return
		}
		serve(w, r)
	}
}

func (s *stub) board() map[string]any {
	s.lock.Lock()
	defer s.lock.Unlock()
	rows, causes := []map[string]any{}, map[string]int{}
	for _, l := range s.learners {
		row := map[string]any{
			"id": l.id, "name": l.name, "place": "room", "connected": true, "lab": l.lab, "step": l.step, "stepTitle": titles[l.step], "steps": len(titles),
			"help": l.help, "solved": 0, "watched": l.watched > 0, "typing": l.typing, "redSince": nil, "red": "", "cause": "",
		}
		done, todo, lost := 0, 0, 0
		if l.lab != "" {
			checks, _ := l.checks()
			for _, c := range checks {
				switch c["state"] {
				case "done":
					done++
				case "todo":
					todo++
				default:
					lost++
					row["red"], row["cause"], row["redSince"] = c["name"], "a file was removed", time.Now().Add(-3*time.Minute).UTC().Format(time.RFC3339)
					causes["a file was removed"]++
				}
			}
		}
		row["checks"] = map[string]int{"done": done, "todo": todo, "lost": lost}
		rows = append(rows, row)
	}
	counted := []map[string]any{}
	for cause, n := range causes {
		counted = append(counted, map[string]any{"cause": cause, "count": n})
	}
	return map[string]any{"class": s.class, "learners": rows, "causes": counted, "full": map[string]int{"learners": len(s.learners), "limit": 40}}
}

func (s *stub) act(w http.ResponseWriter, r *http.Request) {
	o, ok := read(w, r)
	if !ok {
		return
	}
	s.change(func() {
		s.actions = append(s.actions, o)
		ids, _ := o["learners"].([]any)
		for _, l := range s.learners {
			if !slices.Contains(ids, any("*")) && !slices.Contains(ids, any(l.id)) {
				continue
			}
			switch o["action"] {
			case "ask-typing":
				l.typing = "asked"
			case "help-done":
				l.help = nil
			}
		}
		switch o["action"] {
		case "open":
			labs, _ := s.class["labs"].([]string)
			lab, _ := o["lab"].(string)
			s.class["labs"] = append(slices.Clone(labs), lab)
		case "message":
			s.class["message"] = o["text"]
		case "timer":
			minutes, _ := o["minutes"].(float64)
			s.class["timer"] = time.Now().Add(time.Duration(minutes) * time.Minute).UTC().Format(time.RFC3339)
		case "remove":
			s.learners = slices.DeleteFunc(s.learners, func(l *learner) bool { return slices.Contains(ids, any(l.id)) })
		}
	})
	answer(w, 200, map[string]any{})
}
