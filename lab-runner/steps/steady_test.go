package steps

import (
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// serviceOn is a world whose one service, and one pod, lead to a server on this machine.
func serviceOn(t *testing.T, server *httptest.Server) (w *World, port int) {
	t.Helper()
	host, text, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if port, err = strconv.Atoi(text); err != nil {
		t.Fatal(err)
	}
	meta := metav1.ObjectMeta{Name: "web", Namespace: "ns"}
	return &World{
		Client: fakeObjects(
			&corev1.Service{ObjectMeta: meta, Spec: corev1.ServiceSpec{ClusterIP: host, Ports: []corev1.ServicePort{{Port: int32(port)}}}},
			&corev1.Pod{ObjectMeta: meta, Status: corev1.PodStatus{PodIP: host}},
		),
		Dir: t.TempDir(), Env: os.Environ(), Namespace: "ns", Patience: time.Second, after: 500 * time.Millisecond,
	}, port
}

// On a slow machine a steady client leaves the processors to what it watches.
func TestASteadyClientIsSlowerOnASlowMachine(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer server.Close()
	w, _ := serviceOn(t, server)
	w.Slow = 5
	began := time.Now()
	_ = w.steady(t.Context(), "web", "/", "true") // whether these are enough requests is not asked here
	// Two senders, and a request before them.
	most := 1 + 2*(1+int64(time.Since(began)/w.Slow.Wait(steadyPause)))
	if n := asked.Load(); n < 2 || n > most {
		t.Errorf("%d requests, want 2 to %d", n, most)
	}
}

func TestASteadyClientCountsWhatIsLost(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	lossy := &atomic.Bool{}
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		if lossy.Load() && asked.Add(1)%10 == 0 {
			http.Error(rw, "busy", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(rw, "version 1")
	}))
	defer server.Close()
	w, _ := serviceOn(t, server)
	w.Patience, w.after = time.Minute, time.Millisecond // the responses are waited for
	if err := w.steady(t.Context(), "web", "/", "true"); err != nil {
		t.Errorf("a server that loses nothing: %v", err)
	}
	if err := w.steady(t.Context(), "web", "/", "echo no; exit 4"); err == nil || !strings.Contains(err.Error(), "exit status 4:\nno") {
		t.Errorf("a command that fails: %v", err)
	}
	unready := &atomic.Int32{}
	unready.Store(3)
	late := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		if unready.Add(-1) >= 0 {
			http.Error(rw, "not yet", http.StatusServiceUnavailable)
		}
	}))
	defer late.Close()
	lateWorld, _ := serviceOn(t, late)
	lateWorld.Patience = time.Minute
	if err := lateWorld.steady(t.Context(), "web", "/", "true"); err != nil {
		t.Errorf("a server that answers after a moment, and then always: %v", err)
	}
	lossy.Store(true)
	var f *Failure
	if err := w.steady(t.Context(), "web", "/", "true"); !errors.As(err, &f) {
		t.Fatalf("a server that loses one in ten: %v", err)
	}
	for _, want := range []string{"requests answered", "status 503", "times version 1"} {
		if !strings.Contains(f.Seen, want) {
			t.Errorf("no %q in %s", want, f.Seen)
		}
	}
	server.Close()
	w.Patience = time.Second
	if err := w.steady(t.Context(), "web", "/", "true"); err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("a server that is gone: %v", err)
	}
}

func TestTLSBelievesNobodyElse(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { fmt.Fprintln(rw, "Hello") }))
	defer server.Close()
	w, port := serviceOn(t, server)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(filepath.Join(w.Dir, "ca.pem"), ca, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"pod", "service"} {
		if err := w.secureText(t.Context(), port, kind, "web", "/", "ca.pem", "example.com", "Hello"); err != nil {
			t.Error(err)
		}
	}
	w.Patience = time.Millisecond
	for _, c := range []struct{ file, server, text, want string }{
		{"ca.pem", "other.example", "Hello", "other.example"},
		{"ca.pem", "example.com", "Goodbye", "Hello"},
		{"none.pem", "example.com", "Hello", "no such file"},
	} {
		if err := w.secureText(t.Context(), port, "pod", "web", "/", c.file, c.server, c.text); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	if err := os.WriteFile(filepath.Join(w.Dir, "ca.pem"), []byte("no certificate"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := w.secureText(t.Context(), port, "pod", "web", "/", "ca.pem", "example.com", "Hello"); err == nil || !strings.Contains(err.Error(), "holds no certificate") {
		t.Errorf("%v", err)
	}
}

func TestDockerSentences(t *testing.T) {
	w := &World{Dir: t.TempDir(), Patience: time.Millisecond}
	w.Env = []string{"PATH=" + w.Dir + ":" + os.Getenv("PATH")}
	docker := func(body string) {
		if err := os.WriteFile(filepath.Join(w.Dir, "docker"), []byte("#!/bin/sh\n"+body+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	docker("echo 0123abc")
	if err := w.dockerImage(t.Context(), "an", "x:1"); err != nil {
		t.Error(err)
	}
	if err := w.dockerContainer(t.Context(), "no", "x:1"); err == nil || !strings.Contains(err.Error(), "wanted: no running container of x:1 in Docker") || !strings.Contains(err.Error(), "0123abc") {
		t.Error(err)
	}
	docker("true")
	if err := w.dockerContainer(t.Context(), "no", "x:1"); err != nil {
		t.Error(err)
	}
	if err := w.dockerImage(t.Context(), "an", "x:1"); err == nil || !strings.Contains(err.Error(), "wanted: an image x:1 in Docker") {
		t.Error(err)
	}
	docker("echo daemon is away; exit 1")
	if err := w.dockerContainer(t.Context(), "no", "x:1"); err == nil || !strings.Contains(err.Error(), "daemon is away") {
		t.Error(err)
	}
}
