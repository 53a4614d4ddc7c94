package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"wheelhouse/cluster/wait"
	"wheelhouse/lab-runner/classroom/roster"
)

var tests = []struct {
	name string
	run  func(*class)
	with func(*Config)
}{
	{"a learner works, and the board shows it", works, nil},
	{"a restart of the process loses nothing", restarts, nil},
	{"learners see only their own", isolated, nil},
	{"a change comes from the page", fromThePage, nil},
	{"a session is never the client's choice", noFixation, nil},
	{"wrong codes lock an address out", lockedOut, nil},
	{"paths stay in the assets", traversal, nil},
	{"every answer has the security headers", headers, nil},
	{"bodies are bounded", bodies, nil},
	{"a hostile desk", hostileDesk, nil},
	{"terminals", terminals, nil},
	{"terminals of strangers", strangers, nil},
	{"frames are bounded", frames, nil},
	{"over the shoulder", overTheShoulder, nil},
	{"labs and solutions are the instructor's to open", opening, nil},
	{"what the board does", boardDoes, nil},
	{"the table", table, nil},
	{"removal and forgetting", removal, nil},
	{"evict all", evict, nil},
	{"a learner on their own cluster", ownCluster, nil},
	{"streams of one learner are bounded", streamLimits, nil},
	{"requests of one learner are bounded", requestLimits, nil},
	{"below a prefix", prefixed, func(c *Config) { c.Prefix = "/class/" }},
	{"by plain HTTP", bare, func(c *Config) { c.Plain = true }},
	{"bodies come in time", bodiesInTime, nil},
	{"new learners of one address", newLearnersOf, nil},
	{"joins of one address are bounded", joinLimits, nil},
	{"changes of one learner are bounded", writeLimits, nil},
	{"the class is full", isFull, nil},
	{"the machine is full", hasNoPlace, func(c *Config) { c.Admit, c.SharedAddress = new(place).next, true }},
	{"what a bundle has", bundled, func(c *Config) {
		c.Prefix = "/class/"
		c.Takings = Takings{
			Images:   http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte("images " + r.URL.Path)) }),
			Files:    http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte("file " + r.URL.Path)) }),
			Programs: []Program{{"linux", "arm64", "bundle/files/lab/lab-linux-arm64", 5}},
		}
	}},
	{"behind a proxy", behindProxy, func(c *Config) { c.Proxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24")} }},
	{"the board has labs and causes", causes, nil},
}

func works(c *class) {
	ada, board := c.join("Ada"), c.instructor()
	me := ada.get("/api/me")
	if me["name"] != "Ada" || me["typing"] != "no" || len(ada.returnCode) != 14 {
		c.Errorf("me: %v, return code %q", me, ada.returnCode)
	}
	status, labs, _ := ada.send(http.MethodGet, "/api/labs", "")
	for _, want := range []string{`"lab":"workshop/one"`, `"steps":["First","Second"]`, `"open":true,"here":false,"why":"it needs all rights in the cluster`} {
		if !strings.Contains(labs["raw"].(string), want) {
			c.Errorf("labs (%d): %v; want %s", status, labs["raw"], want)
		}
	}
	live, shown := ada.stream("/api/live"), board.stream("/api/board/live")
	live.shows("desk", "ready")
	if out := ada.post("/api/desk", map[string]any{"do": "start", "lab": "workshop/one"}); out["result"] == nil {
		c.Errorf("start: %v", out)
	}
	live.shows("view", "for "+ada.id)
	live.shows("map", "nodes")
	shown.shows("board", `"red":"a pod runs"`)
	shown.shows("board", `"causes":[{"cause":"wanted: a pod[2J","count":1}]`) // without its escape
	if text := shown.text(); strings.Contains(text, "what a command has printed") {
		c.Errorf("the board has what was seen: %s", text)
	}
	ada.post("/api/desk", map[string]any{"do": "check", "lab": "workshop/one"})
	shown.shows("board", `"checks":{"done":1,"todo":0,"lost":0}`)
	row := board.row(ada.id)
	if row["connected"] != true || row["lab"] != "workshop/one" || row["stepTitle"] != "First" || row["solved"] != 1.0 || row["red"] != "" {
		c.Errorf("the row: %v", row)
	}
	ada.post("/api/help", map[string]any{"on": true})
	shown.shows("board", `"help":"2`)
	live.shows("class", `"help":true`)
	// A page that is loaded again gets the whole state.
	again := ada.stream("/api/live")
	again.shows("view", `"done"`)
	again.shows("class", "Ada")
	live.cancel()
	again.cancel()
	shown.shows("board", `"connected":false`)
}

func restarts(c *class) {
	ada := c.join("Ada")
	ada.stream("/api/live").shows("desk", "ready")
	ada.post("/api/desk", map[string]any{"do": "check", "lab": "workshop/one"})
	jar := ada.Jar
	c.stop() // what was reported last is stored
	cookies := jar.Cookies(mustParse(c, c.url("/")))
	c.start()
	again := c.browser()
	again.Jar.SetCookies(mustParse(c, c.url("/")), cookies)
	if me := again.get("/api/me"); me["id"] != ada.id {
		c.Errorf("after the restart: %v", me)
	}
	again.stream("/api/live").shows("desk", "ready")
	c.eventually("the new desk has the progress", c.seen(func() bool { return strings.Contains(c.opened[ada.id], "workshop/one") }))
}

func isolated(c *class) {
	ada, bob := c.join("Ada"), c.join("Bob")
	a, b := ada.stream("/api/live"), bob.stream("/api/live")
	for _, l := range []*browser{ada, bob} {
		l.post("/api/desk", map[string]any{"do": "start", "lab": "workshop/one"})
	}
	a.shows("view", "for "+ada.id)
	b.shows("view", "for "+bob.id)
	if text := b.text(); strings.Contains(text, ada.id) || strings.Contains(text, "Ada") {
		c.Errorf("Bob's page has got of Ada: %s", text)
	}
	// No request names another learner, and the board's paths are the instructor's.
	sh := bob.shell("/api/terminal?id=" + ada.id + "&learner=" + ada.id)
	sh.shows("shell of " + bob.id)
	for _, path := range []string{"/api/board", "/api/board/live", "/api/board/export.csv", "/api/board/terminal/" + ada.id + "?mode=view"} {
		if status, out, _ := bob.send(http.MethodGet, path, ""); status != http.StatusUnauthorized {
			c.Errorf("GET %s by a learner: %d %v", path, status, out)
		}
	}
	for _, path := range []string{"/api/board/do", "/api/board/forget", "/api/instructor/logout"} {
		bob.refused(http.StatusUnauthorized, path, map[string]any{"action": "remove", "learners": []string{"*"}})
	}
	boss := c.instructor()
	for _, path := range []string{"/api/me", "/api/live", "/api/labs", "/api/terminal"} {
		if status, out, _ := boss.send(http.MethodGet, path, ""); status != http.StatusUnauthorized {
			c.Errorf("GET %s by the instructor: %d %v", path, status, out)
		}
	}
	for who, want := range map[*browser]int{c.browser(): http.StatusUnauthorized, bob: http.StatusOK, boss: http.StatusOK} {
		if w := who.page("/slides/workshop/"); w != want {
			c.Errorf("the slides for %q: %d, want %d", who.id, w, want)
		}
	}
	if nobody, status := c.browser().dial("/api/terminal"); nobody != nil || status != http.StatusUnauthorized {
		c.Errorf("a terminal of nobody: %d", status)
	}
}

func fromThePage(c *class) {
	ada := c.join("Ada")
	for _, test := range []struct {
		what   string
		change []string
		want   int
	}{
		{"as the page does", nil, http.StatusOK},
		{"a form", []string{"Content-Type", "application/x-www-form-urlencoded"}, http.StatusUnsupportedMediaType},
		{"text", []string{"Content-Type", "text/plain"}, http.StatusUnsupportedMediaType},
		{"no type", []string{"Content-Type", ""}, http.StatusUnsupportedMediaType},
		{"no header", []string{"X-Wheelhouse", ""}, http.StatusForbidden},
		{"another origin", []string{"Origin", "https://evil.example"}, http.StatusForbidden},
		{"another port", []string{"Origin", "https://127.0.0.1:1"}, http.StatusForbidden},
		{"a sandboxed page", []string{"Origin", "null"}, http.StatusForbidden},
		{"no origin, with a cookie", []string{"Origin", ""}, http.StatusForbidden},
		{"cross-site by the browser's word", []string{"Sec-Fetch-Site", "cross-site"}, http.StatusForbidden},
	} {
		on := test.want == http.StatusOK
		status, out, _ := ada.send(http.MethodPost, "/api/help", map[string]bool{"on": on}, test.change...)
		if status != test.want {
			c.Errorf("%s: %d %v, want %d", test.what, status, out, test.want)
		}
		if l, _ := c.roster.Learner(ada.id); l.Help.IsZero() {
			c.Errorf("%s has changed something", test.what)
		}
	}
	if status, _, h := ada.send(http.MethodGet, "/api/me", "", "Origin", "https://evil.example"); status != http.StatusOK || h.Get("Access-Control-Allow-Origin") != "" {
		c.Errorf("another origin may read: %d %v", status, h)
	}
	if status, _, _ := ada.send(http.MethodGet, "/api/help", ""); status == http.StatusOK {
		c.Error("a GET changes something")
	}
}

func noFixation(c *class) {
	ada := c.join("Ada")
	value := func(b *browser) string {
		for _, k := range b.Jar.Cookies(mustParse(c, c.url("/"))) {
			if k.Name == learnerCookie {
				return k.Value
			}
		}
		return ""
	}
	first := value(ada)
	planted := c.browser()
	planted.Jar.SetCookies(mustParse(c, c.url("/")), []*http.Cookie{{Name: learnerCookie, Value: "planted", Path: "/"}})
	planted.post("/api/join", map[string]string{"code": c.code(), "name": "Bob"})
	if v := value(planted); v == "planted" || v == "" {
		c.Errorf("the session of who came with a planted cookie is %q", v)
	}
	ada.post("/api/join", map[string]string{"code": c.code(), "name": "Ada"})
	if v := value(ada); v == first {
		c.Error("a second login has the session of the first")
	}
	old := c.browser()
	old.Jar.SetCookies(mustParse(c, c.url("/")), []*http.Cookie{{Name: learnerCookie, Value: first, Path: "/"}})
	if status, _, _ := old.send(http.MethodGet, "/api/me", ""); status != http.StatusUnauthorized {
		c.Errorf("the replaced session: %d", status)
	}
	if status, _, _ := ada.send(http.MethodGet, "/api/me", "", "Cookie", learnerCookie+"=x"); status != http.StatusUnauthorized {
		c.Errorf("with two cookies of one name: %d", status)
	}
	live := ada.stream("/api/live")
	live.shows("class", "Ada")
	copied := c.browser()
	copied.Jar.SetCookies(mustParse(c, c.url("/")), ada.Jar.Cookies(mustParse(c, c.url("/"))))
	ada.post("/api/leave", map[string]any{})
	live.ends()
	if status, _, _ := copied.send(http.MethodGet, "/api/me", ""); status != http.StatusUnauthorized {
		c.Errorf("after leaving: %d", status)
	}
	_, _, h := c.browser().send(http.MethodPost, "/api/join", map[string]string{"code": c.code(), "name": "Ada", "returnCode": ada.returnCode})
	for _, want := range []string{"HttpOnly", "Secure", "SameSite=Strict", "Path=/"} {
		if !strings.Contains(h.Get("Set-Cookie"), want) {
			c.Errorf("the cookie is not %s: %s", want, h.Get("Set-Cookie"))
		}
	}
}

// from sends a change as a client of another address.
func (c *class) from(address, path, body string) *httptest.ResponseRecorder {
	return c.serve(c.request(address, path, body))
}

func (*class) request(address, path, body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.RemoteAddr = address
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Wheelhouse", "1")
	return r
}

func (c *class) serve(r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	c.server.Handler().ServeHTTP(w, r)
	return w
}

func lockedOut(c *class) {
	ada := c.join("Ada")
	password, _ := c.roster.NewPassword(c.Context())
	right := `{"code":"` + c.code() + `","name":"Bob"}`
	for _, test := range []struct{ what, path, wrong, right string }{
		{"codes", "/api/join", `{"code":"aaaa-aaaa","name":"Bob"}`, right},
		{"return codes", "/api/join", `{"code":"` + c.code() + `","name":"Ada","returnCode":"aaaa-aaaa-aaaa"}`, `{"code":"` + c.code() + `","name":"Ada","returnCode":"` + ada.returnCode + `"}`},
		{"passwords", "/api/instructor/login", `{"password":"aaaa"}`, `{"password":"` + password + `"}`},
	} {
		for i := range freeAttempts {
			if w := c.from("192.0.2.7:999", test.path, test.wrong); w.Code != http.StatusForbidden {
				c.Fatalf("%s, wrong attempt %d: %d %s", test.what, i, w.Code, w.Body)
			}
		}
		for _, body := range []string{test.wrong, test.right} { // the right one would say so else
			if w := c.from("192.0.2.7:1000", test.path, body); w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "" {
				c.Errorf("%s, after them: %d %s", test.what, w.Code, w.Body)
			}
		}
		if w := c.from("192.0.2.8:999", test.path, test.right); w.Code > http.StatusCreated {
			c.Errorf("%s, another address: %d %s", test.what, w.Code, w.Body)
		}
		c.server.codes = newLockout(time.Now, freeAttempts, true) // the next row needs the address again
	}
}

func TestLockout(t *testing.T) {
	now := time.Unix(1000, 0)
	l := newLockout(func() time.Time { return now }, freeAttempts, true)
	wrong := errors.New("wrong")
	try := func(address string, is bool) time.Duration {
		return l.try(&http.Request{RemoteAddr: address}, wrong, func() error {
			if is {
				return wrong
			}
			return nil
		})
	}
	for range freeAttempts {
		if wait := try("[2001:db8::1]:1", true); wait != 0 {
			t.Fatalf("a free attempt waits %s", wait)
		}
	}
	want := firstWait
	for range 8 {
		if wait := try("[2001:db8::ffff]:1", true); wait != want { // one machine has the whole /64
			t.Fatalf("waits %s, want %s", wait, want)
		}
		now = now.Add(want)
		if wait := try("[2001:db8::1]:1", true); wait != 0 {
			t.Fatalf("after the wait it waits %s", wait)
		}
		want = min(longestWait, 2*want)
	}
	if wait := try("[2001:db8:0:1::1]:1", false); wait != 0 {
		t.Errorf("another network waits %s", wait)
	}
	now = now.Add(2 * longestWait)
	if wait := try("[2001:db8::1]:1", false); wait != 0 {
		t.Errorf("long after it waits %s", wait)
	}
	for range 3 { // a room behind one address: the right ones in between are of others
		for range freeAttempts - 1 {
			try("192.0.2.1:1", true)
		}
		if wait := try("192.0.2.1:1", false); wait != 0 {
			t.Errorf("a right one after four wrong ones waits %s", wait)
		}
	}
	for range freeAttempts {
		try("192.0.2.1:1", true)
		l.try(&http.Request{RemoteAddr: "192.0.2.1:1"}, wrong, func() error { return errors.New("the cluster does not answer") })
	}
	if wait := try("192.0.2.1:1", false); wait == 0 {
		t.Error("what was not answered resets the count of wrong ones")
	}
	for range 2 * freeAttempts {
		try("[fe80::1%eth0]:1", true)
	}
	if one, other := try("[fe80::1%eth0]:1", false), try("[fe80::2%eth0]:1", false); one == 0 || other != 0 {
		t.Errorf("of two machines of a link the one waits %s, the other %s", one, other)
	}
	for i := range 2 * maxAddresses {
		try(fmt.Sprintf("[fe80::%x:%x]:1", i>>16, i&0xffff), true)
	}
	if wait := try("192.0.2.77:1", false); wait != 0 {
		t.Errorf("many addresses of one machine make another wait %s", wait)
	}
	for i := range 2 * maxAddresses {
		try(http.Request{RemoteAddr: "10." + itoa(i>>16) + "." + itoa(i>>8&255) + "." + itoa(i&255) + ":1"}.RemoteAddr, true)
	}
	if len(l.by) > 2*maxAddresses+1 {
		t.Errorf("%d addresses are kept", len(l.by))
	}
}

// Whoever has a right return code or password does not get more attempts with those of others.
func TestRightAttemptsBetweenWrongOnes(t *testing.T) {
	wrong := errors.New("wrong")
	for _, resets := range []bool{false, true} {
		l := newLockout(time.Now, freeAttempts, resets)
		var wait time.Duration
		for i := range 2 * freeAttempts {
			for _, err := range []error{wrong, nil} {
				if wait = l.try(&http.Request{RemoteAddr: "192.0.2.1:1"}, wrong, func() error { return err }); wait > 0 && i < freeAttempts-1 {
					t.Fatalf("attempt %d waits %s", i, wait)
				}
			}
		}
		if (wait == 0) != resets {
			t.Errorf("right ones reset the count: %v; the next attempt waits %s", resets, wait)
		}
	}
}

// joinLimits: each join is written to the cluster, also of who is in the class; other addresses have their own.
func joinLimits(c *class) {
	c.server.joins.interval = time.Hour
	ada := c.join("Ada")
	again := fmt.Sprintf(`{"code":%q,"name":"Ada","returnCode":%q}`, c.code(), ada.returnCode)
	for i := range joinBurst {
		if w := c.from("192.0.2.7:1", "/api/join", again); w.Code != http.StatusOK {
			c.Fatalf("join %d: %d %s", i, w.Code, w.Body)
		}
	}
	if w := c.from("192.0.2.7:2", "/api/join", again); w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "" {
		c.Errorf("one join more: %d %s", w.Code, w.Body)
	}
	if w := c.from("192.0.2.8:1", "/api/join", again); w.Code != http.StatusOK {
		c.Errorf("of another address: %d %s", w.Code, w.Body)
	}
	// Who guesses return codes does not hold up new learners of the address.
	for range freeAttempts {
		c.from("192.0.2.9:1", "/api/join", fmt.Sprintf(`{"code":%q,"name":"Ada","returnCode":"aaaa-aaaa-aaaa"}`, c.code()))
	}
	if w := c.from("192.0.2.9:1", "/api/join", again); w.Code != http.StatusTooManyRequests {
		c.Errorf("after wrong return codes: %d %s", w.Code, w.Body)
	}
	if w := c.from("192.0.2.9:1", "/api/join", fmt.Sprintf(`{"code":%q,"name":"Bob"}`, c.code())); w.Code != http.StatusCreated {
		c.Errorf("a new learner after wrong return codes of another: %d %s", w.Code, w.Body)
	}
}

func streamLimits(c *class) {
	ada, bob := c.join("Ada"), c.join("Bob")
	for range maxLive {
		ada.stream("/api/live").shows("class", "Ada")
	}
	if status, out, _ := ada.send(http.MethodGet, "/api/live", ""); status != http.StatusTooManyRequests {
		c.Errorf("one stream more: %d %v", status, out)
	}
	for range maxTerminals {
		ada.shell("/api/terminal").shows("shell of")
	}
	if conn, status := ada.dial("/api/terminal"); conn != nil || status != http.StatusTooManyRequests {
		c.Errorf("one terminal more: %d", status)
	}
	bob.stream("/api/live").shows("class", "Bob") // another learner has their own
	boss := c.instructor()
	for range maxBoards {
		boss.stream("/api/board/live").shows("board", "Ada")
	}
	if status, _, _ := boss.send(http.MethodGet, "/api/board/live", ""); status != http.StatusTooManyRequests {
		c.Errorf("one board more: %d", status)
	}
	live := bob.stream("/api/live")
	live.shows("desk", "ready")
	for range maxPending {
		go bob.leave("/api/desk", `{"do":"view","lab":"workshop/one","object":"silence"}`)
	}
	c.eventually("four requests wait", c.seen(func() bool { return strings.Count(strings.Join(c.asked[bob.id], " "), "view") == maxPending }))
	bob.refused(http.StatusTooManyRequests, "/api/desk", map[string]any{"do": "view", "lab": "workshop/one"})
}

// leave sends a change whose answer nobody waits for: it ends with the test.
func (b *browser) leave(path, body string) {
	r, err := http.NewRequestWithContext(b.Context(), http.MethodPost, b.url(path), strings.NewReader(body))
	if err != nil {
		b.Error(err)
		return
	}
	r.Header.Set("Origin", b.http.URL)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Wheelhouse", "1")
	if res, err := b.Do(r); err == nil {
		_ = res.Body.Close()
	}
}

func requestLimits(c *class) {
	ada, bob := c.join("Ada"), c.join("Bob")
	limited := false
	for range 20 * burst {
		if status, _, h := ada.send(http.MethodGet, "/api/me", ""); status == http.StatusTooManyRequests && h.Get("Retry-After") != "" {
			limited = true
			break
		}
	}
	if !limited {
		c.Error("1,200 requests as fast as they go were all served")
	}
	bob.get("/api/me")
}

// A body that does not come holds no connection, and a request that takes longer than its body is answered.
func bodiesInTime(c *class) {
	c.server.bodyTime = 300 * time.Millisecond
	conn, err := tls.Dial("tcp", c.http.Listener.Addr().String(), &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // it is this process
	if err != nil {
		c.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := io.WriteString(conn, "POST /api/join HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nX-Wheelhouse: 1\r\nContent-Length: 10\r\n\r\n{"); err != nil {
		c.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, conn); err != nil && errors.Is(err, os.ErrDeadlineExceeded) {
		c.Error("a body that does not come keeps its connection")
	}
	slow := httptest.NewServer(c.server.guard(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadAll(r.Body)
		select {
		case <-r.Context().Done():
			refuse(w, http.StatusGatewayTimeout, "the request has ended")
		case <-time.After(5 * c.server.bodyTime):
			answer(w, http.StatusOK, "done")
		}
	})))
	defer slow.Close()
	res, err := http.Post(slow.URL, "application/json", strings.NewReader("{}"))
	if err != nil {
		c.Fatal(err)
	}
	if _ = res.Body.Close(); res.StatusCode != http.StatusOK {
		c.Errorf("a request that takes longer than its body: %s", res.Status)
	}
}

// One learner does not take all places, nor keep those of others: with names that are none, or by joins that were refused or have failed.
func newLearnersOf(c *class) {
	var log wait.Output
	var admitted int
	var admit error
	c.server.cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
	c.server.newLearners.burst = 1
	c.server.cfg.Admit = func() error {
		admitted++
		return admit
	}
	request := func(address, name string) *http.Request {
		return c.request(address, "/api/join", fmt.Sprintf(`{"code":%q,"name":%q}`, c.code(), name))
	}
	for range 5 {
		if w := c.serve(request("192.0.2.7:1", "\n")); w.Code != http.StatusBadRequest {
			c.Fatalf("no name: %d %s", w.Code, w.Body)
		}
	}
	if admitted != 0 {
		c.Errorf("%d places are kept for nobody", admitted)
	}
	admit = errors.New("no memory for a further cluster")
	for range 3 {
		if w := c.serve(request("192.0.2.7:1", "one")); w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), admit.Error()) {
			c.Fatalf("without a place: %d %s", w.Code, w.Body)
		}
	}
	gone, cancel := context.WithCancel(c.Context())
	c.server.cfg.Admit = func() error {
		cancel()
		return nil
	}
	if w := c.serve(request("192.0.2.7:1", "one").WithContext(gone)); w.Code != http.StatusServiceUnavailable {
		c.Fatalf("a join that fails: %d %s", w.Code, w.Body)
	}
	c.server.cfg.Admit = nil
	if w := c.serve(request("192.0.2.7:1", "one")); w.Code != http.StatusCreated {
		c.Fatalf("the first: %d %s", w.Code, w.Body)
	}
	for _, name := range []string{"one more", "and another"} {
		if w := c.serve(request("192.0.2.7:1", name)); w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "" || !strings.Contains(w.Body.String(), "from your address") {
			c.Errorf("the second of one address: %d %s", w.Code, w.Body)
		}
	}
	if w := c.serve(request("192.0.2.8:1", "another")); w.Code != http.StatusCreated {
		c.Errorf("of another address: %d %s", w.Code, w.Body)
	}
	if text := log.String(); strings.Count(text, "serve --shared-address") != 1 || !strings.Contains(text, "192.0.2.7") {
		c.Errorf("the log: %s", text)
	}
}

