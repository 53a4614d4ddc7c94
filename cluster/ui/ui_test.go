package ui

import (
	"io/fs"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"

	"wheelhouse/lab-runner/classroom/web"
)

func TestPage(t *testing.T) {
	built := fstest.MapFS{
		view: {Data: []byte("<!doctype html><title>Wheelhouse</title>")}, "board.html": {Data: []byte("board")},
		"cluster-AAAAAAAA.js": {Data: []byte("//")}, "lang/de.json": {Data: []byte("{}")},
	}
	for name, files := range map[string]fs.FS{"built": built, "not built": nil} {
		for path, want := range map[string]int{
			"/": http.StatusOK, "/secrets": http.StatusNotFound, "/board.html": http.StatusNotFound, "/lang": http.StatusNotFound, "/../ui.go": http.StatusNotFound,
			"/cluster-AAAAAAAA.js": map[bool]int{true: http.StatusOK, false: http.StatusNotFound}[files != nil],
		} {
			w := httptest.NewRecorder()
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
			r.URL.Path = path
			handler(files).ServeHTTP(w, r)
			if w.Code != want && (w.Code/100 != 3 || want != http.StatusNotFound) {
				t.Errorf("%s: %s: status %d, want %d", name, path, w.Code, want)
			}
			if path == "/" && (!strings.Contains(w.Body.String(), "<title>Wheelhouse</title>") || w.Header().Get("Content-Security-Policy") == "") {
				t.Errorf("%s: %s: %v %q", name, path, w.Header(), w.Body.String())
			}
		}
		w := httptest.NewRecorder()
		handler(files).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", nil))
		if w.Code != http.StatusMethodNotAllowed {
			t.Errorf("%s: POST: status %d: the page only shows", name, w.Code)
		}
	}
}

// What this program was built with is served whole: the page and the script that it names.
func TestBuiltPageHasItsFiles(t *testing.T) {
	w := httptest.NewRecorder()
	Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil))
	_, script, _ := strings.Cut(w.Body.String(), `<script type="module" src="`)
	script, _, found := strings.Cut(script, `"`)
	if found != web.Built() {
		t.Fatalf("built: %v, but the page is %q", web.Built(), w.Body.String())
	}
	if !found {
		return // page.html has its script within
	}
	w = httptest.NewRecorder()
	Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/"+script, nil))
	if w.Code != http.StatusOK || !strings.Contains(w.Header().Get("Content-Type"), "javascript") {
		t.Errorf("%s: %d %s", script, w.Code, w.Header().Get("Content-Type"))
	}
}
