package workbench

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/remotecommand"
)

// answering is a server whose streams do what a test says, and how to reach it.
func answering(t *testing.T, do func(c *websocket.Conn)) (*Manager, *url.URL) {
	t.Helper()
	up := websocket.Upgrader{Subprotocols: []string{channelProtocol}}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/elsewhere":
			http.Redirect(w, r, "/", http.StatusTemporaryRedirect)
			return
		case "/headers":
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer func() { _ = conn.Close() }()
			_, err = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\n")
			for n := 0; err == nil && n < 1<<10; n++ {
				_, err = io.WriteString(conn, "X: "+strings.Repeat("x", 16<<10)+"\r\n")
			}
			if err == nil {
				t.Error("16 MB of headers were read")
			}
			return
		}
		conn, err := up.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		do(conn)
	}))
	t.Cleanup(s.Close)
	at, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	return &Manager{cfg: Config{REST: &rest.Config{Host: s.URL}}}, at
}

func frame(channel byte, text string) []byte { return append([]byte{channel}, text...) }

// A command gets what is typed, its size and the end of that; its output and how it has ended come back.
func TestExecute(t *testing.T) {
	m, at := answering(t, func(c *websocket.Conn) {
		for {
			_, b, err := c.ReadMessage()
			if err != nil {
				return
			}
			switch b[0] {
			case channelIn, channelResize:
				_ = c.WriteMessage(websocket.BinaryMessage, frame(channelOut, string(b[1:])))
			case channelClose:
				_ = c.WriteMessage(websocket.BinaryMessage, frame(channelErr, "over"))
				_ = c.WriteMessage(websocket.BinaryMessage, frame(channelStatus, `{"status":"Failure","mess`))
				_ = c.WriteMessage(websocket.BinaryMessage, frame(channelStatus, `age":"exit code 3"}`))
			}
		}
	})
	var out, errs bytes.Buffer
	err := m.execute(t.Context(), at, remotecommand.StreamOptions{Stdin: strings.NewReader("typed"), Stdout: &out, Stderr: &errs})
	if err == nil || !strings.Contains(err.Error(), "exit code 3") || out.String() != "typed" || errs.String() != "over" {
		t.Errorf("%q, %q: %v", &out, &errs, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	defer func() { _ = w.Close() }()
	ended := make(chan error, 1)
	resizes := make(chan Size, 1)
	resizes <- Size{100, 30}
	saw, shown := io.Pipe()
	go func() {
		ended <- m.execute(ctx, at, remotecommand.StreamOptions{Stdin: r, Stdout: shown, Tty: true, TerminalSizeQueue: sizes{ctx, resizes, new(bool)}})
	}()
	want := `{"Width":100,"Height":30}`
	got := make([]byte, len(want))
	if _, err := io.ReadFull(saw, got); err != nil || string(got) != want {
		t.Errorf("%q, %v", got, err)
	}
	cancel()
	if err := <-ended; err == nil {
		t.Error("it goes on after its end")
	}
}

// Who answers in place of a kubelet makes nobody read without end, and leads nowhere.
func TestHostileStreams(t *testing.T) {
	endless := func(channel byte, size int) func(*websocket.Conn) {
		return func(c *websocket.Conn) {
			b := frame(channel, strings.Repeat("x", size))
			for n := 0; n < 256<<20; n += size {
				if c.WriteMessage(websocket.BinaryMessage, b) != nil {
					return
				}
			}
			t.Errorf("256 MB in channel %d were read", channel)
		}
	}
	for name, do := range map[string]func(*websocket.Conn){
		"a status without end": endless(channelStatus, 32<<10),
		"a large status":       endless(channelStatus, 900<<10),
		"a large frame":        endless(channelOut, 8<<20),
		"another channel":      endless(9, 32<<10),
		"text":                 func(c *websocket.Conn) { _ = c.WriteMessage(websocket.TextMessage, []byte("\x03{}")) },
		"nothing in a frame":   func(c *websocket.Conn) { _ = c.WriteMessage(websocket.BinaryMessage, nil) },
	} {
		m, at := answering(t, do)
		if err := m.execute(t.Context(), at, remotecommand.StreamOptions{Stdout: io.Discard}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	m, at := answering(t, func(*websocket.Conn) { t.Error("a redirection was followed") })
	for _, path := range []string{"/elsewhere", "/headers"} {
		at.Path = path
		if err := m.execute(t.Context(), at, remotecommand.StreamOptions{Stdout: io.Discard}); err == nil {
			t.Errorf("%s: no error", path)
		}
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if err := m.execute(over, at, remotecommand.StreamOptions{}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
