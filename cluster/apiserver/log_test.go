package apiserver_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"wheelhouse/cluster/apiserver"
	"wheelhouse/cluster/apiserver/apitest"
)

// A log can be had over a web socket, whole or as it grows.
func TestLogOverWebSocket(t *testing.T) {
	ended := make(chan struct{})
	kubelet := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		switch {
		case websocket.IsWebSocketUpgrade(req):
			http.Error(w, "no web sockets here", http.StatusTeapot)
		case req.URL.Query().Get("previous") == "true":
			http.Error(w, "previous terminated container not found", http.StatusBadRequest)
		case req.URL.Query().Get("follow") == "true":
			_, _ = io.WriteString(w, "first\n")
			w.(http.Flusher).Flush()
			<-req.Context().Done()
			close(ended)
		default:
			fmt.Fprintln(w, "alive", req.URL.Query().Get("tailLines"))
		}
	}))
	defer kubelet.Close()
	cfg := apitest.Start(t, func(c *apiserver.Config) {
		c.KubeletTLS = &tls.Config{InsecureSkipVerify: true} // a test's own server
	})
	ctx := within(t)
	cs := clientset(t, cfg)
	nodeAt(ctx, t, cs, "up", kubelet.Listener.Addr().String())
	pods := cs.CoreV1().Pods("default")
	for _, name := range []string{"p", "unbound"} {
		if _, err := pods.Create(ctx, testPod(name), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := bindTo(ctx, t, pods, "p", "up"); err != nil {
		t.Fatal(err)
	}
	conf, err := rest.TLSConfigFor(cfg)
	if err != nil {
		t.Fatal(err)
	}
	conf.NextProtos = []string{"http/1.1"}
	open := func(path string, protocols ...string) (*websocket.Conn, *http.Response, error) {
		d := websocket.Dialer{TLSClientConfig: conf, Subprotocols: protocols}
		return d.DialContext(ctx, strings.Replace(cfg.Host, "https", "wss", 1)+somePods+path, nil)
	}
	for _, c := range []struct {
		protocols []string
		kind      int
		chosen    string
		want      string
	}{
		{nil, websocket.BinaryMessage, "", "alive 3\n"},
		{[]string{"binary.k8s.io"}, websocket.BinaryMessage, "binary.k8s.io", "alive 3\n"},
		{[]string{"base64.binary.k8s.io"}, websocket.TextMessage, "base64.binary.k8s.io", "YWxpdmUgMwo="},
	} {
		conn, _, err := open("/p/log?tailLines=3", c.protocols...)
		if err != nil {
			t.Fatalf("%v: %v", c.protocols, err)
		}
		var got strings.Builder
		for {
			kind, message, err := conn.ReadMessage()
			if websocket.IsCloseError(err, websocket.CloseNormalClosure) {
				break
			}
			if err != nil {
				t.Fatalf("%v: %v", c.protocols, err)
			}
			if len(message) > 0 && kind != c.kind {
				t.Errorf("%v: a message of kind %d", c.protocols, kind)
			}
			got.Write(message)
		}
		if got.String() != c.want || conn.Subprotocol() != c.chosen {
			t.Errorf("%v: %q in %q, want %q", c.protocols, got.String(), conn.Subprotocol(), c.want)
		}
		_ = conn.Close()
	}

	conn, _, err := open("/p/log?follow=true", "binary.k8s.io")
	if err != nil {
		t.Fatal(err)
	}
	for said := ""; said != "first\n"; {
		_, message, err := conn.ReadMessage()
		if err != nil {
			t.Fatal(err)
		}
		said += string(message)
	}
	_ = conn.Close()
	select {
	case <-ended:
	case <-ctx.Done():
		t.Error("the kubelet still serves a log that nobody reads")
	}

	if conn, _, err := open("/unbound/log"); err != nil {
		t.Errorf("the log of a pod without a node: %v", err)
	} else {
		if _, message, err := conn.ReadMessage(); err != nil || len(message) > 0 {
			t.Errorf("the log of a pod without a node: %q %v", message, err)
		}
		_ = conn.Close()
	}
	for _, bad := range []string{"?container=nope", "?previous=true"} {
		if _, res, err := open("/p/log" + bad); err == nil || res == nil || res.StatusCode != 400 {
			t.Errorf("%s: %v %v", bad, res, err)
		}
	}
}

// A node's proxy leads to its kubelet, named with or without port and scheme, and to
// other servers of the node.
func TestNodeProxyWithPort(t *testing.T) {
	kubelet := httptest.NewTLSServer(http.HandlerFunc(fakeKubelet))
	defer kubelet.Close()
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { fmt.Fprint(w, "other", req.URL.Path) }))
	defer other.Close()
	cfg := apitest.Start(t, func(c *apiserver.Config) {
		c.KubeletTLS = &tls.Config{InsecureSkipVerify: true} // a test's own server
	})
	nodeAt(within(t), t, clientset(t, cfg), "n", kubelet.Listener.Addr().String())
	port := func(s *httptest.Server) string { return s.URL[strings.LastIndex(s.URL, ":"):] }
	r := newRaw(t, cfg)
	for path, want := range map[string]string{
		"n/proxy/metrics":                           "GET /metrics",
		"n" + port(kubelet) + "/proxy/metrics":      "GET /metrics",
		"https:n" + port(kubelet) + "/proxy/logs/x": "GET /logs/x",
		"https:n:/proxy/healthz":                    "GET /healthz",
		"n" + port(other) + "/proxy/healthz":        "other/healthz",
		"http:n" + port(other) + "/proxy/a/b":       "other/a/b",
	} {
		if resp, body := r.do("GET", "/api/v1/nodes/"+path, "", ""); resp.StatusCode != 200 || !strings.HasPrefix(body, want) {
			t.Errorf("%s: %d %s, want %s", path, resp.StatusCode, body, want)
		}
	}
	if resp, body := r.do("GET", "/api/v1/nodes/nobody"+port(kubelet)+"/proxy/metrics", "", ""); resp.StatusCode != 404 {
		t.Errorf("a node that is not there: %d %s", resp.StatusCode, body)
	}
}
