//go:build !quick

package web

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/creack/pty"
	"github.com/gorilla/websocket"
)

// learner is a learner of the stub, at the lab workshop/notes: its checks look for files in the home directory of a
// real shell.
type learner struct {
	id, name, returnCode, cookie, home string

	lab     string // open; empty: none
	step    int
	states  []string // of the steps
	was     map[string]bool
	hints   int
	given   int
	help    any
	watched int
	typing  string
	output  string
	html    string // shown in the text, instead of what the stub has
}

var (
	titles = []string{"Write a note", "Write more", "What was it?"}
	wanted = [][]string{{"note"}, {"more", "last"}, {}}
)

func (s *stub) newLearner(name string) *learner {
	return newLearner(s.dir, strings.ToLower(rand.Text()[:8]), name)
}

func newLearner(dir, id, name string) *learner {
	return &learner{
		id: id, name: name, returnCode: "wheel-" + id[:4], home: home(dir, id), states: []string{"todo", "todo", "todo"},
		was: map[string]bool{}, given: -1, typing: "no",
	}
}

func (l *learner) has(file string) bool {
	_, err := os.Stat(filepath.Join(l.home, file))
	return err == nil
}

func (l *learner) checks() (all []map[string]any, done bool) {
	done = true
	for _, file := range wanted[l.step] {
		c := map[string]any{"name": "the file " + file + " is there", "state": "done"}
		if l.has(file) {
			l.was[file] = true
		} else {
			done = false
			c["state"] = "todo"
			if l.was[file] {
				c["state"], c["since"] = "lost", time.Now().UTC().Truncate(time.Hour).Format(time.RFC3339)
			}
			c["reason"] = map[string]string{"wanted": "a file " + file, "seen": "no such file", "try": "touch " + file}
		}
		all = append(all, c)
	}
	return all, done
}

// view is the state of the page, as the desk reports it.
func (l *learner) view() map[string]any {
	if l.lab == "" {
		return map[string]any{"lab": ""}
	}
	checks, done := l.checks()
	if done && len(checks) > 0 && l.states[l.step] == "todo" {
		l.states[l.step] = "done"
	}
	steps := []map[string]string{}
	for i, title := range titles {
		steps = append(steps, map[string]string{"name": strings.ToLower(title), "title": title, "state": l.states[i]})
	}
	text := []map[string]string{}
	if l.html != "" {
		text = append(text, map[string]string{"kind": "text", "html": l.html})
	}
	text = append(text, map[string]string{"kind": "text", "html": "<p>A file <em>stays</em> when its writer has ended. Its name is <code>note</code>.</p>"})
	for _, file := range wanted[l.step] {
		text = append(text, map[string]string{"kind": "command", "command": "echo written > " + file})
	}
	if l.step == 0 {
		text = append(text, map[string]string{"kind": "fails", "command": "cat absent"})
	}
	quiz := []map[string]any{}
	if l.step == 2 {
		text = append(text, map[string]string{"kind": "quiz"})
		quiz = append(quiz, map[string]any{
			"text": "Which file was first, by `ls -t`?", "answers": []string{"`more`", "`note`, if x < y"}, "given": l.given, "right": l.given == 1,
			"explanation": map[bool]string{true: "It was written in step 1."}[l.given == 1],
		})
	}
	hints := []string{}
	if l.hints > 0 {
		hints = append(hints, "<p><code>echo</code> writes, <code>&gt;</code> gives it to a file.</p>")
	}
	return map[string]any{
		"lab": l.lab, "title": "Notes that stay", "step": l.step, "steps": steps, "text": text, "checks": checks, "hints": hints,
		"hintsLeft": 1 - l.hints, "quiz": quiz, "done": l.states[2] == "done",
	}
}

func (l *learner) clusterMap() map[string]any {
	pods := []map[string]string{{"name": "web-7d4b9c6f5-abcde", "node": "minion-1", "state": "well", "phrase": "Running"}}
	state := map[bool]string{true: "well", false: "failed"}[l.has("note")]
	pods = append(pods, map[string]string{"name": "note-5f6d8b7c9-fghij", "node": "minion-2", "state": state, "phrase": map[string]string{"well": "Running", "failed": "CrashLoopBackOff"}[state]})
	pods = append(pods, map[string]string{"name": "waits", "node": "", "state": "under way", "phrase": "Pending"})
	return map[string]any{
		"nodes":    []map[string]any{{"name": "minion-1", "ready": true}, {"name": "minion-2", "ready": true}},
		"pods":     pods,
		"services": []map[string]any{{"name": "web", "pods": []string{pods[0]["name"], pods[1]["name"]}}},
	}
}

