package server

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"wheelhouse/lab-runner/classroom/roster"
	"wheelhouse/lab-runner/classroom/workbench"
)

const (
	subprotocol = "wheelhouse.terminal"
	data        = 'd' // frames: bytes of the terminal,
	resize      = 'r' // {"columns":80,"rows":24},
	says        = 's' // and a deskState
	chunk       = 32 << 10
	waitingKeys = 64 // frames that wait for the shell to read
	silence     = 3 * heartbeat
	watchedNow  = "watched"
)

var upgrader = websocket.Upgrader{
	HandshakeTimeout: 10 * time.Second, ReadBufferSize: 4 << 10, WriteBufferSize: 4 << 10, WriteBufferPool: &sync.Pool{},
	Subprotocols: []string{subprotocol}, CheckOrigin: sameOrigin,
	Error: func(w http.ResponseWriter, _ *http.Request, status int, _ error) {
		refuse(w, status, "this address is for the page's terminal")
	},
}

// socket is a terminal of a browser.
type socket struct {
	conn    *websocket.Conn
	writing sync.Mutex
	keys    chan []byte
	sizes   chan workbench.Size
}

// terminal connects the learner's page to their shell.
func (s *Server) terminal(w http.ResponseWriter, r *http.Request, v visit) {
	if !v.terminals.enter() {
		refuse(w, http.StatusTooManyRequests, "your terminal is open in too many windows: close one")
		return
	}
	defer v.terminals.leave()
	ws := open(w, r)
	if ws == nil {
		return
	}
	defer func() { _ = ws.conn.Close() }()
	defer v.enter()()
	valid := func() bool { _, err := s.cfg.Roster.Session(v.token, false); return err == nil }
	s.serveTerminal(v.ctx, ws, v.keeper, valid, false)
}

// shoulder shows the instructor a learner's terminal, or lets the instructor type there if the learner has agreed.
func (s *Server) shoulder(w http.ResponseWriter, r *http.Request) {
	l, err := s.cfg.Roster.Learner(r.PathValue("id"))
	if err != nil || l.Place == roster.Own {
		refuse(w, http.StatusNotFound, "there is no such learner here, or they work on a cluster of their own")
		return
	}
	k := s.keeper(l.ID)
	mode, ctx := r.URL.Query().Get("mode"), context.Context(nil)
	switch {
	case k == nil:
		refuse(w, http.StatusServiceUnavailable, "the class is starting or ending: try again in a moment")
		return
	case mode == "type":
		if ctx = k.mayType(); ctx == nil {
			refuse(w, http.StatusForbidden, "the learner has not agreed: ask first")
			return
		}
	case mode == "view":
		ctx = k.ctx
	default:
		refuse(w, http.StatusBadRequest, "mode is view or type")
		return
	}
	if !s.watches.enter() {
		refuse(w, http.StatusTooManyRequests, "too many terminals are looked at: close one")
		return
	}
	defer s.watches.leave()
	ws := open(w, r)
	if ws == nil {
		return
	}
	defer func() { _ = ws.conn.Close() }()
	k.watch(1)
	defer k.watch(-1)
	token := cookie(r, instructorCookie)
	s.serveTerminal(ctx, ws, k, func() bool { return s.cfg.Roster.Instructor(token) }, mode == "view") //nolint:contextcheck // until the socket, or the learner's agreement, ends
}

// open makes a WebSocket of a request, or answers why not.
func open(w http.ResponseWriter, r *http.Request) *socket {
	if !slices.Contains(websocket.Subprotocols(r), subprotocol) {
		refuse(w, http.StatusBadRequest, "a terminal needs the WebSocket subprotocol "+subprotocol)
		return nil
	}
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return nil // it is answered
	}
	conn.SetReadLimit(maxFrame)
	ws := &socket{conn: conn, keys: make(chan []byte, waitingKeys), sizes: make(chan workbench.Size, 1)}
	number := func(name string, otherwise int) int {
		if n, err := strconv.Atoi(r.URL.Query().Get(name)); err == nil {
			return n
		}
		return otherwise
	}
	ws.resize(number("columns", 80), number("rows", 24))
	return ws
}

// resize notes a size; one that the shell has not seen yet is replaced.
func (ws *socket) resize(columns, rows int) {
	size := workbench.Size{Columns: uint16(max(2, min(columns, 500))), Rows: uint16(max(2, min(rows, 300)))}
	select {
	case <-ws.sizes:
	default:
	}
	ws.sizes <- size
}

