package server

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"wheelhouse/lab-runner/classroom/roster"
)

// request is one to a desk; what else a page sends is not forwarded.
type request struct {
	ID       uint64 `json:"id"`
	Do       string `json:"do"`
	Lab      string `json:"lab,omitempty"`
	Step     *int   `json:"step,omitempty"`
	Question *int   `json:"question,omitempty"`
	Answer   *int   `json:"answer,omitempty"`
	Object   string `json:"object,omitempty"`
	Skip     bool   `json:"skip,omitempty"`
}

// dos are the requests that a page may send, with how long each may take.
var dos = map[string]time.Duration{
	"labs": short, "view": short, "check": long, "hint": short, "answer": short, "next": long, "back": short,
	"start": long, "solve": long, "reset": long, "goto": long, "why": short, "stop": long,
}

const (
	short = 30 * time.Second
	long  = 10 * time.Minute
)

// message is a line of a desk: an answer or an event.
type message struct {
	ID       uint64          `json:"id"`
	OK       bool            `json:"ok"`
	Result   json.RawMessage `json:"result"`
	Error    string          `json:"error"`
	Event    string          `json:"event"`
	View     json.RawMessage `json:"view"`
	Map      json.RawMessage `json:"map"`
	Progress json.RawMessage `json:"progress"`
	Text     string          `json:"text"`
}

// deskConn is a desk that runs.
type deskConn struct {
	lines   chan []byte
	next    uint64
	pending map[uint64]chan message
	gone    chan struct{} // closed when it ends
}

var (
	errIdle = errors.New("nothing of the learner is open")
	errGone = errors.New("your workbench was restarted; try again")
)

// talk runs a desk until it ends.
func (k *keeper) talk(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	toDesk, in := io.Pipe()
	out, fromDesk := io.Pipe()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		err := k.s.cfg.Streams.Desk(ctx, k.bench, toDesk, fromDesk)
		if err == nil {
			err = errors.New("the desk has ended")
		}
		cancel(err)
		toDesk.CloseWithError(err)
		fromDesk.CloseWithError(err)
	}()
	conn := &deskConn{lines: make(chan []byte, maxPending+1), pending: map[uint64]chan message{}, gone: make(chan struct{})}
	written := make(chan struct{})
	go func() {
		defer close(written)
		cancel(k.write(ctx, conn, in))
	}()
	stop := context.AfterFunc(ctx, func() {
		in.CloseWithError(context.Cause(ctx))
		out.CloseWithError(context.Cause(ctx))
	})
	defer stop()
	err := k.begin(conn)
	if err == nil {
		err = k.readAll(ctx, out)
	}
	cancel(err)
	k.update(func() { k.conn = nil })
	close(conn.gone)
	<-written
	<-ended
	return context.Cause(ctx)
}

// begin sends what a desk needs first, and asks for the labs: with the answer it is ready.
func (k *keeper) begin(conn *deskConn) error {
	l, err := k.s.cfg.Roster.Learner(k.id)
	if err != nil {
		return err
	}
	progress := l.Progress
	k.mu.Lock()
	if k.unstored.progress != nil {
		progress = k.unstored.progress
	}
	k.mu.Unlock()
	first, err := json.Marshal(map[string]any{"do": "open", "progress": progress, "labs": k.s.cfg.Roster.Class().Labs})
	if err != nil {
		return fmt.Errorf("the stored progress: %w", err)
	}
	conn.lines <- first
	conn.next = 1
	conn.lines <- []byte(`{"id":1,"do":"labs"}`)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.conn = conn
	return nil
}

// write sends lines until ctx is done, and looks every minute whether the learner is still there.
func (k *keeper) write(ctx context.Context, conn *deskConn, in io.Writer) error {
	tick := time.NewTicker(min(time.Minute, k.s.cfg.Linger))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
			k.mu.Lock()
			idle := !k.idle.IsZero() && time.Since(k.idle) >= k.s.cfg.Linger
			k.mu.Unlock()
			if idle {
				return errIdle
			}
		case line := <-conn.lines:
			if _, err := in.Write(append(line, '\n')); err != nil {
				return err
			}
		}
	}
}

// readAll takes the lines of a desk, no faster than a desk in the learner's hands may keep this process busy.
func (k *keeper) readAll(ctx context.Context, out io.Reader) error {
	lines := bufio.NewScanner(out)
	lines.Buffer(make([]byte, 0, 16<<10), maxLine)
	for lines.Scan() {
		if err := errors.Join(k.lines.Wait(ctx), k.bytes.WaitN(ctx, len(lines.Bytes()))); err != nil {
			return err
		}
		var m message
		if err := json.Unmarshal(lines.Bytes(), &m); err != nil {
			return fmt.Errorf("the desk has sent what is no line of its protocol: %w", err)
		}
		k.take(m)
	}
	return lines.Err()
}

