package balancer_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"wheelhouse/cluster/balancer"
	"wheelhouse/cluster/wait"
)

// server answers each line with its own address. frozen, it accepts and says nothing.
type server struct {
	net.Listener
	mu     sync.Mutex
	frozen bool
}

func newServer(t *testing.T) *server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{Listener: l}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go s.serve(conn)
		}
	}()
	return s
}

func (s *server) serve(conn net.Conn) {
	defer conn.Close()
	lines := bufio.NewScanner(conn)
	for lines.Scan() {
		if !s.isFrozen() {
			fmt.Fprintln(conn, s.Addr())
		}
	}
}

func (s *server) isFrozen() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.frozen
}

func (s *server) freeze() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.frozen = true
}

func ask(conn net.Conn) (string, error) {
	if _, err := fmt.Fprintln(conn, "who"); err != nil {
		return "", err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return "", err
	}
	return line[:len(line)-1], nil
}

func connect(t *testing.T, at net.Addr) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", at.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// start runs a balancer in front of the servers. A frozen one fails its probes.
func start(t *testing.T, servers ...*server) (*balancer.Balancer, net.Addr) {
	t.Helper()
	var at []string
	for _, s := range servers {
		at = append(at, s.Addr().String())
	}
	b := balancer.New(balancer.Config{Servers: at, Log: slog.New(slog.DiscardHandler), Probe: func(_ context.Context, to string) error {
		for _, s := range servers {
			if s.Addr().String() == to && s.isFrozen() {
				return errors.New("frozen")
			}
		}
		return nil
	}})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return b, l.Addr()
}

func TestServerThatIsGone(t *testing.T) {
	t.Parallel()
	one, two := newServer(t), newServer(t)
	b, at := start(t, one, two)
	if who, err := ask(connect(t, at)); err != nil || who != one.Addr().String() {
		t.Fatalf("answered by %s, %v", who, err)
	}
	_ = one.Close()
	if who, err := ask(connect(t, at)); err != nil || who != two.Addr().String() {
		t.Fatalf("the first refuses connections: answered by %s, %v", who, err)
	}
	if first := b.Servers()[0]; first != two.Addr().String() {
		t.Errorf("%s is tried first", first)
	}
}

func TestServerThatIsFrozen(t *testing.T) {
	t.Parallel()
	one, two := newServer(t), newServer(t)
	_, at := start(t, one, two)
	conn := connect(t, at)
	if who, err := ask(conn); err != nil || who != one.Addr().String() {
		t.Fatalf("answered by %s, %v", who, err)
	}
	one.freeze()
	if _, err := io.ReadAll(conn); err != nil { // until the balancer closes it
		t.Fatal(err)
	}
	if who, err := ask(connect(t, at)); err != nil || who != two.Addr().String() {
		t.Fatalf("the first is frozen: answered by %s, %v", who, err)
	}
}

func TestSet(t *testing.T) {
	t.Parallel()
	one, two := newServer(t), newServer(t)
	b, at := start(t, one)
	conn := connect(t, at)
	if _, err := ask(conn); err != nil {
		t.Fatal(err)
	}
	b.Set(nil)
	b.Set([]string{two.Addr().String(), one.Addr().String()})
	if who, err := ask(conn); err != nil || who != one.Addr().String() {
		t.Fatalf("one that is still there: answered by %s, %v", who, err)
	}
	b.Set([]string{two.Addr().String()})
	wait.For(t, "the end of a connection to a server that is none", func() error {
		_, err := ask(conn)
		return wait.Seen(err != nil, "it is answered")
	})
	if who, err := ask(connect(t, at)); err != nil || who != two.Addr().String() {
		t.Fatalf("answered by %s, %v", who, err)
	}
}

// When no server has answered for a while, that is reported once.
func TestNoServerAnswers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var down bool
		var lost []string
		b := balancer.New(balancer.Config{
			Servers: []string{"a", "b"}, Log: slog.New(slog.DiscardHandler),
			Probe: func(context.Context, string) error {
				mu.Lock()
				defer mu.Unlock()
				if down {
					return errors.New("no route")
				}
				return nil
			},
			Lost: func(servers []string, err error) { lost = append(lost, fmt.Sprint(len(servers), " ", err)) },
		})
		l := pipe{closed: make(chan struct{})}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- b.Run(ctx, &l) }()
		set := func(to bool, d time.Duration, want int) {
			t.Helper()
			mu.Lock()
			down = to
			mu.Unlock()
			time.Sleep(d)
			synctest.Wait()
			if len(lost) != want {
				t.Errorf("reported %q, want %d", lost, want)
			}
		}
		set(false, time.Minute, 0)
		set(true, balancer.LostAfter/2, 0)
		set(false, time.Minute, 0)
		set(true, 10*time.Minute, 1)
		set(false, time.Minute, 1)
		set(true, time.Minute, 2)
		cancel()
		if err := <-ended; err != nil || lost[0] != "2 no route" {
			t.Errorf("%v, %q", err, lost)
		}
	})
}

// pipe is a listener that nobody connects to.
type pipe struct {
	once   sync.Once
	closed chan struct{}
}

func (p *pipe) Accept() (net.Conn, error) { <-p.closed; return nil, net.ErrClosed }
func (p *pipe) Close() error              { p.once.Do(func() { close(p.closed) }); return nil }
func (p *pipe) Addr() net.Addr            { return &net.TCPAddr{} }
