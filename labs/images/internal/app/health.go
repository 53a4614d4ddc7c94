package app

import (
	"fmt"
	"net/http"
	"sync"
)

// Health is how well the program says it is. It starts well, and serves
//
//	/healthz           200, or 503 while it plays dead
//	/readiness         200, or 503 while it takes no work
//	/healthz/status    turns the first over
//	/readiness/status  turns the second over
type Health struct {
	mu            sync.Mutex
	dead, unready bool
	ending        bool
}

func (h *Health) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/healthz":
		answer(w, h.Alive())
	case "/readiness":
		answer(w, h.Ready())
	case "/healthz/status":
		h.turn(&h.dead)
		fmt.Fprintf(w, "alive: %t\n", h.Alive())
	case "/readiness/status":
		h.turn(&h.unready)
		fmt.Fprintf(w, "ready: %t\n", h.Ready())
	default:
		http.NotFound(w, r)
	}
}

func answer(w http.ResponseWriter, well bool) {
	if !well {
		http.Error(w, "not well", http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ok")
}

func (h *Health) turn(what *bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	*what = !*what
}

// Alive reports whether the liveness check succeeds.
func (h *Health) Alive() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return !h.dead
}

// Ready reports whether the readiness check succeeds; it fails after SIGTERM.
func (h *Health) Ready() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return !h.unready && !h.ending
}

func (h *Health) drain() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ending = true
}

func (h *Health) draining() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.ending
}