func TestJoinLimiter(t *testing.T) {
	now := time.Unix(1000, 0)
	l := newJoinLimiter(30*time.Second, 2)
	reserve := func(address string) (giveBack func(), ok bool) {
		return l.reserve(&http.Request{RemoteAddr: address}, now)
	}
	may := func(what, address string, want ...bool) {
		t.Helper()
		for i, want := range want {
			if _, ok := reserve(address); ok != want {
				t.Errorf("%s, %s, join %d: %v", what, address, i, ok)
			}
		}
	}
	giveBack, _ := reserve("192.0.2.1:1")
	may("at once", "192.0.2.1:1", true, false)
	may("another address", "192.0.2.2:1", true, true, false)
	giveBack()
	may("one was given back", "192.0.2.1:1", true, false)
	now = now.Add(30 * time.Second)
	giveBack, _ = reserve("192.0.2.1:1")
	may("after an interval", "192.0.2.1:1", false)
	now = now.Add(time.Hour)
	giveBack()
	may("long after, one was given back late", "192.0.2.1:1", true, true, false)
	may("one machine of a link", "[fe80::1%eth0]:1", true)
	may("another of the link", "[fe80::2%eth0]:1", true, false)
	for i := range 2 * maxAddresses {
		_, _ = reserve(fmt.Sprintf("10.%d.%d.%d:1", i>>16, i>>8&255, i&255))
	}
	if len(l.full) > maxAddresses+1 {
		t.Errorf("%d addresses are kept", len(l.full))
	}
	may("kept before many others came", "192.0.2.1:1", false)
	now = now.Add(time.Hour)
	may("after the others", "192.0.2.3:1", true, true, false)
}

