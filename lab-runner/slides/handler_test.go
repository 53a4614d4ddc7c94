package slides_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"wheelhouse/lab-runner/slides"
)

// stage writes what it is asked for.
type stage struct{}

func (stage) Run(_ context.Context, lab, command string, out io.Writer) error {
	fmt.Fprintf(out, "%s: %s", lab, command)
	return errors.New("exit status 3")
}

func (stage) Map(context.Context, string) ([]slides.Row, error) {
	return []slides.Row{{Text: "* inspector", Mark: "well"}}, nil
}

func (stage) Journey(context.Context, string, string) (string, error) { return "", errors.New("none") }

// serve serves the small deck below a prefix.
func serve(t *testing.T, cfg slides.Config) string {
	t.Helper()
	server := httptest.NewServer(http.StripPrefix("/class/slides", handler(t, cfg)))
	t.Cleanup(server.Close)
	return server.URL + "/class/slides"
}

// handler has the small deck, and a link to a file outside of the decks' directory.
func handler(t *testing.T, cfg slides.Config) http.Handler {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"slides/demo/deck.md": small, "slides/demo/deck.es.md": strings.ReplaceAll(small, "# First", "# Primera"),
		"slides/instructor/deck.md": strings.ReplaceAll(small, "track: demo", "track: instructor"),
		"slides/drawings/boxes.svg": `<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>`,
		"secret.svg":                "secret",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("../../secret.svg", filepath.Join(dir, "slides/demo/link.svg")); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(filepath.Join(dir, "slides"))
	if err != nil {
		t.Fatal(err)
	}
	cfg.Files = root.FS()
	return slides.Handler(cfg)
}

// do sends a request, and returns status and body.
func do(t *testing.T, method, url, body string, headers ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(text)
}

var loads = regexp.MustCompile(`(?:src|href)="([^"]*)"`)

// TestPages opens list and deck as a browser does: what they load is there, below the prefix, and nothing is inline.
func TestPages(t *testing.T) {
	at := serve(t, slides.Config{})
	for _, page := range []string{"/", "/demo/", "/demo/?lang=es", "/demo", "/?present=1"} {
		res, html := do(t, "GET", at+page, "")
		if res.StatusCode != 200 || !strings.Contains(res.Header.Get("Content-Security-Policy"), "script-src 'self'") {
			t.Fatalf("%s: %s %v", page, res.Status, res.Header)
		}
		if strings.Contains(html, "<script>") || strings.Contains(html, "style=") || strings.Contains(html, " onclick") {
			t.Errorf("%s has something inline:\n%s", page, html)
		}
		found := loads.FindAllStringSubmatch(html, -1)
		if len(found) < 3 {
			t.Errorf("%s loads %q", page, found)
		}
		for _, m := range found {
			u, err := res.Request.URL.Parse(m[1])
			if err != nil || !strings.HasPrefix(u.String(), at+"/") {
				t.Errorf("%s loads %s, which is not below %s", page, m[1], at)
				continue
			}
			if res, _ := do(t, "GET", u.String(), ""); res.StatusCode != 200 {
				t.Errorf("%s loads %s: %s", page, m[1], res.Status)
			}
		}
	}
	if _, html := do(t, "GET", at+"/demo/?lang=es", ""); !strings.Contains(html, "Primera") || !strings.Contains(html, `lang="es"`) {
		t.Error("?lang=es does not show the translation")
	}
	if res, html := do(t, "GET", at+"/demo?follow=1&lang=es", ""); res.Request.URL.RawQuery != "follow=1&lang=es" || !strings.Contains(html, "Primera") {
		t.Errorf("without the last slash the address becomes %s", res.Request.URL)
	}
	if _, html := do(t, "GET", at+"/?present=1", ""); !strings.Contains(html, `href="demo/?present=1"`) {
		t.Error("the list does not go on presenting")
	}
	if _, html := do(t, "GET", at+"/demo/?lang=../x", ""); !strings.Contains(html, "First") {
		t.Error("an unknown language does not show the original")
	}
}

