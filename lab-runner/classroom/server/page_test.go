package server

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// raw sends a path as it is, which clients would clean.
func (c *class) raw(path string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.URL.Path, r.RequestURI = path, path
	w := httptest.NewRecorder()
	c.server.Handler().ServeHTTP(w, r)
	return w
}

func traversal(c *class) {
	for path, want := range map[string]int{"/": 200, "/board": 200, "/a-ABCD2345.js": 200, "/lang/de.json": 200, "/healthz": 200, "/trust": 200, "/lang": 404, "/lang/": 404, "/none.js": 404} {
		if w := c.raw(path); w.Code != want {
			c.Errorf("%s: %d, want %d", path, w.Code, want)
		}
	}
	for _, path := range []string{"/../server.go", "/lang/../../server.go", "/..", "//etc/passwd", "/./../page.go", "/lang/..\\..\\server.go", "/%2e%2e/server.go", "/\x00", "/lang/../../../../../../etc/passwd"} {
		if w := c.raw(path); w.Code == http.StatusOK || strings.Contains(w.Body.String(), "package server") || strings.Contains(w.Body.String(), "root:") {
			c.Errorf("%q: %d %s", path, w.Code, w.Body)
		}
	}
	if h := c.raw("/a-ABCD2345.js").Header(); !strings.Contains(h.Get("Cache-Control"), "immutable") {
		c.Errorf("a hashed file: %v", h)
	}
}

func headers(c *class) {
	ada, boss := c.join("Ada"), c.instructor()
	for path, b := range map[string]*browser{"/": ada, "/board": ada, "/none": ada, "/healthz": ada, "/trust": ada, "/api/me": ada, "/api/none": ada, "/api/board": ada, "/api/board/export.csv": boss, "/api/labs": ada} {
		_, _, h := b.send(http.MethodGet, path, "")
		policy := h.Get("Content-Security-Policy")
		if !strings.HasPrefix(policy, "default-src 'none'; script-src 'self'; ") || strings.Contains(policy, "unsafe-eval") || !strings.Contains(policy, "frame-ancestors 'self'") {
			c.Errorf("%s: policy %q", path, policy)
		}
		for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "X-Frame-Options": "SAMEORIGIN", "Cross-Origin-Resource-Policy": "same-origin"} {
			if h.Get(name) != want {
				c.Errorf("%s: %s is %q", path, name, h.Get(name))
			}
		}
		if strings.HasPrefix(path, "/api/") && h.Get("Cache-Control") != "no-store" {
			c.Errorf("%s may be kept: %q", path, h.Get("Cache-Control"))
		}
	}
}

func bodies(c *class) {
	ada := c.join("Ada")
	ada.refused(http.StatusRequestEntityTooLarge, "/api/help", `{"on":true,"x":"`+strings.Repeat("x", maxBody)+`"}`)
	for _, body := range []string{"", "{", "[]", `{"on":"yes"}`, `{"on":true} {"on":true}`, "\x00", strings.Repeat("[", 10000)} {
		ada.refused(http.StatusBadRequest, "/api/help", body)
	}
	if l, _ := c.roster.Learner(ada.id); !l.Help.IsZero() {
		c.Error("one of them has asked for help")
	}
}