// take is one line of a desk.
func (k *keeper) take(m message) {
	switch m.Event {
	case "":
		k.mu.Lock()
		var to chan message
		if k.conn != nil {
			to = k.conn.pending[m.ID]
			delete(k.conn.pending, m.ID)
		}
		k.mu.Unlock()
		if to != nil {
			to <- m // it has room for one
		}
		if m.ID == 1 {
			k.setState(ready, "")
		}
	case "view":
		view := oneLine(m.View, maxView)
		if view == nil {
			return
		}
		k.update(func() {
			var at *roster.Position
			at, k.reds = position(view, k.reds, time.Now())
			k.view, k.unstored.at = view, k.found.on(at)
		})
		k.wake()
	case "map":
		if drawn := oneLine(m.Map, maxMap); drawn != nil {
			k.update(func() { k.drawn = drawn })
		}
	case "progress":
		if p := oneLine(m.Progress, roster.MaxProgress); p != nil {
			k.mu.Lock()
			k.unstored.progress = p
			k.mu.Unlock()
			k.wake()
		}
	case "output":
		k.update(func() {
			k.output = append(k.output, m.Text...)
			k.wrote += uint64(len(m.Text))
			if over := len(k.output) - maxOutput; over > 0 {
				k.output = slices.Clone(k.output[over:])
			}
		})
	}
}

// oneLine returns a JSON value without white space between tokens, nil if it is none or too large.
func oneLine(v json.RawMessage, most int) json.RawMessage {
	var b bytes.Buffer
	if len(v) == 0 || json.Compact(&b, v) != nil || b.Len() > most || b.String() == "null" {
		return nil
	}
	return b.Bytes()
}

// ask sends a request to the desk and returns its answer. A desk that starts is waited for.
func (k *keeper) ask(ctx context.Context, r request) (message, error) {
	defer k.enter()()
	ctx, cancel := context.WithTimeout(ctx, dos[r.Do])
	defer cancel()
	changed, end := k.subscribe()
	defer end()
	for {
		k.mu.Lock()
		conn := k.conn
		if conn != nil && k.state.State == ready {
			conn.next++
			r.ID = conn.next
			got := make(chan message, 1)
			conn.pending[r.ID] = got
			k.mu.Unlock()
			return k.await(ctx, conn, r, got)
		}
		k.mu.Unlock()
		select {
		case <-ctx.Done():
			return message{}, errors.New("your workbench does not answer yet; try again in a moment")
		case <-k.ctx.Done():
			return message{}, errGone
		case <-changed:
		}
	}
}

func (k *keeper) await(ctx context.Context, conn *deskConn, r request, got chan message) (message, error) {
	defer func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		delete(conn.pending, r.ID)
	}()
	line, err := json.Marshal(r)
	if err != nil {
		return message{}, err
	}
	select {
	case conn.lines <- line:
	case <-conn.gone:
		return message{}, errGone
	case <-ctx.Done():
		return message{}, errors.New("your workbench does not answer; try again in a moment")
	}
	select {
	case m := <-got:
		return m, nil
	case <-conn.gone:
		return message{}, errGone
	case <-ctx.Done():
		return message{}, errors.New("your workbench has not answered in time; what was begun may still go on")
	}
}

// desk forwards a request of the page to the learner's own desk.
func (s *Server) desk(w http.ResponseWriter, r *http.Request, v visit) {
	var q request
	if !read(w, r, &q) {
		return
	}
	if dos[q.Do] == 0 || len(q.Lab) > 128 || len(q.Object) > 512 {
		refuse(w, http.StatusBadRequest, fmt.Sprintf("a desk does not do %.40q", q.Do))
		return
	}
	if q.Do == "solve" && q.Step == nil { // what is permitted is what is solved
		q.Step = &v.At.Step
	}
	if status, why := s.permitted(q, v.Learner); why != "" {
		refuse(w, status, why)
		return
	}
	if !v.asking.enter() {
		w.Header().Set("Retry-After", "1")
		refuse(w, http.StatusTooManyRequests, "your workbench is still at earlier requests: wait for them")
		return
	}
	defer v.asking.leave()
	m, err := v.ask(r.Context(), q)
	switch {
	case err != nil:
		refuse(w, http.StatusServiceUnavailable, err.Error())
	case !m.OK:
		refuse(w, http.StatusConflict, plain(m.Error, 1000))
	default:
		if q.Do == "why" {
			v.explained(m.Result)
		}
		result := oneLine(m.Result, maxLine)
		if result == nil {
			result = json.RawMessage("null")
		}
		answer(w, http.StatusOK, map[string]json.RawMessage{"result": result})
	}
}

// permitted returns why the learner may not do this now, "" if they may.
func (s *Server) permitted(q request, l roster.Learner) (status int, why string) {
	class := s.cfg.Roster.Class()
	if q.Do == "labs" || q.Do == "why" && q.Lab == "" {
		return 0, ""
	}
	lab := s.lab(q.Lab)
	switch {
	case lab == nil || !slices.Contains(class.Labs, q.Lab):
		return http.StatusNotFound, "this class has no such lab"
	case !roster.Opened(&class, &l, q.Lab):
		return http.StatusForbidden, "the instructor has not opened this lab"
	case lab.Elsewhere(s.cfg.Gives) != "":
		return http.StatusForbidden, lab.Elsewhere(s.cfg.Gives)
	}
	if q.Do == "solve" {
		if step := *q.Step; step < 0 || !roster.Released(&class, &l, q.Lab, step) {
			return http.StatusForbidden, "the instructor has not released this solution"
		}
	}
	return 0, ""
}