// What is written to the cluster is bounded apart; other learners' changes are theirs.
func writeLimits(c *class) {
	ada, bob := c.join("Ada"), c.join("Bob")
	limited := false
	for range 20 * writesBurst {
		status, _, h := ada.send(http.MethodPost, "/api/help", map[string]bool{"on": true})
		if limited = status == http.StatusTooManyRequests && h.Get("Retry-After") != ""; limited {
			break
		}
	}
	if !limited {
		c.Error("200 changes as fast as they go were all made")
	}
	ada.post("/api/typing", map[string]bool{"allow": false}) // the end of the consent waits for nothing
	bob.post("/api/help", map[string]bool{"on": true})
	if small, large := pauseAfter(2000), pauseAfter(256<<10); small != storePause || large < 10*time.Second {
		t := fmt.Sprint(small, large)
		c.Errorf("the pauses after small and large writes: %s", t)
	}
}

func isFull(c *class) {
	for _, name := range []string{"Ada", "Bob", "Cleo"} {
		c.join(name)
	}
	says := c.browser().refused(http.StatusServiceUnavailable, "/api/join", map[string]string{"code": c.code(), "name": "Dora"})
	if says != roster.ErrFull.Error() {
		c.Errorf("a full class says %q", says)
	}
}

// place is a machine that has one place.
type place struct{ taken atomic.Bool }

