package apiserver_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"wheelhouse/cluster/apiserver"
	"wheelhouse/cluster/apiserver/apitest"
)

// fakeKubelet shows what it was asked, and echoes on an upgraded connection.
func fakeKubelet(w http.ResponseWriter, req *http.Request) {
	if !websocket.IsWebSocketUpgrade(req) {
		fmt.Fprintf(w, "%s %s?%s auth=%q", req.Method, req.URL.Path, req.URL.RawQuery, req.Header.Get("Authorization"))
		return
	}
	up := websocket.Upgrader{Subprotocols: []string{"v5.channel.k8s.io"}}
	conn, err := up.Upgrade(w, req, nil)
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	_ = conn.WriteMessage(websocket.TextMessage, []byte(req.URL.Path+"?"+req.URL.RawQuery))
	for {
		kind, message, err := conn.ReadMessage()
		if err != nil {
			return
		}
		_ = conn.WriteMessage(kind, message)
	}
}

// nodeAt makes a node whose kubelet answers at addr.
func nodeAt(ctx context.Context, t *testing.T, cs kubernetes.Interface, name, addr string) {
	t.Helper()
	host, port, _ := net.SplitHostPort(addr)
	n, err := cs.CoreV1().Nodes().Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	p, _ := strconv.Atoi(port)
	n.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: host}}
	n.Status.DaemonEndpoints.KubeletEndpoint.Port = int32(p)
	if _, err := cs.CoreV1().Nodes().UpdateStatus(ctx, n, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func TestStreamsOfAPod(t *testing.T) {
	kubelet := httptest.NewTLSServer(http.HandlerFunc(fakeKubelet))
	defer kubelet.Close()
	cfg := apitest.Start(t, func(c *apiserver.Config) {
		c.KubeletTLS = &tls.Config{InsecureSkipVerify: true} // a test's own server
	})
	ctx := within(t)
	cs := clientset(t, cfg)
	nodeAt(ctx, t, cs, "up", kubelet.Listener.Addr().String())
	nodeAt(ctx, t, cs, "down", "127.0.0.1:1")
	pods := cs.CoreV1().Pods("default")
	for _, node := range []string{"up", "down"} {
		if _, err := pods.Create(ctx, testPod("on-"+node), metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := bindTo(ctx, t, pods, "on-"+node, node); err != nil {
			t.Fatal(err)
		}
	}
	r := newRaw(t, cfg)
	_, body := r.do("GET", somePods+"/on-up/log?follow=true&container=c", "", "", "Authorization", "Bearer secret")
	if body != `GET /containerLogs/default/on-up/c?follow=true auth=""` {
		t.Errorf("log: %s", body)
	}
	resp, body := r.do("GET", somePods+"/on-down/log", "", "")
	if resp.StatusCode != 503 || !strings.Contains(unquoted(body), `cannot reach the kubelet of node "down" at 127.0.0.1:1`) {
		t.Errorf("log of a node that is down: %d %s", resp.StatusCode, body)
	}
	if _, body = r.do("GET", "/api/v1/nodes/up/proxy/pods?a=b", "", ""); !strings.HasPrefix(body, "GET /pods?a=b ") {
		t.Errorf("node proxy: %s", body)
	}
	if resp, body = r.do("POST", somePods+"/on-up/exec?command=ls&stdout=true", "", ""); resp.StatusCode != 400 || !strings.Contains(body, "Upgrade request required") {
		t.Errorf("exec without an upgrade: %d %s", resp.StatusCode, body)
	}
	conf, err := rest.TLSConfigFor(cfg)
	if err != nil {
		t.Fatal(err)
	}
	conf.NextProtos = []string{"http/1.1"}
	d := websocket.Dialer{TLSClientConfig: conf, Subprotocols: []string{"v5.channel.k8s.io"}}
	conn, _, err := d.DialContext(ctx, strings.Replace(cfg.Host, "https", "wss", 1)+somePods+"/on-up/exec?command=sh&command=-c&stdin=true&stdout=true&tty=true&container=c", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_, asked, err := conn.ReadMessage()
	if err != nil || string(asked) != "/exec/default/on-up/c?command=sh&command=-c&input=1&output=1&tty=1" {
		t.Errorf("exec: %s %v", asked, err)
	}
	_ = conn.WriteMessage(websocket.BinaryMessage, []byte("hello"))
	if _, echo, err := conn.ReadMessage(); err != nil || string(echo) != "hello" {
		t.Errorf("echo: %s %v", echo, err)
	}
}

func TestProxyToPodsAndServices(t *testing.T) {
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, `<a href="/next">`+req.URL.Path+`</a>`)
	}))
	defer app.Close()
	host, port, _ := net.SplitHostPort(app.Listener.Addr().String())
	cfg := apitest.Start(t)
	r := newRaw(t, cfg)
	ctx := within(t)
	cs := clientset(t, cfg)
	podNode(ctx, t, cs, "n", host+"/32")
	podAt(ctx, t, cs, "default", "p", host)
	for _, path := range []string{somePods + "/p:" + port + "/proxy/x/y", "/api/v1/proxy/namespaces/default/pods/p:" + port + "/x/y"} {
		resp, body := r.do("GET", path, "", "")
		if resp.StatusCode != 200 || !strings.Contains(body, ">/x/y</a>") || !strings.Contains(body, `/p:`+port) {
			t.Errorf("%s: %d %s", path, resp.StatusCode, body)
		}
	}
	if resp, body := r.do("GET", "/api/v1/namespaces/default/services/nope/proxy/", "", ""); resp.StatusCode != 404 {
		t.Errorf("no service: %d %s", resp.StatusCode, body)
	}
}