// send writes one frame.
func (ws *socket) send(kind byte, b []byte) error {
	ws.writing.Lock()
	defer ws.writing.Unlock()
	if err := ws.conn.SetWriteDeadline(time.Now().Add(writeTime)); err != nil {
		return err
	}
	w, err := ws.conn.NextWriter(websocket.BinaryMessage)
	if err != nil {
		return err
	}
	if _, err := w.Write([]byte{kind}); err != nil {
		return err
	}
	if _, err := w.Write(b); err != nil {
		return err
	}
	return w.Close()
}

func (ws *socket) says(state, text string) error {
	b, err := json.Marshal(deskState{state, text})
	if err != nil {
		return err
	}
	return ws.send(says, b)
}

// Write sends what the shell shows.
func (ws *socket) Write(b []byte) (int, error) {
	for sent := 0; sent < len(b); {
		part := b[sent:min(len(b), sent+chunk)]
		if err := ws.send(data, part); err != nil {
			return sent, err
		}
		sent += len(part)
	}
	return len(b), nil
}

var (
	errKeys  = errors.New("the shell does not read what is typed")
	errFrame = errors.New("a frame that is none of a terminal's")
	errOver  = errors.New("your session, or the consent, is over")
)

// readAll takes the frames of the browser until it is gone. What is typed into a view is dropped.
func (ws *socket) readAll(ctx context.Context, view bool) error {
	alive := func() error { return ws.conn.SetReadDeadline(time.Now().Add(silence)) }
	ws.conn.SetPongHandler(func(string) error { return alive() })
	for {
		if err := alive(); err != nil {
			return err
		}
		kind, frame, err := ws.conn.ReadMessage()
		switch {
		case err != nil:
			return err
		case kind != websocket.BinaryMessage || len(frame) == 0:
			return errFrame
		case frame[0] == data && view:
		case frame[0] == data:
			late := time.NewTimer(writeTime)
			select {
			case ws.keys <- frame[1:]:
				late.Stop()
			case <-ctx.Done():
				late.Stop()
				return ctx.Err()
			case <-late.C:
				return errKeys
			}
		case frame[0] == resize:
			var size struct{ Columns, Rows int }
			if json.Unmarshal(frame[1:], &size) != nil {
				return errFrame
			}
			ws.resize(size.Columns, size.Rows)
		default:
			return errFrame
		}
	}
}

// pump writes what was typed to the shell.
func (ws *socket) pump(ctx context.Context, in *io.PipeWriter) {
	defer func() { _ = in.Close() }()
	for {
		select {
		case <-ctx.Done():
			return
		case b := <-ws.keys:
			if _, err := in.Write(b); err != nil {
				return
			}
		}
	}
}

// attend keeps the connection alive, ends it with the session, and shows the learner who looks.
func (ws *socket) attend(ctx context.Context, k *keeper, valid func() bool, view bool) error {
	changed, end := k.subscribe()
	defer end()
	gone, endGone := k.s.cfg.Roster.Subscribe(k.id)
	defer endGone()
	tick := time.NewTicker(heartbeat)
	defer tick.Stop()
	shown := ""
	for {
		if !valid() {
			return errOver
		}
		state := ready
		if watched, _ := k.watched(); watched && !view {
			state = watchedNow
		}
		if state != shown {
			shown = state
			if err := ws.says(state, ""); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return errOver
		case <-changed:
		case <-gone:
		case <-tick.C:
			if err := ws.conn.WriteControl(websocket.PingMessage, nil, time.Now().Add(writeTime)); err != nil {
				return err
			}
		}
	}
}

// serveTerminal connects a browser to a learner's shell until one of them, the session or the consent ends.
func (s *Server) serveTerminal(parent context.Context, ws *socket, k *keeper, valid func() bool, view bool) {
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	go func() { cancel(ws.readAll(ctx, view)) }()
	if err := s.ensureBench(ctx, k.bench); err != nil {
		if ctx.Err() == nil {
			k.warn("making a workbench for a terminal", err)
		}
		_ = ws.says(lost, whyLost(err, "your workbench is not ready; it is tried again"))
		return
	}
	in, keys := io.Pipe()
	var helpers sync.WaitGroup
	helpers.Go(func() { ws.pump(ctx, keys) })
	helpers.Go(func() { cancel(ws.attend(ctx, k, valid, view)) })
	stop := context.AfterFunc(ctx, func() { in.CloseWithError(io.EOF) })
	defer stop()
	err := s.cfg.Streams.Terminal(ctx, k.bench, workbench.Terminal{In: in, Out: ws, Resize: ws.sizes, ReadOnly: view})
	over := ctx.Err() != nil
	cancel(err)
	text := "the shell has ended; it is started again"
	if over {
		text = ""
		if errors.Is(context.Cause(ctx), errOver) {
			text = errOver.Error()
		}
	}
	_ = ws.says(lost, text)
	helpers.Wait()
}