func hostileDesk(c *class) {
	ada, boss := c.join("Ada"), c.instructor()
	live := ada.stream("/api/live")
	live.shows("desk", "ready")
	why := func(object string) map[string]any {
		return map[string]any{"do": "why", "lab": "workshop/one", "object": object}
	}
	ada.post("/api/desk", map[string]any{"do": "start", "lab": "workshop/one"})
	ada.post("/api/desk", why("large view"))
	if row := boss.row(ada.id); strings.Contains(fmt.Sprint(row), "xxx") {
		c.Errorf("the board has got a view that is too large: %v", row)
	}
	ada.post("/api/desk", why("output"))
	live.shows("output", "the end")
	again := ada.stream("/api/live")
	again.shows("output", "the end")
	if n := strings.Count(again.text(), "o"); n > maxOutput+2000 {
		c.Errorf("a page that is loaded again gets %d bytes of output", n)
	}
	for _, object := range []string{"long line", "die"} {
		ada.refused(http.StatusServiceUnavailable, "/api/desk", why(object))
		live.shows("desk", "ready") // it is started again
		c.eventually("the desk answers again after "+object, func() bool {
			status, _, _ := ada.send(http.MethodPost, "/api/desk", why(""))
			return status == http.StatusOK
		})
	}
	says := ada.refused(http.StatusConflict, "/api/desk", map[string]any{"do": "hint", "lab": "workshop/one"})
	if says != "no hint[2J left" {
		c.Errorf("the sentence of a desk is %q", says)
	}
	if at, _ := position([]byte(`{"lab":"x","step":-7,"steps":[{"title":"a"}],"checks":[{"name":"n","state":"lost","since":"2999-01-01T00:00:00Z"}]}`), nil, time.Unix(5, 0)); at.Step != 0 || at.RedSince.Unix() != 5 || at.Lost != 1 {
		c.Errorf("a view of the future: %+v", at)
	}
	if at, _ := position([]byte(`[1]`), nil, time.Now()); at != nil {
		c.Errorf("no view: %+v", at)
	}
}

func prefixed(c *class) {
	ada := c.join("Ada")
	if me := ada.get("/api/me"); me["name"] != "Ada" {
		c.Errorf("me: %v", me)
	}
	ada.shell("/api/terminal").shows("shell of " + ada.id)
	res, err := ada.Get(c.http.URL + "/class")
	if err != nil {
		c.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK || res.Request.URL.Path != "/class/" {
		c.Errorf("/class leads to %s, %s", res.Request.URL, res.Status)
	}
	outside, err := ada.Get(c.http.URL + "/api/me")
	if err != nil {
		c.Fatal(err)
	}
	defer outside.Body.Close()
	if outside.StatusCode != http.StatusNotFound {
		c.Errorf("outside of the prefix: %s", outside.Status)
	}
}

func bare(c *class) {
	_, _, h := c.browser().send(http.MethodPost, "/api/join", map[string]string{"code": c.code(), "name": "Ada"})
	if text := h.Get("Set-Cookie"); strings.Contains(text, "Secure") || !strings.Contains(text, "HttpOnly") {
		c.Errorf("the cookie by plain HTTP: %s", text)
	}
	if w := c.raw("/trust/ca.crt"); w.Code != http.StatusNotFound {
		c.Errorf("no authority: %d", w.Code)
	}
}

// What is red is so since it was seen first, whatever else of the page changes, and after a restart of the class, too. Nothing of
// what commands print is taken.
func TestRedSince(t *testing.T) {
	view := func(step int, second string, seen string) []byte {
		return fmt.Appendf(nil, `{"lab":"a/b","step":%d,"steps":[{"title":"one"},{"title":"two"}],"checks":[`+
			`{"name":"first","state":"todo","reason":{"wanted":"a pod","seen":%q}},{"name":"second","state":%q,"reason":{"event":"BackOff"}}]}`, step, seen, second)
	}
	at, red := position(view(0, "todo", "password=x"), nil, time.Unix(100, 0))
	if at.Red != "first" || at.RedSince.Unix() != 100 || at.Cause != "wanted: a pod" || len(red) != 2 {
		t.Errorf("the first view: %+v, %v", at, red)
	}
	if at, red = position(view(0, "done", "other"), red, time.Unix(200, 0)); at.RedSince.Unix() != 100 || len(red) != 1 {
		t.Errorf("the second view: %+v, %v", at, red)
	}
	if again, _ := position(view(0, "todo", "x"), redsOf(at), time.Unix(300, 0)); again.RedSince.Unix() != 100 || again.Red != "first" {
		t.Errorf("after a restart: %+v", again)
	}
	_, red = position(view(0, "todo", "x"), red, time.Unix(300, 0))
	if red[redKey("a/b", 0, "second")].Unix() != 300 {
		t.Errorf("what was met and is red again: %v", red)
	}
	if at, _ = position(view(1, "todo", "x"), red, time.Unix(400, 0)); at.RedSince.Unix() != 400 {
		t.Errorf("another step: %+v", at)
	}
}