func (p *place) next() error {
	if p.taken.Swap(true) {
		return errors.New("no memory for a further cluster")
	}
	return nil
}

// hasNoPlace: who joins is refused with a sentence, and who is back is not.
func hasNoPlace(c *class) {
	ada := c.join("Ada")
	for name, want := range map[string]string{"Bob": "no memory for a further cluster", "Cleo": "no memory for a further cluster"} {
		if says := c.browser().refused(http.StatusServiceUnavailable, "/api/join", map[string]string{"code": c.code(), "name": name}); says != want {
			c.Errorf("a full machine says %q", says)
		}
	}
	c.browser().refused(http.StatusServiceUnavailable, "/api/join", map[string]string{"code": c.code(), "name": "Dora", "returnCode": "any"})
	ada.refused(http.StatusServiceUnavailable, "/api/join", map[string]string{"code": c.code(), "name": "Ada's other"})
	if n := c.roster.Count(); n != 1 {
		c.Errorf("%d learners", n)
	}
	ada.post("/api/join", map[string]any{"code": c.code(), "name": "Ada"})
	c.browser().post("/api/join", map[string]any{"code": c.code(), "name": "Ada", "returnCode": ada.returnCode})
}

func terminals(c *class) {
	ada := c.join("Ada")
	sh := ada.shell("/api/terminal?columns=100&rows=30")
	sh.state("ready")
	sh.shows("shell of " + ada.id)
	sh.shows("[100x30]")
	sh.send("decho hi\r")
	sh.shows("echo hi")
	sh.send(`r{"columns":70000,"rows":-1}`)
	sh.shows("[500x2]")
	sh.send("dexit")
	sh.state("lost")
	sh.ends()
	// Reload: the shell is there again.
	ada.shell("/api/terminal").shows("shell of " + ada.id)
}

