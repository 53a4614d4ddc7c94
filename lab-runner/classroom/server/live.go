package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"wheelhouse/lab-runner/classroom/roster"
)

// events is a stream of server-sent events. An event that says what the last one of its name said is left out.
type events struct {
	w    http.ResponseWriter
	out  *http.ResponseController
	last map[string][]byte
}

func newEvents(w http.ResponseWriter) *events {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // of a proxy in between
	return &events{w, http.NewResponseController(w), map[string][]byte{}}
}

// changed writes an event unless it is the same as before.
func (e *events) changed(name string, v any) error {
	b, err := json.Marshal(v)
	if err != nil || bytes.Equal(b, e.last[name]) {
		return err
	}
	e.last[name] = b
	return e.write(name, b)
}

// write writes an event; a client that does not read ends the stream.
func (e *events) write(name string, line []byte) error {
	_ = e.out.SetWriteDeadline(time.Now().Add(writeTime)) // the server may have a recorder as writer in tests
	_, err := fmt.Fprintf(e.w, "event: %s\ndata: %s\n\n", name, line)
	return err
}

func (e *events) flush() error {
	_ = e.out.SetWriteDeadline(time.Now().Add(writeTime))
	return e.out.Flush()
}

// beat writes an event without content, so that a client that is gone is noticed, and a page notices a server that is.
func (e *events) beat() error { return e.write("beat", []byte("{}")) }

// live is the learner's event stream: at first the whole state, then each change.
func (s *Server) live(w http.ResponseWriter, r *http.Request, v visit) {
	if !v.lives.enter() {
		refuse(w, http.StatusTooManyRequests, "your page is open in too many windows: close one")
		return
	}
	defer v.lives.leave()
	defer v.enter()()
	classChanged, endClass := s.cfg.Roster.Subscribe(v.ID)
	defer endClass()
	changed, end := v.subscribe()
	defer end()
	tick := time.NewTicker(heartbeat)
	defer tick.Stop()
	e := newEvents(w)
	var seen uint64 // of the output
	for {
		l, err := s.cfg.Roster.Session(v.token, false) // it may have ended
		if err != nil || s.liveState(e, &l, v.keeper, &seen) != nil || e.flush() != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-v.ctx.Done():
			return
		case <-classChanged:
		case <-changed:
		case <-tick.C:
			if e.beat() != nil {
				return
			}
		}
	}
}

// liveState writes what has changed.
func (s *Server) liveState(e *events, l *roster.Learner, k *keeper, seen *uint64) error {
	k.mu.Lock()
	state, view, drawn := k.state, k.view, k.drawn
	fresh := min(k.wrote-*seen, uint64(len(k.output)))
	output := string(k.output[uint64(len(k.output))-fresh:])
	*seen = k.wrote
	k.mu.Unlock()
	if err := e.changed("class", s.meView(l, k)); err != nil {
		return err
	}
	if err := e.changed("desk", state); err != nil {
		return err
	}
	for name, raw := range map[string]json.RawMessage{"view": view, "map": drawn} {
		if raw == nil || bytes.Equal(raw, e.last[name]) {
			continue
		}
		e.last[name] = raw
		if err := e.write(name, raw); err != nil {
			return err
		}
	}
	if output == "" {
		return nil
	}
	line, err := json.Marshal(map[string]string{"text": output})
	if err != nil {
		return err
	}
	return e.write("output", line)
}
