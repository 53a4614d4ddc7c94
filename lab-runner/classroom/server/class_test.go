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
	"net/http/cookiejar"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/gorilla/websocket"
	"k8s.io/client-go/kubernetes"

	"wheelhouse/cluster/apiserver/apitest"
	"wheelhouse/cluster/wait"
	"wheelhouse/lab-runner/catalog"
	"wheelhouse/lab-runner/classroom/roster"
	"wheelhouse/lab-runner/script"
)

// class is one that is served by TLS, on a real API server.
type class struct {
	*testing.T
	*room
	roster *roster.Roster
	cfg    Config
	server *Server
	http   *httptest.Server
	stop   func() // ends Run, and waits for it
}

func offered() []*catalog.Lab {
	steps := []catalog.Step{{Step: script.Step{Name: "first", Title: "First"}}, {Step: script.Step{Name: "second", Title: "Second"}}}
	return []*catalog.Lab{
		{Track: "workshop", Name: "one", Title: "One", About: "about one", Minutes: 5, Steps: steps},
		{Track: "workshop", Name: "two", Title: "Two", Steps: steps},
		{Track: "hard", Name: "nodes", Title: "Nodes", Steps: steps, Requires: []string{"cluster-admin"}},
	}
}

// TestServer has one API server; each class has a namespace of its own.
func TestServer(t *testing.T) {
	client := kubernetes.NewForConfigOrDie(apitest.Start(t))
	for i, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := &class{T: t, room: newRoom()}
			first := func() roster.Class {
				return roster.Class{Title: "A day", Labs: []string{"workshop/one", "workshop/two", "hard/nodes"}, Open: map[string]bool{"workshop/one": true, "hard/nodes": true}}
			}
			var err error
			c.roster, err = roster.Open(t.Context(), roster.Config{Client: client, Namespace: fmt.Sprintf("class-%d", i), Limit: 3}, first)
			if err != nil {
				t.Fatal(err)
			}
			c.cfg = Config{
				Roster: c.roster, Benches: c.room, Streams: c.room, Labs: offered(),
				Assets: fstest.MapFS{"index.html": {Data: []byte("the page")}, "board.html": {Data: []byte("the board")}, "a-ABCD2345.js": {Data: []byte("//")}, "lang/de.json": {Data: []byte("{}")}},
			}
			c.cfg.Slides = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "slide "+r.URL.Path) })
			if test.with != nil {
				test.with(&c.cfg)
			}
			c.start()
			test.run(c)
		})
	}
}

func (c *class) start() {
	c.Helper()
	var err error
	if c.server, err = New(c.cfg); err != nil {
		c.Fatal(err)
	}
	c.http = httptest.NewTLSServer(c.server.Handler())
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.server.Run(ctx) }()
	c.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			c.Error(err)
		}
		c.http.CloseClientConnections()
		c.http.Close()
	})
	c.Cleanup(c.stop)
	c.eventually("the server runs", func() bool { return c.server.keeper("probe") != nil })
	c.server.endKeeper("probe")
}

// eventually waits until a condition holds.
func (c *class) eventually(what string, holds func() bool) {
	c.Helper()
	wait.Within(c, 20*time.Second, what, func() error { return wait.Seen(holds(), "it does not hold") })
}

// browser is a client with cookies, as the page is.
type browser struct {
	*class
	*http.Client
	id, returnCode string
}

func (c *class) browser() *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		c.Fatal(err)
	}
	client := *c.http.Client()
	client.Jar = jar
	return &browser{class: c, Client: &client}
}

func (c *class) url(path string) string {
	return c.http.URL + strings.TrimSuffix(c.server.cfg.Prefix, "/") + path
}

// send sends a request as the page does; headers change that.
func (b *browser) send(method, path string, body any, headers ...string) (int, map[string]any, http.Header) {
	b.Helper()
	text, ok := body.(string)
	if !ok {
		j, err := json.Marshal(body)
		if err != nil {
			b.Fatal(err)
		}
		text = string(j)
	}
	r, err := http.NewRequestWithContext(b.Context(), method, b.url(path), strings.NewReader(text))
	if err != nil {
		b.Fatal(err)
	}
	r.Header.Set("Origin", b.http.URL)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Wheelhouse", "1")
	for i := 0; i < len(headers); i += 2 {
		if r.Header.Set(headers[i], headers[i+1]); headers[i+1] == "" {
			r.Header.Del(headers[i])
		}
	}
	res, err := b.Do(r)
	if err != nil {
		b.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		b.Fatal(err)
	}
	out := map[string]any{}
	if json.Unmarshal(raw, &out) != nil {
		out["raw"] = string(raw)
	}
	return res.StatusCode, out, res.Header
}

// post sends a change that must succeed.
func (b *browser) post(path string, body any) map[string]any {
	b.Helper()
	status, out, _ := b.send(http.MethodPost, path, body)
	if status >= 300 {
		b.Fatalf("POST %s %v: %d %v", path, body, status, out)
	}
	return out
}

// refused sends a change that must not succeed.
func (b *browser) refused(want int, path string, body any) string {
	b.Helper()
	status, out, _ := b.send(http.MethodPost, path, body)
	if status != want || out["error"] == "" {
		b.Errorf("POST %s %v: %d %v, want %d and an error", path, body, status, out, want)
	}
	return fmt.Sprint(out["error"])
}

func (b *browser) get(path string) map[string]any {
	b.Helper()
	status, out, _ := b.send(http.MethodGet, path, "")
	if status != http.StatusOK {
		b.Fatalf("GET %s: %d %v", path, status, out)
	}
	return out
}

func (c *class) code() string {
	c.Helper()
	code, err := c.roster.Code(c.Context())
	if err != nil {
		c.Fatal(err)
	}
	return code
}

