package connlimit

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"wheelhouse/cluster/wait"
)

// server answers GET /wait when told to, /endless for as long as it can, other paths at once.
type server struct {
	t     *testing.T
	addr  string
	came  chan struct{} // a request to /wait or /endless is being answered
	wait  chan struct{} // lets /wait answer
	cut   chan error    // the end of /endless
	limit *Listener
}

func serve(t *testing.T, c Config) *server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{t, l.Addr().String(), make(chan struct{}), make(chan struct{}), make(chan error), New(l, c)}
	h := &http.Server{ConnState: s.limit.ConnState, Handler: s}
	done := make(chan error, 1)
	go func() { done <- h.Serve(s.limit) }()
	t.Cleanup(func() {
		_ = h.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
		s.limit.mu.Lock()
		defer s.limit.mu.Unlock()
		if len(s.limit.sources) != 0 || s.limit.total != 0 {
			t.Errorf("%d connections are still counted", s.limit.total)
		}
	})
	return s
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/wait":
		s.came <- struct{}{}
		<-s.wait
	case "/endless":
		s.came <- struct{}{}
		var err error
		for err == nil {
			_, err = w.Write(make([]byte, 64<<10))
		}
		s.cut <- err
	}
}

func (s *server) dial(from string) net.Conn {
	s.t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	c, err := d.DialContext(s.t.Context(), "tcp", s.addr)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		s.t.Fatal(err)
	}
	return c
}

// begin sends a request that the server answers when told to.
func (s *server) begin(from, path string) net.Conn {
	s.t.Helper()
	c := s.dial(from)
	if _, err := io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		s.t.Fatal(err)
	}
	<-s.came
	return c
}

// await waits for the server to see a client's connection in a state.
func (s *server) await(client net.Conn, want http.ConnState) {
	s.t.Helper()
	wait.For(s.t, "a connection that is "+want.String(), func() error {
		last := http.ConnState(-1)
		s.limit.mu.Lock()
		for _, conns := range s.limit.sources {
			for c := range conns {
				if c.RemoteAddr().String() == client.LocalAddr().String() {
					last = c.state
				}
			}
		}
		s.limit.mu.Unlock()
		return wait.Seen(last == want, last)
	})
}

// finish lets requests to /wait be answered, which no connection at work may miss.
func (s *server) finish(working []net.Conn) {
	s.t.Helper()
	for range working {
		s.wait <- struct{}{}
	}
	for _, c := range working {
		if err := get(s.t, c, ""); err != nil {
			s.t.Errorf("a connection at work was broken: %v", err)
		}
	}
}

func get(t *testing.T, c net.Conn, path string) error {
	t.Helper()
	if path != "" {
		if _, err := io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			return err
		}
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err == nil {
		_ = resp.Body.Close()
	}
	return err
}

// ended reports whether the server has closed the connection.
func ended(c net.Conn) bool {
	_, err := c.Read(make([]byte, 1))
	return err != nil && !errors.Is(err, os.ErrDeadlineExceeded)
}

func TestIdleConnectionsGiveWay(t *testing.T) {
	s := serve(t, Config{PerSource: 3, Total: 100})
	idle := s.begin("127.0.0.1", "/wait")
	s.wait <- struct{}{}
	if err := get(t, idle, ""); err != nil {
		t.Fatal(err)
	}
	s.await(idle, http.StateIdle)
	silent, slow := s.dial("127.0.0.1"), s.dial("127.0.0.1")
	if _, err := io.WriteString(slow, "GET / HTTP"); err != nil {
		t.Fatal(err)
	}
	other := s.dial("127.0.0.2")
	var working []net.Conn
	for _, given := range []struct {
		name string
		net.Conn
	}{{"the first that sent nothing", silent}, {"the first with half a request", slow}} {
		busy := s.begin("127.0.0.1", "/wait")
		if !ended(given) {
			t.Errorf("%s is still there", given.name)
		}
		working = append(working, busy)
	}
	if err := get(t, s.dial("127.0.0.1"), "/"); err != nil {
		t.Errorf("a new one: %v", err)
	}
	if !ended(idle) {
		t.Error("the one that is idle after a request is still there")
	}
	if err := get(t, other, "/"); err != nil {
		t.Errorf("another address: %v", err)
	}
	s.finish(working)
}

func TestAllAtWork(t *testing.T) {
	s := serve(t, Config{PerSource: 2, Total: 3})
	var working []net.Conn
	for _, from := range []string{"127.0.0.1", "127.0.0.1", "127.0.0.2"} {
		working = append(working, s.begin(from, "/wait"))
	}
	for _, from := range []string{"127.0.0.1", "127.0.0.3"} {
		if !ended(s.dial(from)) {
			t.Errorf("one too many from %s is accepted", from)
		}
	}
	s.finish(working)
}

// TestReaderThatDoesNotRead: a client that reads is served for as long as it does; when it
// stops, the server's write fails.
func TestReaderThatDoesNotRead(t *testing.T) {
	s := serve(t, Config{PerSource: 2, Total: 3, WriteStall: 2 * time.Second})
	c := s.begin("127.0.0.1", "/endless")
	if _, err := io.CopyN(io.Discard, c, 20<<20); err != nil {
		t.Fatal(err)
	}
	if err := <-s.cut; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
}

// A client that acknowledges nothing is closed after the time that was asked for: the option is set on its connection.
func TestUnacknowledged(t *testing.T) {
	for _, want := range []time.Duration{0, 45 * time.Second} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		limited := New(l, Config{PerSource: 1, Total: 1, Unacknowledged: want})
		client, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		c, err := limited.Accept()
		if err != nil {
			t.Fatal(err)
		}
		raw, err := c.(*conn).Conn.(*net.TCPConn).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		got := -1
		if err := raw.Control(func(fd uintptr) { got, _ = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT) }); err != nil || got != int(want.Milliseconds()) {
			t.Errorf("the kernel has %d ms, want %s: %v", got, want, err)
		}
		_ = errors.Join(client.Close(), c.Close(), l.Close())
	}
}