func strangers(c *class) {
	ada := c.join("Ada")
	for _, test := range []struct {
		what   string
		change []string
		want   int
	}{
		{"another origin", []string{"Origin", "https://evil.example"}, http.StatusForbidden},
		{"no origin", []string{"Origin", ""}, http.StatusForbidden},
		{"no subprotocol", []string{"Sec-WebSocket-Protocol", ""}, http.StatusBadRequest},
		{"another subprotocol", []string{"Sec-WebSocket-Protocol", "v4.channel.k8s.io"}, http.StatusBadRequest},
	} {
		if conn, status := ada.dial("/api/terminal", test.change...); conn != nil || status != test.want {
			c.Errorf("%s: %d, want %d", test.what, status, test.want)
		}
	}
	if typed := c.typed[ada.id]; typed != "" {
		c.Errorf("typed: %q", typed)
	}
}

func frames(c *class) {
	ada := c.join("Ada")
	for _, test := range []struct {
		what, frame string
		kind        int
	}{
		{"more than 64 KiB", "d" + strings.Repeat("x", maxFrame), websocket.BinaryMessage},
		{"text", "dls\r", websocket.TextMessage},
		{"empty", "", websocket.BinaryMessage},
		{"of no kind", "xls", websocket.BinaryMessage},
		{"a size that is none", "r[", websocket.BinaryMessage},
	} {
		sh := ada.shell("/api/terminal")
		sh.shows("shell of")
		if err := sh.conn.WriteMessage(test.kind, []byte(test.frame)); err != nil {
			c.Fatal(err)
		}
		sh.ends()
		if strings.Contains(sh.shown, "ls") || strings.Contains(sh.shown, "xxx") {
			c.Errorf("a frame %s was taken: %q", test.what, sh.shown[:20])
		}
	}
}