func (s *stub) desk(w http.ResponseWriter, r *http.Request, l *learner) {
	o, ok := read(w, r)
	if !ok {
		return
	}
	if o["do"] == "solve" {
		refuse(w, 403, "the instructor has not released this solution")
		return
	}
	says, result := "", map[string]any{}
	s.change(func() { says, result = l.do(o) })
	if says != "" {
		refuse(w, 409, says)
		return
	}
	answer(w, 200, map[string]any{"result": result})
}

// do is what a desk does; it returns why not, or the result.
func (l *learner) do(o map[string]any) (says string, result map[string]any) {
	_, done := l.checks()
	result = map[string]any{}
	switch o["do"] {
	case "start":
		l.lab, _ = o["lab"].(string)
	case "next":
		switch {
		case !done && o["skip"] != true:
			return "checks of this step are still to do", nil
		case l.step == 2 && l.given != 1:
			return "the question has no right answer yet", nil
		}
		if l.states[l.step] == "todo" {
			l.states[l.step] = map[bool]string{true: "done", false: "skipped"}[done]
		}
		l.step = min(l.step+1, 2)
	case "back":
		l.step = max(l.step-1, 0)
	case "goto":
		step, _ := o["step"].(float64)
		l.step, l.output = int(step), "$ setting up step "+titles[int(step)]+"\n"
	case "hint":
		l.hints = 1
	case "answer":
		given, _ := o["answer"].(float64)
		l.given = int(given)
	case "why":
		result["text"] = "the file is not there: nothing has written it"
	case "reset":
		files, _ := filepath.Glob(filepath.Join(l.home, "[a-z]*"))
		for _, f := range files {
			_ = os.Remove(f)
		}
		l.step, l.states, l.was, l.given, l.output = 0, []string{"todo", "todo", "todo"}, map[string]bool{}, -1, "$ rm note\n\x1b[32mremoved\x1b[0m\n"
	case "solve":
		for _, file := range wanted[l.step] {
			_ = os.WriteFile(filepath.Join(l.home, file), []byte("solved\n"), 0o600)
		}
		l.states[l.step], l.output = "solved", "$ the solution\n"
	}
	return "", result
}

func (l *learner) shell(ctx context.Context) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "bash", "--norc", "--noprofile", "-i")
	cmd.Dir, cmd.Env = l.home, []string{"PATH=/usr/bin:/bin", "HOME=" + l.home, "TERM=xterm-256color", "PS1=" + l.name + "$ ", "HISTFILE="}
	return cmd
}

// terminal is a shell of this machine in the learner's home directory, one for each connection.
func (s *stub) terminal(w http.ResponseWriter, r *http.Request, l *learner, readOnly bool) {
	upgrader := websocket.Upgrader{Subprotocols: []string{"wheelhouse.terminal"}}
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	conn.SetReadLimit(64 << 10)
	cmd := l.shell(r.Context())
	tty, err := pty.Start(cmd)
	if err != nil {
		return
	}
	defer func() { _ = tty.Close(); _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	s.lock.Lock()
	s.streams[r] = func() { _ = conn.Close() }
	s.lock.Unlock()
	defer func() {
		s.lock.Lock()
		delete(s.streams, r)
		s.lock.Unlock()
	}()
	if conn.WriteMessage(websocket.BinaryMessage, append([]byte("s"), `{"state":"ready","text":""}`...)) != nil {
		return
	}
	go func() {
		buffer := make([]byte, 32<<10)
		buffer[0] = 'd'
		for {
			n, err := tty.Read(buffer[1:])
			if err != nil || conn.WriteMessage(websocket.BinaryMessage, buffer[:n+1]) != nil {
				_ = conn.Close()
				return
			}
		}
	}()
	for {
		_, frame, err := conn.ReadMessage()
		if err != nil || len(frame) == 0 {
			return
		}
		switch {
		case frame[0] == 'd' && !readOnly:
			_, _ = tty.Write(frame[1:])
		case frame[0] == 'r':
			var size struct{ Columns, Rows uint16 }
			if json.Unmarshal(frame[1:], &size) == nil {
				_ = pty.Setsize(tty, &pty.Winsize{Cols: size.Columns, Rows: size.Rows})
			}
		}
	}
}
