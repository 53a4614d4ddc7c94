package slides

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// asked names a slide, and a command on it, by their numbers from 1.
type asked struct {
	Slide   int `json:"slide"`
	Command int `json:"command"`
}

// request returns what a request names, or answers it. The deck is read again: only what is on a slide is run.
func (h *handler) request(w http.ResponseWriter, r *http.Request) (Live, *Slide, asked) {
	live := h.live(r)
	if live == nil {
		http.Error(w, "commands are not run here: type them in your terminal", http.StatusForbidden)
		return nil, nil, asked{}
	}
	d := h.read(w, r)
	if d == nil {
		return nil, nil, asked{}
	}
	var a asked
	in := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<10))
	in.DisallowUnknownFields()
	if err := in.Decode(&a); err != nil || a.Slide < 1 || a.Slide > len(d.Slides) {
		http.Error(w, "the request names no slide of the deck", http.StatusBadRequest)
		return nil, nil, asked{}
	}
	s := &d.Slides[a.Slide-1]
	if s.Lab == "" {
		http.Error(w, "the slide belongs to no lab", http.StatusBadRequest)
		return nil, nil, asked{}
	}
	return live, s, a
}

// run streams the output of a command. Its last line says how it ended, if it failed.
func (h *handler) run(w http.ResponseWriter, r *http.Request) {
	live, s, a := h.request(w, r)
	if live == nil {
		return
	}
	commands := s.Commands()
	if a.Command < 1 || a.Command > len(commands) {
		http.Error(w, "the slide has no such command", http.StatusBadRequest)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), runTime)
	defer cancel()
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	out := &limited{to: w, left: maxOutput}
	if err := live.Run(ctx, s.Lab, commands[a.Command-1], out); err != nil {
		fmt.Fprintf(out, "\n[%v]\n", err)
	}
}

func (h *handler) clusterMap(w http.ResponseWriter, r *http.Request) {
	live, s, _ := h.request(w, r)
	if live == nil {
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), runTime)
	defer cancel()
	rows, err := live.Map(ctx, s.Lab)
	answer(w, rows, err)
}

func (h *handler) journey(w http.ResponseWriter, r *http.Request) {
	live, s, _ := h.request(w, r)
	if live == nil {
		return
	}
	if s.Target() == "" {
		http.Error(w, "the slide has no journey", http.StatusBadRequest)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), runTime)
	defer cancel()
	text, err := live.Journey(ctx, s.Lab, s.Target())
	answer(w, text, err)
}

func answer(w http.ResponseWriter, value any, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(value) // fails only if the client has closed the connection
}

// maxOutput bounds what a command shows on a slide.
const maxOutput = 64 << 10

// limited writes so many bytes, and flushes each write.
type limited struct {
	to   http.ResponseWriter
	left int
}

var errTooMuch = errors.New("the output is longer than a slide shows")

func (l *limited) Write(p []byte) (int, error) {
	if len(p) > l.left {
		p = p[:l.left]
	}
	n, err := l.to.Write(p)
	l.left -= n
	if err == nil {
		err = http.NewResponseController(l.to).Flush()
	}
	if err == nil && l.left == 0 {
		err = errTooMuch
	}
	return n, err
}

var _ io.Writer = (*limited)(nil)