func (c *class) join(name string) *browser {
	c.Helper()
	b := c.browser()
	out := b.post("/api/join", map[string]string{"code": c.code(), "name": name})
	b.id, b.returnCode = fmt.Sprint(out["id"]), fmt.Sprint(out["returnCode"])
	return b
}

func (c *class) instructor() *browser {
	c.Helper()
	b := c.browser()
	password, err := c.roster.NewPassword(c.Context())
	if err != nil {
		c.Fatal(err)
	}
	b.post("/api/instructor/login", map[string]string{"password": password})
	return b
}

// do does an action of the board.
func (b *browser) do(action string, learners []string, more ...any) map[string]any {
	b.Helper()
	body := map[string]any{"action": action, "learners": learners}
	for i := 0; i < len(more); i += 2 {
		body[fmt.Sprint(more[i])] = more[i+1]
	}
	return b.post("/api/board/do", body)
}

// row returns a learner's row of the board.
func (b *browser) row(id string) map[string]any {
	b.Helper()
	rows, _ := b.get("/api/board")["learners"].([]any)
	for _, r := range rows {
		if row, _ := r.(map[string]any); row["id"] == id {
			return row
		}
	}
	return nil
}

// stream is server-sent events as they come.
type stream struct {
	*class
	mu     sync.Mutex
	all    bytes.Buffer
	last   map[string]string
	ended  chan struct{}
	cancel func()
}

func (b *browser) stream(path string) *stream {
	b.Helper()
	ctx, cancel := context.WithCancel(b.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, b.url(path), nil)
	if err != nil {
		b.Fatal(err)
	}
	res, err := b.Do(r)
	if err != nil {
		b.Fatal(err)
	}
	if res.StatusCode != http.StatusOK {
		b.Fatalf("GET %s: %s", path, res.Status)
	}
	s := &stream{class: b.class, last: map[string]string{}, ended: make(chan struct{}), cancel: cancel}
	b.Cleanup(cancel)
	go func() {
		defer close(s.ended)
		defer res.Body.Close()
		lines := bufio.NewScanner(res.Body)
		lines.Buffer(nil, 4<<20)
		name := ""
		for lines.Scan() {
			s.mu.Lock()
			s.all.WriteString(lines.Text() + "\n")
			if n, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
				name = n
			}
			if text, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				s.last[name] = text
			}
			s.mu.Unlock()
		}
	}()
	return s
}

// shows waits until the last event of a name has a text.
func (s *stream) shows(name, text string) {
	s.Helper()
	s.eventually(fmt.Sprintf("event %s has %s", name, text), func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return strings.Contains(s.last[name], text)
	})
}

func (s *stream) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all.String()
}

func (s *stream) ends() {
	s.Helper()
	select {
	case <-s.ended:
	case <-time.After(20 * time.Second):
		s.Fatal("the stream goes on")
	}
}

// shell is a terminal of the page.
type shell struct {
	*class
	conn  *websocket.Conn
	mu    sync.Mutex
	shown string
	says  []string
	ended chan struct{}
}

func (b *browser) dial(path string, headers ...string) (*websocket.Conn, int) {
	b.Helper()
	h := http.Header{}
	h.Set("Origin", b.http.URL)
	h.Set("Sec-WebSocket-Protocol", subprotocol)
	for i := 0; i < len(headers); i += 2 {
		if h.Set(headers[i], headers[i+1]); headers[i+1] == "" {
			h.Del(headers[i])
		}
	}
	transport, _ := b.http.Client().Transport.(*http.Transport)
	tlsConfig := transport.TLSClientConfig.Clone()
	tlsConfig.NextProtos = []string{"http/1.1"}
	d := websocket.Dialer{TLSClientConfig: tlsConfig, Jar: b.Jar}
	conn, res, err := d.DialContext(b.Context(), "wss"+strings.TrimPrefix(b.url(path), "https"), h)
	if err != nil {
		if res == nil {
			b.Fatal(err)
		}
		return nil, res.StatusCode
	}
	b.Cleanup(func() { _ = conn.Close() })
	return conn, res.StatusCode
}

func (b *browser) shell(path string) *shell {
	b.Helper()
	conn, status := b.dial(path)
	if conn == nil {
		b.Fatalf("%s: status %d", path, status)
	}
	s := &shell{class: b.class, conn: conn, ended: make(chan struct{})}
	go func() {
		defer close(s.ended)
		for {
			_, frame, err := conn.ReadMessage()
			if err != nil {
				return
			}
			s.mu.Lock()
			if frame[0] == data {
				s.shown += string(frame[1:])
			} else {
				s.says = append(s.says, string(frame[1:]))
			}
			s.mu.Unlock()
		}
	}()
	return s
}

func (s *shell) send(frame string) {
	s.Helper()
	if err := s.conn.WriteMessage(websocket.BinaryMessage, []byte(frame)); err != nil {
		s.Fatal(err)
	}
}

func (s *shell) shows(text string) {
	s.Helper()
	s.eventually("the terminal shows "+text, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return strings.Contains(s.shown, text)
	})
}

func (s *shell) state(state string) {
	s.Helper()
	s.eventually("the terminal is "+state, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.says) > 0 && strings.Contains(s.says[len(s.says)-1], `"`+state+`"`)
	})
}

func (s *shell) ends() {
	s.Helper()
	select {
	case <-s.ended:
	case <-time.After(20 * time.Second):
		s.Fatal("the terminal goes on")
	}
}

// page returns the status of a page.
func (b *browser) page(path string) int {
	b.Helper()
	resp, err := b.Get(b.http.URL + path)
	if err != nil {
		b.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}
