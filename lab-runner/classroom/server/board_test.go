package server

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"

	"wheelhouse/lab-runner/classroom/roster"
)

func itoa(i int) string { return strconv.Itoa(i) }

func mustParse(c *class, text string) *url.URL {
	u, err := url.Parse(text)
	if err != nil {
		c.Fatal(err)
	}
	return u
}

func overTheShoulder(c *class) {
	ada, boss := c.join("Ada"), c.instructor()
	live := ada.stream("/api/live")
	own := ada.shell("/api/terminal")
	own.shows("shell of " + ada.id)
	path := "/api/board/terminal/" + ada.id
	view := boss.shell(path + "?mode=view")
	view.shows("shell of " + ada.id)
	own.state("watched")
	live.shows("class", `"watched":true`)
	view.send("drm -rf ~\r")
	view.send(`r{"columns":90,"rows":20}`)
	view.shows("[90x20]") // so that what was typed before it was read
	if typed := c.typed[ada.id]; typed != "" {
		c.Errorf("who only looks has typed %q", typed)
	}
	_ = view.conn.Close()
	own.state("ready")
	if conn, status := boss.dial(path + "?mode=type"); conn != nil || status != http.StatusForbidden {
		c.Fatalf("typing without consent: %d", status)
	}
	ada.refused(http.StatusConflict, "/api/typing", map[string]bool{"allow": true}) // nobody has asked
	boss.do("ask-typing", []string{ada.id})
	live.shows("class", `"typing":"asked"`)
	if conn, status := boss.dial(path + "?mode=type"); conn != nil || status != http.StatusForbidden {
		c.Fatalf("typing before the answer: %d", status)
	}
	ada.post("/api/typing", map[string]bool{"allow": true})
	typist := boss.shell(path + "?mode=type")
	typist.send("dls\r")
	typist.shows("ls")
	ada.post("/api/typing", map[string]bool{"allow": false})
	typist.ends()
	if conn, status := boss.dial(path + "?mode=type"); conn != nil || status != http.StatusForbidden {
		c.Errorf("typing after the consent: %d", status)
	}
	for path, want := range map[string]int{"/api/board/terminal/nobody22?mode=view": http.StatusNotFound, path: http.StatusBadRequest, path + "?mode=both": http.StatusBadRequest} {
		if conn, status := boss.dial(path); conn != nil || status != want {
			c.Errorf("%s: %d, want %d", path, status, want)
		}
	}
	last := boss.shell("/api/board/terminal/" + ada.id + "?mode=view")
	last.shows("shell")
	boss.post("/api/instructor/logout", map[string]any{})
	ada.post("/api/help", map[string]bool{"on": true}) // any change makes the stream look at its session
	last.ends()
}

func opening(c *class) {
	ada, bob, boss := c.join("Ada"), c.join("Bob"), c.instructor()
	start := func(lab string) map[string]any { return map[string]any{"do": "start", "lab": lab} }
	ada.refused(http.StatusForbidden, "/api/desk", start("workshop/two"))
	ada.refused(http.StatusForbidden, "/api/desk", start("hard/nodes")) // it is open, and is not done here
	ada.refused(http.StatusNotFound, "/api/desk", start("workshop/three"))
	ada.refused(http.StatusBadRequest, "/api/desk", map[string]any{"do": "open", "lab": "workshop/one"})
	boss.do("open", []string{ada.id}, "lab", "workshop/two")
	ada.post("/api/desk", start("workshop/two"))
	bob.refused(http.StatusForbidden, "/api/desk", start("workshop/two"))
	boss.do("open", []string{"*"}, "lab", "workshop/two")
	bob.post("/api/desk", start("workshop/two"))
	boss.do("close", []string{"*"}, "lab", "workshop/two")
	ada.refused(http.StatusForbidden, "/api/desk", start("workshop/two"))

	solve := map[string]any{"do": "solve", "lab": "workshop/one", "step": 1}
	ada.refused(http.StatusForbidden, "/api/desk", solve)
	boss.do("release", []string{ada.id}, "lab", "workshop/one", "step", 1)
	ada.post("/api/desk", solve)
	bob.refused(http.StatusForbidden, "/api/desk", solve)
	ada.refused(http.StatusForbidden, "/api/desk", map[string]any{"do": "solve", "lab": "workshop/one", "step": 0})
	boss.do("release", []string{"*"}, "lab", "workshop/one")
	bob.post("/api/desk", solve)
	if asked := strings.Join(c.asked[bob.id], " "); strings.Count(asked, "solve") != 1 {
		c.Errorf("Bob's desk was asked %s", asked)
	}
}

