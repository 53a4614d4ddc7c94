package server

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"
)

// bundled: files are for the class, images for whoever the registry admits, at the root of the host.
func bundled(c *class) {
	ada := c.join("Ada")
	if text := fmt.Sprint(ada.get("/api/me")["programs"]); !strings.Contains(text, "bundle/files/lab/lab-linux-arm64") {
		c.Errorf("programs: %s", text)
	}
	for _, b := range []*browser{ada, c.instructor()} {
		if status, out, _ := b.send(http.MethodGet, "/bundle/files/lab/lab-linux-arm64", ""); status != http.StatusOK || out["raw"] != "file /files/lab/lab-linux-arm64" {
			c.Errorf("a file: %d %v", status, out)
		}
	}
	if status, out, _ := c.browser().send(http.MethodGet, "/bundle/files/lab/lab-linux-arm64", ""); status != http.StatusUnauthorized {
		c.Errorf("a file for a stranger: %d %v", status, out)
	}
	for _, path := range []string{
		"/bundle/", "/bundle/files/slides/instructor/deck.md", "/bundle/files/lab/../slides/workshop/deck.md", "/bundle/files/lab/%2e%2e/slides/workshop/deck.md", "/bundle/files/lab",
		"/bundle//files/lab/../slides/x", "/bundle/v2/", "/bundle/files/features/x.feature",
	} {
		status, out, _ := ada.send(http.MethodGet, path, "")
		if status != http.StatusForbidden && status != http.StatusNotFound || strings.Contains(fmt.Sprint(out), "file /") {
			c.Errorf("a learner gets %s: %d %v", path, status, out)
		}
	}
	if status, _, _ := c.instructor().send(http.MethodGet, "/bundle/files/slides/instructor/deck.md", ""); status != http.StatusOK {
		c.Errorf("the instructor's deck: %d", status)
	}
	v := c.server.keeper(ada.id)
	for range maxFiles {
		if !v.files.enter() {
			c.Fatal("a file counts too often")
		}
	}
	if status, out, _ := ada.send(http.MethodGet, "/bundle/files/lab/lab-linux-arm64", ""); status != http.StatusTooManyRequests {
		c.Errorf("one file too many: %d %v", status, out)
	}
	w := c.raw("/v2/library/nginx/manifests/latest")
	if w.Code != http.StatusOK || w.Body.String() != "images /v2/library/nginx/manifests/latest" || w.Header().Get("X-Content-Type-Options") != "nosniff" || !strings.HasPrefix(w.Header().Get("Content-Security-Policy"), "default-src 'none'") {
		c.Errorf("images: %d %s %v", w.Code, w.Body, w.Header())
	}
	for _, path := range []string{"/v22", "/class/v2/", "/v2x/"} {
		if w := c.raw(path); strings.HasPrefix(w.Body.String(), "images") {
			c.Errorf("%s is of the registry: %s", path, w.Body)
		}
	}
}

// behindProxy: attempts are counted by the client, as a trusted proxy names it, and by nobody else's word.
func behindProxy(c *class) {
	wrong := `{"code":"aaaa-aaaa","name":"Bob"}`
	from := func(peer, forwarded string) int {
		r := c.request(peer, "/api/join", wrong)
		r.Header.Set("X-Forwarded-For", forwarded)
		return c.serve(r).Code
	}
	for range freeAttempts {
		from("10.0.0.5:1", "192.0.2.7")
	}
	for _, test := range []struct {
		what, peer, forwarded string
		want                  int
	}{
		{"the same client", "10.0.0.5:2", "192.0.2.7", http.StatusTooManyRequests},
		{"with an entry of its own before", "10.0.0.5:2", "198.51.100.1, 192.0.2.7", http.StatusTooManyRequests},
		{"over two proxies", "10.0.0.5:2", "192.0.2.7, 10.0.0.6", http.StatusTooManyRequests},
		{"another client", "10.0.0.5:2", "192.0.2.8", http.StatusForbidden},
		{"a stranger who says so", "192.0.2.9:1", "192.0.2.7", http.StatusForbidden},
	} {
		if got := from(test.peer, test.forwarded); got != test.want {
			c.Errorf("%s: %d, want %d", test.what, got, test.want)
		}
	}
}

func TestClientOf(t *testing.T) {
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24"), netip.MustParsePrefix("fd00::1/128")}
	for _, test := range []struct {
		peer      string
		forwarded []string
		want      string
	}{
		{"10.0.0.5:80", nil, "10.0.0.5:80"},
		{"10.0.0.5:80", []string{"192.0.2.7"}, "192.0.2.7:80"},
		{"[::ffff:10.0.0.5]:80", []string{"192.0.2.7"}, "192.0.2.7:80"},
		{"[fd00::1]:80", []string{"[2001:db8::1]"}, "[2001:db8::1]:80"},
		{"10.0.0.5:80", []string{"1.1.1.1, 192.0.2.7"}, "192.0.2.7:80"},
		{"10.0.0.5:80", []string{"1.1.1.1", "192.0.2.7, 10.0.0.9"}, "192.0.2.7:80"},
		{"10.0.0.5:80", []string{"10.0.0.8, 10.0.0.9"}, "10.0.0.8:80"},
		{"10.0.0.5:80", []string{"192.0.2.7, nonsense"}, "10.0.0.5:80"},
		{"10.0.0.5:80", []string{"192.0.2.7,"}, "10.0.0.5:80"},
		{"192.0.2.9:80", []string{"192.0.2.7"}, "192.0.2.9:80"},
		{"nonsense", []string{"192.0.2.7"}, "nonsense"},
	} {
		r := &http.Request{RemoteAddr: test.peer, Header: http.Header{"X-Forwarded-For": test.forwarded}}
		if got := clientOf(r, proxies); got != test.want {
			t.Errorf("%s %q: %s, want %s", test.peer, test.forwarded, got, test.want)
		}
	}
}

// causes: the board has the titles of steps, and the cause that why has found, in place of the last event.
func causes(c *class) {
	ada, boss := c.join("Ada"), c.instructor()
	labs, _ := boss.get("/api/board")["labs"].([]any)
	if text := fmt.Sprint(labs); len(labs) != 3 || !strings.Contains(text, "steps:[First Second]") {
		c.Errorf("the labs of the board: %s", text)
	}
	if status, _, _ := boss.send(http.MethodGet, "/api/labs", ""); status != http.StatusUnauthorized {
		c.Errorf("a learner's list of labs is the instructor's: %d", status)
	}
	shown := boss.stream("/api/board/live")
	ada.stream("/api/live").shows("desk", "ready")
	ada.post("/api/desk", map[string]any{"do": "start", "lab": "workshop/one"})
	shown.shows("board", `"cause":"wanted: a pod[2J"`)
	ada.post("/api/desk", map[string]any{"do": "why", "lab": "workshop/one"})
	shown.shows("board", `"causes":[{"cause":"Image[2JMissing","count":1}]`)
	ada.post("/api/desk", map[string]any{"do": "start", "lab": "workshop/one"}) // the same step is still red
	shown.shows("board", `"causes":[{"cause":"Image[2JMissing","count":1}]`)
	ada.post("/api/desk", map[string]any{"do": "check", "lab": "workshop/one"})
	shown.shows("board", `"causes":[]`)
}
