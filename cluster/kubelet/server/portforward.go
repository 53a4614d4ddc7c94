package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	gwebsocket "github.com/gorilla/websocket"
	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/portforward"
	tunnel "k8s.io/client-go/tools/portforward"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/spdy"
	"k8s.io/streaming/pkg/httpstream/wsstream"

	"wheelhouse/cluster/kubelet/cri"
	"wheelhouse/cluster/osthread"
)

const (
	forwardDial = 10 * time.Second
	forwardIdle = 4 * time.Hour // as upstream's streaming server
	forwardPair = 30 * time.Second
)

// servePortForward serves SPDY, plain or inside a web socket, and the channels of a web
// socket.
func (s *Server) servePortForward(w http.ResponseWriter, r *http.Request) {
	pid, err := s.sandboxPid(r)
	if err != nil {
		failRequest(w, err)
		return
	}
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	f := &forwarder{ctx: ctx, pid: pid, pairs: map[string]*pair{}}
	if wsstream.IsWebSocketRequest(r) && !wsstream.IsWebSocketRequestWithTunnelingProtocol(r) {
		s.serveForwardChannels(w, r, f) //nolint:contextcheck // the request's own
		return
	}
	conn, err := f.upgrade(w, r)
	if err != nil {
		s.Log.Debug("port-forward", "err", err)
		return
	}
	defer func() { _ = conn.Close() }()
	conn.SetIdleTimeout(forwardIdle)
	select {
	case <-conn.CloseChan():
	case <-ctx.Done():
	}
}

// sandboxPid returns the process that holds the network of the request's pod.
func (s *Server) sandboxPid(r *http.Request) (int, error) {
	pod, all, err := s.podContainers(r)
	if err != nil {
		return 0, err
	}
	for _, c := range all {
		if c.Name == cri.SandboxName && c.State == cri.Running {
			return c.Pid, nil
		}
	}
	return 0, fmt.Errorf("pod %s/%s is not running", pod.Namespace, pod.Name)
}

// forwarder serves one client, whose connections each are a pair of streams.
type forwarder struct {
	ctx context.Context
	pid int

	mu    sync.Mutex
	pairs map[string]*pair
}

type pair struct{ data, status httpstream.Stream }

func (f *forwarder) upgrade(w http.ResponseWriter, r *http.Request) (httpstream.Connection, error) {
	if wsstream.IsWebSocketRequestWithTunnelingProtocol(r) {
		u := gwebsocket.Upgrader{
			Subprotocols: []string{portforward.WebsocketsSPDYTunnelingPortForwardV1},
			CheckOrigin:  func(*http.Request) bool { return true }, // callers are authenticated
		}
		ws, err := u.Upgrade(lingering(w), r, nil)
		if err != nil {
			return nil, err
		}
		if ws.Subprotocol() == "" {
			_ = ws.Close()
			return nil, errors.New("no protocol in common")
		}
		return spdy.NewServerConnection(tunnel.NewTunnelingConnection("server", ws), f.arrived)
	}
	if !httpstream.IsUpgradeRequest(r) {
		http.Error(w, "port-forward needs an upgrade to SPDY or to a web socket", http.StatusBadRequest)
		return nil, errors.New("not an upgrade to a known protocol")
	}
	if _, err := httpstream.Handshake(r, w, []string{portforward.PortForwardV1Name}); err != nil {
		http.Error(w, err.Error(), http.StatusForbidden)
		return nil, err
	}
	conn := spdy.NewResponseUpgrader().UpgradeResponse(lingering(w), r, f.arrived)
	if conn == nil {
		return nil, errors.New("the upgrade has failed")
	}
	return conn, nil
}

// arrived adds a new stream, and forwards once both of its pair have come.
func (f *forwarder) arrived(s httpstream.Stream, replied <-chan struct{}) error {
	h := s.Headers()
	port, err := strconv.ParseUint(h.Get(v1.PortHeader), 10, 16)
	if err != nil || port == 0 {
		return fmt.Errorf("invalid port %q", h.Get(v1.PortHeader))
	}
	kind := h.Get(v1.StreamType)
	if kind != v1.StreamTypeData && kind != v1.StreamTypeError {
		return fmt.Errorf("invalid stream type %q", kind)
	}
	id := h.Get(v1.PortForwardRequestIDHeader)
	if id == "" { // old clients: the error stream comes right before its data stream
		n := int(s.Identifier())
		if kind == v1.StreamTypeData {
			n -= 2
		}
		id = strconv.Itoa(n)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	p := f.pairs[id]
	if p == nil {
		p = &pair{}
		f.pairs[id] = p
		time.AfterFunc(forwardPair, func() { f.expire(id, p) })
	}
	if kind == v1.StreamTypeData {
		p.data = s
	} else {
		p.status = s
	}
	if p.data != nil && p.status != nil {
		delete(f.pairs, id)
		go func() {
			<-replied
			f.forward(p, int(port))
		}()
	}
	return nil
}

// expire drops a stream whose pair has not come.
func (f *forwarder) expire(id string, p *pair) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.pairs[id] != p {
		return
	}
	delete(f.pairs, id)
	for _, s := range []httpstream.Stream{p.data, p.status} {
		if s != nil {
			_ = s.Reset()
		}
	}
}

// forward copies between a client's stream and a port of the pod.
func (f *forwarder) forward(p *pair, port int) {
	defer p.status.Close()
	f.copy(p.data, p.status, port)
}

// copy returns when either side has closed, and closes data.
func (f *forwarder) copy(data io.ReadWriteCloser, status io.Writer, port int) {
	defer data.Close()
	conn, err := dialInside(f.pid, port)
	if err != nil {
		fmt.Fprintf(status, "error forwarding port %d to pod: %v", port, err)
		return
	}
	defer conn.Close()
	stop := context.AfterFunc(f.ctx, func() { conn.Close() })
	defer stop()
	up := make(chan struct{})
	go func() {
		defer close(up)
		_, _ = io.Copy(conn, data)
		if c, ok := conn.(*net.TCPConn); ok {
			_ = c.CloseWrite()
		}
	}()
	_, _ = io.Copy(data, conn) // either side may close at any time
	_ = data.Close()
	conn.Close()
	<-up
}

// dialInside connects to a port on the loopback device of a process's network,
// so that applications bound to localhost are reached as well.
func dialInside(pid, port int) (conn net.Conn, err error) {
	osthread.Apart(func() { conn, err = dialFrom(pid, port) })
	return conn, err
}

func dialFrom(pid, port int) (net.Conn, error) {
	ns, err := unix.Open(fmt.Sprintf("/proc/%d/ns/net", pid), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open the pod's network: %w", err)
	}
	defer func() { _ = unix.Close(ns) }()
	if err := unix.Setns(ns, unix.CLONE_NEWNET); err != nil {
		return nil, fmt.Errorf("enter the pod's network: %w", err)
	}
	// One literal address: the socket is made by this goroutine, on this thread.
	d := net.Dialer{Timeout: forwardDial}
	conn, err := d.Dial("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		if conn6, err6 := d.Dial("tcp6", net.JoinHostPort("::1", strconv.Itoa(port))); err6 == nil {
			return conn6, nil
		}
		return nil, err
	}
	return conn, nil
}
