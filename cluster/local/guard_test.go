package local

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"k8s.io/client-go/rest"
)

// What an API server answers that is not trusted leads nowhere else, and ends.
func TestGuard(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the redirection was followed") }))
	defer elsewhere.Close()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/elsewhere":
			http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
		case "/endless":
			for b := make([]byte, 1<<16); ; {
				if _, err := w.Write(b); err != nil {
					return
				}
			}
		default:
			_, _ = io.WriteString(w, "fine")
		}
	}))
	defer s.Close()
	const most = 1 << 18
	rc := &rest.Config{Host: s.URL}
	Guard(rc, most)
	c, err := rest.HTTPClientFor(rc)
	if err != nil {
		t.Fatal(err)
	}
	get := func(path string) ([]byte, error) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := c.Do(r)
		if err != nil {
			return nil, err
		}
		defer resp.Body.Close()
		return io.ReadAll(resp.Body)
	}
	if text, err := get("/"); string(text) != "fine" || err != nil {
		t.Errorf("%q, %v", text, err)
	}
	if _, err := get("/elsewhere"); err == nil || !strings.Contains(err.Error(), "redirection") {
		t.Errorf("elsewhere: %v", err)
	}
	var long *http.MaxBytesError
	if text, err := get("/endless"); !errors.As(err, &long) || len(text) > most {
		t.Errorf("%d bytes, %v", len(text), err)
	}
}
