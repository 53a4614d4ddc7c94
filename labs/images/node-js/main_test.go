package main

import (
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"wheelhouse/labs/images/internal/app"
)

func TestThePageTellsOfItsHost(t *testing.T) {
	h := handler(&app.Health{})
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"/": "Host: " + host + "\nRunning OS: linux\nUptime: 0 seconds\n", "/status/": "ok"} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if w.Code != 200 || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %d %s, wanted %q", path, w.Code, w.Body, want)
		}
	}
}

func TestNameservers(t *testing.T) {
	file := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(file, []byte("search a b\nnameserver 10.247.0.10\n# nameserver x\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := nameservers(file); !reflect.DeepEqual(got, []string{"10.247.0.10"}) {
		t.Errorf("%q", got)
	}
}
