package app

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"wheelhouse/cluster/wait"
)

func get(t *testing.T, h http.Handler, path string, change ...func(*http.Request)) (int, string) {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	for _, c := range change {
		c(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

func TestHealthCanBeSwitched(t *testing.T) {
	h := &Health{}
	for _, c := range []struct {
		path   string
		status int
	}{
		{"/healthz", 200},
		{"/readiness", 200},
		{"/readiness/status", 200},
		{"/readiness", 503},
		{"/healthz", 200},
		{"/readiness/status", 200},
		{"/readiness", 200},
		{"/healthz/status", 200},
		{"/healthz", 503},
		{"/readiness", 200},
		{"/nothing", 404},
	} {
		if status, body := get(t, h, c.path); status != c.status {
			t.Errorf("%s: %d %s, wanted %d", c.path, status, body, c.status)
		}
	}
}

func TestOnlyATokenOpensTheSecurePage(t *testing.T) {
	login, secure := Login("s"), Secure("s", Hello())
	with := func(token string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }
	}
	if status, _ := get(t, login, "/", func(r *http.Request) { r.SetBasicAuth("user", "wrong") }); status != http.StatusUnauthorized {
		t.Errorf("a wrong password: %d", status)
	}
	_, body := get(t, login, "/", func(r *http.Request) { r.SetBasicAuth("user", "password") })
	var a struct{ Token string }
	if err := json.Unmarshal([]byte(body), &a); err != nil || a.Token == "" {
		t.Fatalf("%s: %v", body, err)
	}
	if status, body := get(t, secure, "/", with(a.Token)); status != http.StatusOK || !strings.Contains(body, "Hello") {
		t.Errorf("with the token: %d %s", status, body)
	}
	// A token that names no algorithm is a forger's oldest trick.
	none := "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.eyJzdWIiOiJ1c2VyIiwiZXhwIjo0MTAyNDQ0ODAwfQ."
	for name, token := range map[string]string{"none": none, "garbage": "x", "cut": a.Token[:len(a.Token)-2]} {
		if status, _ := get(t, secure, "/", with(token)); status != http.StatusUnauthorized {
			t.Errorf("%s: %d", name, status)
		}
	}
	if status, _ := get(t, secure, "/"); status != http.StatusUnauthorized {
		t.Errorf("without one: %d", status)
	}
	if status, _ := get(t, Secure("other", Hello()), "/", with(a.Token)); status != http.StatusUnauthorized {
		t.Errorf("signed with another secret: %d", status)
	}
}

func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// A client that keeps its connection, and one that comes again each time, are answered
// until the program has ended, and neither sees a failure in between.
func TestNoRequestIsLostAtTheEnd(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	addr, health := free(t), free(t)
	p := Program{Name: "p", Version: "1", Pages: func(*Health) http.Handler { return Hello() }}
	ended := make(chan error, 1)
	go func() { ended <- p.run(ctx, []string{"-http", addr, "-health", health, "-drain", "500ms"}) }()
	keeping := &http.Client{}
	ask := func(address string) (int, bool, error) {
		res, err := keeping.Get("http://" + address)
		if err != nil {
			return 0, false, err
		}
		defer res.Body.Close()
		_, err = io.Copy(io.Discard, res.Body)
		return res.StatusCode, res.Close, err
	}
	wait.For(t, "the program to serve", func() error {
		status, _, err := ask(addr)
		return wait.Seen(status == http.StatusOK, status, err)
	})
	stop()
	wait.For(t, "the program not to be ready", func() error {
		status, _, err := ask(health + "/readiness")
		return wait.Seen(status == http.StatusServiceUnavailable, status, err)
	})
	status, closed, err := ask(addr)
	if err != nil || status != http.StatusOK || !closed {
		t.Errorf("while it drains: %d, connection to be closed %t, %v", status, closed, err)
	}
	if err := <-ended; err != nil {
		t.Errorf("it ends with %v", err)
	}
	if _, _, err := ask(addr); err == nil {
		t.Error("it still serves")
	}
}

func TestAnAddressInUseIsAnError(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	p := Program{Name: "p", Pages: func(*Health) http.Handler { return Hello() }}
	if err := p.run(t.Context(), []string{"-http", l.Addr().String()}); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("%v", err)
	}
	if err := p.run(t.Context(), []string{"-nosuch"}); err == nil {
		t.Error("an unknown flag: no error")
	}
}
