package main

import (
	"net/http/httptest"
	"strings"
	"testing"
)

func TestPages(t *testing.T) {
	for _, c := range []struct {
		path, user string
		status     int
		want       string
	}{
		{"/", "", 200, `{"message":"Hello"}`},
		{"/version", "", 200, `{"version":"1.0.0"}`},
		{"/secure", "", 401, "authorization failed"},
		{"/login", "", 401, "authorization failed"},
		{"/login", "user", 200, `{"token":"ey`},
		{"/nothing", "", 404, ""},
	} {
		r := httptest.NewRequest("GET", c.path, nil)
		if c.user != "" {
			r.SetBasicAuth(c.user, "password")
		}
		w := httptest.NewRecorder()
		pages("secret").ServeHTTP(w, r)
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.want) {
			t.Errorf("%s: %d %s, wanted %d %s", c.path, w.Code, w.Body, c.status, c.want)
		}
	}
}