func boardDoes(c *class) {
	ada, bob, boss := c.join("Ada"), c.join("Bob"), c.instructor()
	live := ada.stream("/api/live")
	live.shows("desk", "ready")
	boss.do("message", []string{"*"}, "text", "Lunch\x1b[2J at noon")
	live.shows("class", "Lunch[2J at noon")
	boss.do("message", []string{ada.id}, "text", "Well done")
	live.shows("class", "Well done")
	if me := bob.get("/api/me"); !strings.Contains(fmt.Sprint(me["class"]), "Lunch") {
		c.Errorf("Bob: %v", me)
	}
	boss.do("timer", nil, "minutes", 20)
	live.shows("class", `"timer":"2`)
	boss.do("timer", nil, "minutes", 0)
	live.shows("class", `"timer":null`)
	boss.do("slide", nil, "deck", "workshop", "page", 4)
	live.shows("class", `"slide":{"deck":"workshop","page":4}`)
	boss.do("follow", nil)
	live.shows("class", `"follow":true`)
	boss.do("follow", nil, "on", false)
	live.shows("class", `"follow":false`)
	ada.post("/api/help", map[string]bool{"on": true})
	boss.do("help-done", []string{ada.id})
	live.shows("class", `"help":false`)
	boss.do("goto", []string{ada.id}, "lab", "workshop/one", "step", 1)
	boss.do("reset", []string{ada.id}, "lab", "workshop/one")
	if asked := strings.Join(c.asked[ada.id], " "); !strings.Contains(asked, "start goto reset") { // the lab was not started
		c.Errorf("Ada's desk was asked %s", asked)
	}
	// What is begun is finished, though the page is closed.
	closed, cancel := context.WithCancel(c.Context())
	cancel()
	w := httptest.NewRecorder()
	c.server.act(w, c.request("192.0.2.7:1", "/api/board/do", fmt.Sprintf(`{"action":"reset","learners":[%q],"lab":"workshop/one"}`, ada.id)).WithContext(closed))
	if !strings.Contains(w.Body.String(), `"done":1`) {
		c.Errorf("an action whose page is closed: %d %s", w.Code, w.Body)
	}
	out := boss.do("hint", []string{"*"}, "lab", "workshop/one")
	if text := fmt.Sprint(out["failed"]); !strings.Contains(text, "no hint[2J left") || !strings.Contains(text, "not connected") {
		c.Errorf("what has failed of a hint for all: %v", out)
	}
	for want, body := range map[int]any{
		http.StatusBadRequest: map[string]any{"action": "explode", "learners": []string{"*"}},
		http.StatusNotFound:   map[string]any{"action": "message", "learners": []string{"nobody22"}, "text": "x"},
	} {
		boss.refused(want, "/api/board/do", body)
	}
	boss.refused(http.StatusBadRequest, "/api/board/do", map[string]any{"action": "message", "text": "x"})
	boss.refused(http.StatusBadRequest, "/api/board/do", map[string]any{"action": "open", "learners": []string{"*"}, "lab": "../../etc"})
}

func table(c *class) {
	evil, boss := c.join("=cmd|' /C calc'!A0"), c.instructor()
	if err := c.roster.Update(c.Context(), evil.id, func(l *roster.Learner) {
		l.At = roster.Position{Lab: "workshop/one", StepTitle: "+1", Cause: "@sum, \"x\""}
	}); err != nil {
		c.Fatal(err)
	}
	_, out, h := boss.send(http.MethodGet, "/api/board/export.csv", "")
	want := "'=cmd|' /C calc'!A0,room,workshop/one,1,0,'+1,0,0,0,,,\"'@sum, \"\"x\"\"\",0,0\n"
	if text := fmt.Sprint(out["raw"]); !strings.HasSuffix(text, want) || !strings.HasPrefix(text, "name,place,lab") {
		c.Errorf("the table is %q, want %q", text, want)
	}
	if !strings.Contains(h.Get("Content-Disposition"), "attachment") || !strings.Contains(h.Get("Content-Type"), "text/csv") {
		c.Errorf("headers: %v", h)
	}
}

