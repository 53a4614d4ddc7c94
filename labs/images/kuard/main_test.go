package main

import (
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"wheelhouse/labs/images/internal/app"
)

func TestKuard(t *testing.T) {
	t.Setenv("KUARD_LAB", "notes")
	file := filepath.Join(t.TempDir(), "note.txt")
	if err := os.WriteFile(file, []byte("kept"), 0o644); err != nil {
		t.Fatal(err)
	}
	h := handler(&app.Health{})
	for _, c := range []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"GET", "/", "", 200, "Version: kuard blue"},
		{"GET", "/healthy", "", 200, "ok"},
		{"PUT", "/healthy/api", `{"failNext": 1}`, 200, "1"},
		{"GET", "/ready", "", 200, "ok"},
		{"GET", "/healthy", "", 500, "fail"},
		{"GET", "/healthy", "", 200, "ok"},
		{"PUT", "/ready/api", `{"failNext": -1}`, 200, "-1"},
		{"GET", "/ready", "", 500, "fail"},
		{"GET", "/ready", "", 500, "fail"},
		{"PUT", "/ready/api", `{"failNext": 0}`, 200, "0"},
		{"GET", "/ready", "", 200, "ok"},
		{"PUT", "/ready/api", `{}`, 400, "failNext"},
		{"GET", "/env/api", "", 200, "KUARD_LAB=notes"},
		{"GET", "/fs" + file, "", 200, "kept"},
		{"POST", "/mem/api/alloc?size=1500000", "", 200, `{"held":1500000}`},
		{"POST", "/mem/api/alloc?size=-1", "", 400, "size"},
		{"GET", "/mem/api", "", 200, `{"held":1500000}`},
		{"POST", "/mem/api/clear", "", 200, `{"held":0}`},
		{"GET", "/nothing", "", 404, ""},
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(c.method, c.path, strings.NewReader(c.body)))
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.want) {
			t.Errorf("%s %s: %d %s, wanted %d %q", c.method, c.path, w.Code, w.Body, c.status, c.want)
		}
	}
}
