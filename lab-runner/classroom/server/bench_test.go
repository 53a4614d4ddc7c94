package server

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"

	"wheelhouse/lab-runner/classroom/workbench"
)

// room is workbenches in memory: a desk with one lab of two steps, and a shell that repeats what is typed.
type room struct {
	mu      sync.Mutex
	made    map[string]int      // by the learner's id
	removed map[string]bool     // by the learner's id
	asked   map[string][]string // what the desks were asked
	opened  map[string]string   // the progress that a desk was given last
	typed   map[string]string
}

func newRoom() *room {
	return &room{made: map[string]int{}, removed: map[string]bool{}, asked: map[string][]string{}, opened: map[string]string{}, typed: map[string]string{}}
}

func (r *room) Ensure(_ context.Context, l workbench.Learner) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if l.Namespace != "learner-"+l.ID {
		return fmt.Errorf("namespace %s of learner %s", l.Namespace, l.ID)
	}
	r.made[l.ID]++
	return nil
}

func (r *room) Remove(_ context.Context, l workbench.Learner) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.removed[l.ID] = true
	return nil
}

func (r *room) Terminal(ctx context.Context, l workbench.Learner, t workbench.Terminal) error {
	fmt.Fprintf(t.Out, "shell of %s\r\n", l.ID)
	failed := make(chan error, 1)
	go func() {
		b := make([]byte, 1024)
		for {
			n, err := t.In.Read(b)
			if err != nil {
				return
			}
			r.mu.Lock()
			r.typed[l.ID] += string(b[:n])
			r.mu.Unlock()
			if strings.HasPrefix(string(b[:n]), "exit") {
				failed <- io.EOF
				return
			}
			_, _ = t.Out.Write(b[:n])
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-failed:
			return err
		case size := <-t.Resize:
			fmt.Fprintf(t.Out, "[%dx%d]", size.Columns, size.Rows)
		}
	}
}

func (r *room) Desk(ctx context.Context, l workbench.Learner, in io.Reader, out io.Writer) error {
	lines := bufio.NewScanner(in)
	step, done := 0, false
	say := func(v any) { b, _ := json.Marshal(v); _, _ = out.Write(append(b, '\n')) }
	view := func(secret string) {
		state, reason := "todo", map[string]string{"seen": "what a command has printed", "wanted": "a pod\x1b[2J"}
		if done {
			state, reason = "done", nil
		}
		say(map[string]any{"event": "view", "view": map[string]any{
			"lab": "workshop/one", "step": step, "steps": []map[string]string{{"title": "First", "state": "todo"}, {"title": "Second", "state": "solved"}}, "text": secret,
			"checks": []map[string]any{{"name": "a pod runs", "state": state, "since": "2020-01-02T03:04:05Z", "reason": reason}},
		}})
	}
	for lines.Scan() {
		var q struct {
			request
			Progress json.RawMessage
		}
		if err := json.Unmarshal(lines.Bytes(), &q); err != nil {
			return err
		}
		r.mu.Lock()
		if q.Do == "open" {
			r.opened[l.ID] = string(q.Progress)
		} else {
			r.asked[l.ID] = append(r.asked[l.ID], q.Do)
		}
		r.mu.Unlock()
		reply := map[string]any{"id": q.ID, "ok": true, "result": map[string]string{"did": q.Do}}
		switch {
		case q.Do == "open":
			continue
		case q.Object == "die":
			return io.ErrUnexpectedEOF
		case q.Object == "silence":
			continue
		case q.Object == "long line":
			_, _ = out.Write([]byte(strings.Repeat("x", maxLine+10) + "\n"))
		case q.Object == "large view":
			say(map[string]any{"event": "view", "view": map[string]string{"lab": strings.Repeat("x", maxView)}})
		case q.Object == "output":
			for range 4 {
				say(map[string]string{"event": "output", "text": strings.Repeat("o", maxOutput/2)})
			}
			say(map[string]string{"event": "output", "text": "the end\n"})
		case q.Do == "start":
			view("for " + l.ID)
			say(map[string]any{"event": "map", "map": map[string]any{"nodes": []string{}}})
		case q.Do == "check":
			done = true
			say(map[string]any{"event": "progress", "progress": map[string]any{"version": 1, "current": "workshop/one"}})
			view("for " + l.ID)
		case q.Do == "why":
			reply["result"] = map[string]any{"text": "why", "cause": "Image\x1b[2JMissing"}
		case q.Do == "hint":
			reply = map[string]any{"id": q.ID, "ok": false, "error": "no hint\x1b[2J left"}
		}
		say(reply)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return lines.Err()
}

func (r *room) seen(f func() bool) func() bool {
	return func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return f()
	}
}