func removal(c *class) {
	ada, bob, boss := c.join("Ada"), c.join("Bob"), c.instructor()
	live, sh := ada.stream("/api/live"), ada.shell("/api/terminal")
	sh.shows("shell")
	live.shows("class", "Ada")
	boss.do("remove", []string{ada.id})
	live.ends()
	sh.ends()
	if status, _, _ := ada.send(http.MethodGet, "/api/me", ""); status != http.StatusUnauthorized || !c.removed[ada.id] || c.removed[bob.id] {
		c.Errorf("after the removal: %d, removed %v", status, c.removed)
	}
	boss.do("message", []string{"*"}, "text", "Bob, well done")
	boss.post("/api/board/forget", map[string]any{})
	if c.roster.Count() != 0 || c.roster.Class().Message != "" || !c.removed[bob.id] {
		c.Errorf("after forgetting: %d learners, message %q, removed %v", c.roster.Count(), c.roster.Class().Message, c.removed)
	}
	boss.get("/api/board") // the instructor stays
	// Another process may remove a learner, too.
	cleo := c.join("Cleo")
	live = cleo.stream("/api/live")
	live.shows("class", "Cleo")
	if err := c.roster.Remove(c.Context(), cleo.id); err != nil {
		c.Fatal(err)
	}
	live.ends()
}

func evict(c *class) {
	ada, boss := c.join("Ada"), c.instructor()
	live := ada.stream("/api/live")
	live.shows("class", "Ada")
	before := c.code()
	out := boss.do("evict-all", nil)
	live.ends()
	if out["code"] != c.code() || out["code"] == before || !c.removed[ada.id] {
		c.Errorf("evicted: %v, the code was %s", out, before)
	}
	back := c.browser()
	back.refused(http.StatusForbidden, "/api/join", map[string]string{"code": before, "name": "Ada", "returnCode": ada.returnCode})
	if again := back.post("/api/join", map[string]string{"code": c.code(), "name": "Ada", "returnCode": ada.returnCode}); again["id"] != ada.id {
		c.Errorf("back: %v", again)
	}
}

func ownCluster(c *class) {
	lab, boss := c.browser(), c.instructor()
	status, out, h := lab.send(http.MethodPost, "/api/join", map[string]string{"code": c.code(), "name": "Ada", "client": "lab"}, "Origin", "")
	token, _ := out["token"].(string)
	if status != http.StatusCreated || token == "" || h.Get("Set-Cookie") != "" {
		c.Fatalf("join: %d %v %v", status, out, h)
	}
	report := map[string]any{
		"lab": "hard/nodes", "step": 1, "steps": 2, "checks": map[string]int{"done": 1, "todo": 2, "lost": -5}, "red": "a node\x1b[2J is ready", "cause": "the kubelet is stopped",
	}
	status, out, _ = lab.send(http.MethodPost, "/api/report", report, "Origin", "", "Authorization", "Bearer "+token)
	row := boss.row(c.roster.Learners()[0].ID)
	if status != http.StatusOK || row["place"] != "own" || row["stepTitle"] != "Second" || row["connected"] != true || row["red"] != "a node[2J is ready" || fmt.Sprint(row["checks"]) != "map[done:1 lost:0 todo:2]" {
		c.Errorf("report: %d %v, the row: %v", status, out, row)
	}
	for _, auth := range []string{"", "Bearer ", "Bearer wrong", "Basic " + token, token} {
		if status, _, _ := lab.send(http.MethodPost, "/api/report", report, "Origin", "", "Authorization", auth); status != http.StatusUnauthorized {
			c.Errorf("with %q: %d", auth, status)
		}
	}
	if status, _, _ := lab.send(http.MethodGet, "/api/me", "", "Cookie", learnerCookie+"="+token); status != http.StatusUnauthorized {
		c.Errorf("the token as a cookie: %d", status)
	}
	browser := c.join("Bob")
	for _, k := range browser.Jar.Cookies(mustParse(c, c.url("/"))) {
		if status, _, _ := lab.send(http.MethodPost, "/api/report", report, "Origin", "", "Authorization", "Bearer "+k.Value); status != http.StatusUnauthorized {
			c.Errorf("a cookie as a token: %d", status)
		}
	}
	for _, test := range []struct {
		path, token string
		want        int
	}{
		{"/api/leave", "wrong", http.StatusUnauthorized},
		{"/api/report", token, http.StatusOK},
		{"/api/leave", token, http.StatusOK},
		{"/api/report", token, http.StatusUnauthorized},
	} {
		if status, out, _ := lab.send(http.MethodPost, test.path, report, "Origin", "", "Authorization", "Bearer "+test.token); status != test.want {
			c.Errorf("%s: %d %v, want %d", test.path, status, out, test.want)
		}
	}
}
