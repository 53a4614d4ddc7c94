//go:build !quick

package kubelet_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/tools/remotecommand"
	spdytransport "k8s.io/client-go/transport/spdy"
	"k8s.io/client-go/util/exec"

	"wheelhouse/cluster/kubelet/cri"
	"wheelhouse/cluster/wait"
)

// logs reads a container's log from the runtime.
func (n *testNode) logs(_ *v1.Pod, id string) string {
	var out bytes.Buffer
	if err := n.runtime.Logs(context.Background(), id, cri.LogOptions{Tail: -1}, &out, &out); err != nil {
		return err.Error()
	}
	return out.String()
}

// delete2 deletes pods without waiting for each.
func (n *testNode) delete2(names ...string) {
	n.t.Helper()
	for _, name := range names {
		p, err := n.client.CoreV1().Pods("default").Get(context.Background(), name, metav1.GetOptions{})
		if err != nil {
			n.t.Fatal(err)
		}
		now := metav1.Now()
		p.DeletionTimestamp, p.DeletionGracePeriodSeconds = &now, p.Spec.TerminationGracePeriodSeconds
		if _, err := n.client.CoreV1().Pods("default").Update(context.Background(), p, metav1.UpdateOptions{}); err != nil {
			n.t.Fatal(err)
		}
	}
	wait.Within(n.t, patience, "all pods to be gone", func() error {
		left, err := n.runtime.List(context.Background(), "")
		return wait.Seen(err == nil && len(left) == 0 && n.kubelet.WorkersLeft() == 0, left)
	})
}

