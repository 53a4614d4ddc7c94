package main

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// What is refused never reaches Redis: there is none at the address.
func TestRefusals(t *testing.T) {
	pages := (&book{master: "127.0.0.1:1", replica: "127.0.0.1:1"}).pages()
	for _, c := range []struct {
		method, path, body string
		want               int
	}{
		{"POST", "/", "message=", http.StatusBadRequest},
		{"POST", "/", "message=" + strings.Repeat("a", longest+1), http.StatusBadRequest},
		{"POST", "/", "message=hello", http.StatusBadGateway},
		{"GET", "/", "", http.StatusBadGateway},
		{"GET", "/guestbook.php?cmd=get&key=messages", "", http.StatusBadGateway},
		{"GET", "/guestbook.php?cmd=get&key=passwords", "", http.StatusBadRequest},
		{"GET", "/guestbook.php?cmd=drop&key=messages", "", http.StatusBadRequest},
		{"GET", "/guestbook.php?cmd=set&key=messages&value=" + url.QueryEscape(strings.Repeat("a", full+1)), "", http.StatusBadRequest},
		{"GET", "/healthz", "", http.StatusOK},
		{"GET", "/other", "", http.StatusNotFound},
	} {
		r := httptest.NewRequest(c.method, c.path, strings.NewReader(c.body))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		pages.ServeHTTP(w, r)
		if w.Code != c.want {
			t.Errorf("%s %.60s %.20s: %d, want %d: %s", c.method, c.path, c.body, w.Code, c.want, w.Body)
		}
	}
}