func TestNothingElseIsServed(t *testing.T) {
	at := serve(t, slides.Config{})
	for _, path := range []string{
		"/none/", "/demo/deck.md", "/demo/link.svg", "/demo/..%2f..%2fsecret.svg", "/..%2fsecret.svg", "/assets/deck.html", "/drawings/none.svg", "/demo/.hidden.svg",
	} {
		if res, text := do(t, "GET", at+path, ""); res.StatusCode == 200 || strings.Contains(text, "secret\n") || text == "secret" {
			t.Errorf("%s: %s %q", path, res.Status, text)
		}
	}
	res, _ := do(t, "GET", at+"/drawings/boxes.svg", "")
	if got := res.Header.Get("Content-Security-Policy"); !strings.Contains(got, "sandbox") || !strings.Contains(got, "default-src 'none'") {
		t.Errorf("a drawing with a script is served with the policy %q", got)
	}
}

func TestNotesAreForTheInstructor(t *testing.T) {
	at := serve(t, slides.Config{Notes: func(r *http.Request) bool { return r.Header.Get("Cookie") == "instructor" }})
	if _, html := do(t, "GET", at+"/demo/", ""); strings.Contains(html, "Say it") || !strings.Contains(html, "First") {
		t.Error("a learner reads the notes")
	}
	if _, html := do(t, "GET", at+"/demo/", "", "Cookie", "instructor"); !strings.Contains(html, "Say it") {
		t.Error("the instructor does not read the notes")
	}
	if res, _ := do(t, "GET", at+"/instructor/", ""); res.StatusCode != 403 {
		t.Errorf("a learner opens the instructor's deck: %s", res.Status)
	}
	if _, html := do(t, "GET", at+"/", ""); strings.Contains(html, "instructor/") || !strings.Contains(html, "demo/") {
		t.Errorf("the list for a learner is\n%s", html)
	}
}

// TestCommandsAreThoseOfTheSlides sends requests that a hostile page or client could send.
func TestCommandsAreThoseOfTheSlides(t *testing.T) {
	at := serve(t, slides.Config{Live: func(r *http.Request) slides.Live {
		if r.Header.Get("Cookie") == "learner" {
			return nil
		}
		return stage{}
	}})
	own := []string{"X-Wheelhouse", "1", "Content-Type", "application/json"}
	res, text := do(t, "POST", at+"/demo/run", `{"slide":2,"command":2}`, own...)
	if want := "workshop/inspector/up-to-five: kubectl get rc\n[exit status 3]\n"; res.StatusCode != 200 || text != want {
		t.Errorf("the second command: %s %q, want %q", res.Status, text, want)
	}
	if res, text := do(t, "POST", at+"/demo/map", `{"slide":2}`, own...); res.StatusCode != 200 || text != `[{"text":"* inspector","mark":"well"}]`+"\n" {
		t.Errorf("the map: %s %q", res.Status, text)
	}
	for name, c := range map[string]struct {
		path, body string
		headers    []string
		status     int
	}{
		"no such command":      {"/demo/run", `{"slide":2,"command":3}`, own, 400},
		"no number":            {"/demo/run", `{"slide":2,"command":-1}`, own, 400},
		"no such slide":        {"/demo/run", `{"slide":3,"command":1}`, own, 400},
		"a slide without lab":  {"/demo/run", `{"slide":1,"command":1}`, own, 400},
		"a command of its own": {"/demo/run", `{"slide":2,"command":"reboot"}`, own, 400},
		"an unknown field":     {"/demo/run", `{"slide":2,"command":1,"text":"reboot"}`, own, 400},
		"a long request":       {"/demo/run", `{"slide":2,` + strings.Repeat(" ", 2000) + `"command":1}`, own, 400},
		"no such deck":         {"/none/run", `{"slide":2,"command":1}`, own, 404},
		"no journey":           {"/demo/journey", `{"slide":2}`, own, 400},
		"without the header":   {"/demo/run", `{"slide":2,"command":1}`, nil, 403},
		"of another site":      {"/demo/run", `{"slide":2,"command":1}`, append([]string{"Origin", "https://evil.example"}, own...), 403},
		"from another site":    {"/demo/run", `{"slide":2,"command":1}`, append([]string{"Sec-Fetch-Site", "cross-site"}, own...), 403},
		"by a learner":         {"/demo/run", `{"slide":2,"command":1}`, append([]string{"Cookie", "learner"}, own...), 403},
	} {
		if res, text := do(t, "POST", at+c.path, c.body, c.headers...); res.StatusCode != c.status {
			t.Errorf("%s: %s %q, want %d", name, res.Status, text, c.status)
		}
	}
	if res, _ := do(t, "GET", at+"/demo/run", ""); res.StatusCode == 200 {
		t.Errorf("a GET runs a command: %s", res.Status)
	}
}