func (n *testNode) get(path string) (int, string) {
	n.t.Helper()
	transport, err := rest.TransportFor(n.rest())
	if err != nil {
		n.t.Fatal(err)
	}
	res, err := (&http.Client{Transport: transport}).Get("https://" + n.host + path)
	if err != nil {
		n.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		n.t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

// What kubectl logs, exec and port-forward do works at the node's server.
func TestStreams(t *testing.T) {
	n := newNode(t)
	p := pod("streams", "echo one; echo two >&2; echo three; trap exit TERM; mkdir /www; echo there and back > /www/f; httpd -p 127.0.0.1:8080 -h /www; sleep 1000 & wait")
	p.Spec.Containers[0].Stdin = true
	n.create(p)
	n.wait("streams", "Ready", isReady)
	wait.Within(t, patience, "the log", func() error {
		_, log := n.get("/containerLogs/default/streams/main")
		return wait.Seen(strings.Count(log, "\n") == 3, log)
	})
	for query, want := range map[string]string{
		"?limitBytes=2&stream=Stdout": "on", "?stream=Stderr": "two\n", "?tailLines=0": "",
		"?sinceTime=2099-01-01T00:00:00Z": "",
	} {
		if code, log := n.get("/containerLogs/default/streams/main" + query); code != 200 || log != want {
			t.Errorf("log%s: %d %q, want %q", query, code, log, want)
		}
	}
	if code, log := n.get("/containerLogs/default/streams/main?tailLines=1"); code != 200 || strings.Count(log, "\n") != 1 {
		t.Errorf("last line: %d %q", code, log)
	}
	if code, _ := n.get("/containerLogs/default/streams/main?previous=true"); code != 400 {
		t.Errorf("previous log: %d", code)
	}
	if code, _ := n.get("/containerLogs/default/nobody/main"); code != 404 {
		t.Errorf("log of no pod: %d", code)
	}
	for _, path := range []string{"/pods", "/runningpods", "/runningpods/", "/stats/summary", "/metrics/resource", "/metrics/cadvisor"} {
		if code, body := n.get(path); code != 200 || !strings.Contains(body, "streams") {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
	if code, body := n.get("/metrics"); code != 200 || !strings.Contains(body, "kubelet_node_name{node=") || !strings.Contains(body, "\nkubelet_running_pods 1\n") {
		t.Errorf("the kubelet's own metrics: %d %s", code, body)
	}

	for name, dial := range map[string]func(*rest.Config, string, *url.URL) (remotecommand.Executor, error){
		"SPDY": remotecommand.NewSPDYExecutor,
		"WebSocket": func(c *rest.Config, _ string, u *url.URL) (remotecommand.Executor, error) {
			return remotecommand.NewWebSocketExecutor(c, "GET", u.String())
		},
	} {
		t.Run(name, func(t *testing.T) { testExec(t, n, dial) })
	}
	t.Run("port-forward", func(t *testing.T) { testForward(t, n, false) })
	t.Run("port-forward in a web socket", func(t *testing.T) { testForward(t, n, true) })
	t.Run("port-forward over channels of a web socket", func(t *testing.T) { testForwardChannels(t, n) })
	t.Run("strangers", func(t *testing.T) {
		c := n.rest()
		c.CertData, c.KeyData = n.keys.strangeCert, n.keys.strangeKey
		for want, c := range map[int]*rest.Config{403: c, 401: {TLSClientConfig: rest.TLSClientConfig{Insecure: true}}} {
			transport, err := rest.TransportFor(c)
			if err != nil {
				t.Fatal(err)
			}
			res, err := (&http.Client{Transport: transport}).Get("https://" + n.host + "/pods")
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if res.StatusCode != want {
				t.Errorf("status %d, want %d", res.StatusCode, want)
			}
		}
	})
	n.delete("streams")
}

func testExec(t *testing.T, n *testNode, dial func(*rest.Config, string, *url.URL) (remotecommand.Executor, error)) {
	t.Helper()
	run := func(o remotecommand.StreamOptions, cmd ...string) error {
		q := url.Values{"command": cmd}
		for name, on := range map[string]bool{"input": o.Stdin != nil, "output": o.Stdout != nil, "error": o.Stderr != nil, "tty": o.Tty} {
			if on {
				q.Set(name, "1")
			}
		}
		e, err := dial(n.rest(), "POST", &url.URL{Scheme: "https", Host: n.host, Path: "/exec/default/streams/main", RawQuery: q.Encode()})
		if err != nil {
			return err
		}
		return e.StreamWithContext(context.Background(), o)
	}
	var out, errOut bytes.Buffer
	if err := run(remotecommand.StreamOptions{Stdout: &out, Stderr: &errOut}, "sh", "-c", "echo out; echo err >&2"); err != nil || out.String() != "out\n" || errOut.String() != "err\n" {
		t.Errorf("exec: %q %q %v", out.String(), errOut.String(), err)
	}
	err := run(remotecommand.StreamOptions{Stdout: &out}, "sh", "-c", "exit 7")
	if code := (exec.CodeExitError{}); !errors.As(err, &code) || code.Code != 7 {
		t.Errorf("exit code: %v, want 7", err)
	}
	out.Reset()
	big := strings.Repeat("0123456789abcdef", 1<<16)
	if err := run(remotecommand.StreamOptions{Stdin: strings.NewReader(big), Stdout: &out}, "cat"); err != nil || out.String() != big {
		t.Errorf("stdin: %d of %d bytes back, %v", out.Len(), len(big), err)
	}
	// A command that ends before its stdin does: its output and its exit code arrive.
	for i := range 20 {
		out.Reset()
		err := run(remotecommand.StreamOptions{Stdin: endless{}, Stdout: &out}, "sh", "-c", "head -c 3; exit 9")
		if code := (exec.CodeExitError{}); !errors.As(err, &code) || code.Code != 9 || out.String() != "yyy" {
			t.Fatalf("early end %d: %q %v, want 9", i, out.String(), err)
		}
	}
	out.Reset()
	size := &oneSize{remotecommand.TerminalSize{Width: 123, Height: 45}, false}
	script := "for i in $(seq 100); do s=$(stty size); test \"$s\" = '45 123' && break; sleep 0.05; done; echo size $s"
	if err := run(remotecommand.StreamOptions{Stdout: &out, Tty: true, TerminalSizeQueue: size}, "sh", "-c", script); err != nil || !strings.HasSuffix(out.String(), "size 45 123\r\n") {
		t.Errorf("terminal: %q %v", out.String(), err)
	}
}

// endless is a stdin that never ends.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return copy(p, bytes.Repeat([]byte("y"), len(p))), nil }

type oneSize struct {
	size remotecommand.TerminalSize
	told bool
}

func (s *oneSize) Next() *remotecommand.TerminalSize {
	if s.told {
		return nil
	}
	s.told = true
	return &s.size
}

func testForward(t *testing.T, n *testNode, webSocket bool) {
	t.Helper()
	u := &url.URL{Scheme: "https", Host: n.host, Path: "/portForward/default/streams"}
	transport, upgrader, err := spdytransport.RoundTripperFor(n.rest())
	if err != nil {
		t.Fatal(err)
	}
	dialer := spdytransport.NewDialer(upgrader, &http.Client{Transport: transport}, "POST", u)
	if webSocket {
		if dialer, err = portforward.NewSPDYOverWebsocketDialer(u, n.rest()); err != nil {
			t.Fatal(err)
		}
	}
	stop, ready := make(chan struct{}), make(chan struct{})
	f, err := portforward.New(dialer, []string{"0:8080"}, stop, ready, io.Discard, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- f.ForwardPorts() }()
	defer func() {
		close(stop)
		if err := <-done; err != nil {
			t.Errorf("forwarding: %v", err)
		}
	}()
	select {
	case <-ready:
	case err := <-done:
		done <- err
		t.Fatal(err)
	}
	ports, err := f.GetPorts()
	if err != nil {
		t.Fatal(err)
	}
	fetch(t, fmt.Sprintf("127.0.0.1:%d", ports[0].Local))
}

// fetch expects the pod's web server, which listens on its localhost only.
func fetch(t *testing.T, addr string) {
	t.Helper()
	for range 3 {
		res, err := http.Get("http://" + addr + "/f")
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || string(body) != "there and back\n" {
			t.Errorf("fetched %q %v", body, err)
		}
	}
}

var getOptions = metav1.GetOptions{}

// discard takes no output.
var discard = cri.IO{Stdout: io.Discard}
