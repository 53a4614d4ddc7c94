package ui

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestPage(t *testing.T) {
	for path, want := range map[string]int{"/": http.StatusOK, "/secrets": http.StatusNotFound} {
		w := httptest.NewRecorder()
		Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		if w.Code != want {
			t.Errorf("%s: status %d, want %d", path, w.Code, want)
		}
		if want == http.StatusOK && !strings.Contains(w.Body.String(), "<title>Wheelhouse</title>") {
			t.Errorf("%s: %q", path, w.Body.String())
		}
	}
	w := httptest.NewRecorder()
	Handler().ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", nil))
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST: status %d: the page only shows", w.Code)
	}
}
