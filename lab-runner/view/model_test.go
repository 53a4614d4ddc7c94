package view

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"wheelhouse/lab-runner/clustermap"
	"wheelhouse/lab-runner/render"
	"wheelhouse/lab-runner/script"
)

var update = flag.Bool("update", false, "write the golden files")

// recorder records what the model asks for.
type recorder struct{ did []string }

func (r *recorder) note(format string, args ...any) tea.Cmd {
	r.did = append(r.did, fmt.Sprintf(format, args...))
	return nil
}
func (r *recorder) entries(bool) tea.Cmd          { return r.note("entries") }
func (r *recorder) open(_ int, id string) tea.Cmd { return r.note("open %s", id) }
func (r *recorder) closeLab(int, Lab) tea.Cmd     { return r.note("close") }
func (r *recorder) watch(int, Lab) tea.Cmd        { return r.note("watch") }
func (r *recorder) interrupt(Lab) tea.Cmd         { return r.note("interrupt") }
func (r *recorder) shell(int, Lab) tea.Cmd        { return r.note("shell") }
func (r *recorder) run(_ int, _ Lab, c script.Item, target, _ int) tea.Cmd {
	return r.note("run %d %s", target, c.Text)
}
func (r *recorder) do(_ int, _ Lab, a Action) tea.Cmd { return r.note("%+v", a) }

// last returns what was asked for since the last call.
func (r *recorder) last() string {
	out := strings.Join(r.did, "; ")
	r.did = nil
	return out
}

// idle is a lab that does nothing.
type idle struct{}

func (idle) Watch(context.Context, func(State), func(clustermap.Change)) error { return nil }
func (idle) Do(context.Context, Action, io.Writer) (Result, error)             { return Result{}, nil }
func (idle) Run(context.Context, script.Item, io.Writer) (int, error)          { return 0, nil }
func (idle) Interrupt()                                                        {}
func (idle) Shell() (*exec.Cmd, error)                                         { return nil, errors.New("none") }
func (idle) Close()                                                            {}

var entries = []Entry{
	{ID: "workshop/inspector", Title: "Replicas and a service", About: "A replication controller keeps a number of pods running, and a service gives them one address.", Minutes: 15, Done: 1, Steps: 5, Current: true},
	{ID: "workshop/nginx", Title: "A page in a volume", About: "Volumes.", Minutes: 10, Requires: []string{"workshop/inspector", "docker"}, Steps: 3},
	{ID: "drills/crash", Title: "A crash loop", About: "A wrong command.", Minutes: 5, Done: 2, Steps: 2},
}

// state is one of a lab with all that a step has.
func state() State {
	return State{
		ID: "workshop/inspector", Title: "Replicas and a service", Namespace: "lab-inspector", Step: 1,
		Steps: []Mark{{"A replication controller", "done"}, {"Up to five", "todo"}, {"A pod that no longer matches", "todo"}, {"Down to two", "solved"}, {"One address for all of them", "todo"}},
		Blocks: []Block{
			{Markdown: "A ReplicationController keeps a given *number of pods* of one template running: it creates pods when there are too few."},
			{Markdown: "```\n$ kubectl scale rc inspector --replicas=5\nreplicationcontroller/inspector scaled\n$ kubectl get pod\n```", Commands: []script.Item{{Kind: script.Command, Text: "kubectl scale rc inspector --replicas=5"}, {Kind: script.Command, Text: "kubectl get pod"}}},
			{Markdown: "The controller selects its pods by their labels, `app=inspector` and `track=stable`."},
			{Question: &Question{Text: "What happens if a pod is deleted?", Answers: []string{"It stays away", "The controller creates another"}, Given: -1, Right: -1, Explanation: ""}},
		},
		Checks:  []CheckState{{Name: "five pods run", State: "todo"}, {Name: "the pods run on two nodes", State: "done"}},
		HintsOf: 2,
	}
}

// cluster is the map of that lab.
func cluster(t *testing.T) clustermap.Map {
	t.Helper()
	var m clustermap.Map
	for kind, texts := range map[clustermap.Kind][]string{
		clustermap.Nodes: {`{"metadata":{"name":"view-node-1"},"status":{"conditions":[{"type":"Ready","status":"True"}]}}`, `{"metadata":{"name":"view-node-2"},"status":{"conditions":[{"type":"Ready","status":"True"}]}}`},
		clustermap.Pods: {
			`{"metadata":{"name":"inspector-x7k2p"},"spec":{"nodeName":"view-node-1"},"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True"}]}}`,
			`{"metadata":{"name":"inspector-9fj3k"},"spec":{"nodeName":"view-node-2"},"status":{"phase":"Pending","containerStatuses":[{"state":{"waiting":{"reason":"ContainerCreating"}}}]}}`,
		},
		clustermap.Services:  {`{"metadata":{"name":"inspector"},"spec":{"ports":[{"port":80,"nodePort":30412}]}}`},
		clustermap.Endpoints: {`{"metadata":{"name":"a","labels":{"kubernetes.io/service-name":"inspector"}},"endpoints":[{"targetRef":{"name":"inspector-x7k2p"}}]}`},
	} {
		for _, text := range texts {
			o := &clustermap.Object{}
			if err := json.Unmarshal([]byte(text), o); err != nil {
				t.Fatal(err)
			}
			m = m.Apply(clustermap.Change{Kind: kind, Object: o})
		}
	}
	return m
}

// opened returns a model with the lab open.
func opened(t *testing.T, width, height int) (*Model, *recorder) {
	t.Helper()
	fx := &recorder{}
	m := &Model{fx: fx}
	m.Init()
	m.Update(tea.WindowSizeMsg{Width: width, Height: height})
	m.Update(entriesMsg{entries: entries, resume: true})
	m.Update(openedMsg{number: 1, lab: idle{}})
	m.Update(stateMsg{1, state()})
	m.Update(mapMsg{1, cluster(t)})
	if got := fx.last(); got != "entries; open workshop/inspector; watch" {
		t.Fatalf("the lab is not resumed: %s", got)
	}
	return m, fx
}

// press gives keys to the model, by the names of Bubble Tea.
func press(m *Model, keys ...string) {
	special := map[string]rune{"enter": tea.KeyEnter, "up": tea.KeyUp, "down": tea.KeyDown, "tab": tea.KeyTab, "esc": tea.KeyEscape, "pgdown": tea.KeyPgDown, "pgup": tea.KeyPgUp}
	for _, k := range keys {
		msg := tea.KeyPressMsg{Text: k}
		if code, ok := special[k]; ok {
			msg = tea.KeyPressMsg{Code: code}
		} else if k == "ctrl+c" {
			msg = tea.KeyPressMsg{Code: 'c', Mod: tea.ModCtrl}
		}
		m.Update(msg)
	}
}

// seen returns the screen without colors, and fails if a line does not have the screen's width.
func seen(t *testing.T, m *Model) string {
	t.Helper()
	content := m.View().Content
	plain := ansi.Strip(content)
	rows := strings.Split(plain, "\n")
	if len(rows) != m.height {
		t.Errorf("%d rows on a screen of %d:\n%s", len(rows), m.height, plain)
	}
	for i, r := range rows {
		if render.Width(r) != m.width {
			t.Errorf("row %d has %d columns of %d: %q", i, render.Width(r), m.width, r)
		}
		rows[i] = strings.TrimRight(r, " ")
	}
	return strings.Join(rows, "\n") + "\n"
}

// golden compares a screen with its file.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".txt")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s:\n%s\nwanted\n%s", name, got, want)
	}
}

var sizes = [][2]int{{80, 24}, {120, 40}, {40, 20}}

func TestScreens(t *testing.T) {
	for _, size := range sizes {
		name := fmt.Sprintf("%dx%d", size[0], size[1])
		m, _ := opened(t, size[0], size[1])
		golden(t, "lab-"+name, seen(t, m))
		press(m, "enter")
		m.Update(outputMsg{1, []byte("replicationcontroller/inspector scaled\n\x1b[31mred\x1b]0;title\a\r\npart")})
		golden(t, "output-"+name, seen(t, m))
		m.Update(outputMsg{1, []byte("ial\n")})
		m.Update(ranMsg{number: 1, target: 0, step: 1, status: 0})
		press(m, "tab")
		golden(t, "after-"+name, seen(t, m))
		press(m, "g", "down")
		golden(t, "goto-"+name, seen(t, m))
		press(m, "esc", "?")
		golden(t, "help-"+name, seen(t, m))
		press(m, "esc", "l")
		golden(t, "list-"+name, seen(t, m))
	}
}

// Every size is kept to, whatever is shown.
func TestAnySize(t *testing.T) {
	m, _ := opened(t, 80, 24)
	press(m, "enter")
	m.Update(outputMsg{1, []byte(strings.Repeat("long 日本 ", 100) + "\n\n")})
	for width := 4; width < 140; width += 13 {
		for height := 3; height < 50; height += 9 {
			m.Update(tea.WindowSizeMsg{Width: width, Height: height})
			for _, keys := range [][]string{{}, {"tab"}, {"tab"}, {"g"}, {"esc", "?"}, {"esc", "s"}, {"esc", "down", "pgdown"}, {"pgup"}} {
				press(m, keys...)
				seen(t, m)
			}
		}
	}
	m.Update(tea.WindowSizeMsg{Width: 2, Height: 1})
	m.View()
}

func TestKeys(t *testing.T) {
	for _, c := range []struct {
		keys []string
		want string
	}{
		{[]string{"enter"}, "run 0 kubectl scale rc inspector --replicas=5"},
		{[]string{"down", "enter"}, "run 1 kubectl get pod"},
		{[]string{"down", "down", "down", "enter"}, "{Verb:answer Step:0 Question:0 Choice:1}"},
		{[]string{"down", "down", "up", "enter"}, "run 1 kubectl get pod"},
		{[]string{"n"}, "{Verb:next Step:0 Question:0 Choice:0}"},
		{[]string{"N"}, "{Verb:skip Step:0 Question:0 Choice:0}"},
		{[]string{"b"}, "{Verb:back Step:0 Question:0 Choice:0}"},
		{[]string{"h"}, "{Verb:hint Step:0 Question:0 Choice:0}"},
		{[]string{"w"}, "{Verb:why Step:0 Question:0 Choice:0}"},
		{[]string{"c"}, "{Verb:check Step:0 Question:0 Choice:0}"},
		{[]string{"s"}, ""},
		{[]string{"s", "y"}, "{Verb:solve Step:0 Question:0 Choice:0}"},
		{[]string{"s", "n"}, ""},
		{[]string{"r", "enter"}, "{Verb:reset Step:0 Question:0 Choice:0}"},
		{[]string{"g", "down", "down", "enter"}, "{Verb:goto Step:3 Question:0 Choice:0}"},
		{[]string{"g", "up", "up", "up", "esc"}, ""},
		{[]string{"x"}, "shell"},
		{[]string{"l"}, "close; entries"},
		{[]string{"l", "down", "enter"}, "close; entries; open workshop/nginx"},
		{[]string{"enter", "enter"}, "run 0 kubectl scale rc inspector --replicas=5"},
		{[]string{"enter", "n", "x", "ctrl+c"}, "run 0 kubectl scale rc inspector --replicas=5; interrupt"},
		{[]string{"ctrl+c"}, ""},
		{[]string{"ctrl+c", "ctrl+c"}, "close"},
		{[]string{"n", "n", "h"}, "{Verb:next Step:0 Question:0 Choice:0}"}, // one at a time
		{[]string{"q"}, "close"},
		{[]string{"?", "n"}, ""},
		{[]string{"?", "down", "up", "enter", "n"}, "{Verb:next Step:0 Question:0 Choice:0}"},
	} {
		m, fx := opened(t, 80, 40)
		press(m, c.keys...)
		if got := fx.last(); got != c.want {
			t.Errorf("%q: %s, wanted %s", c.keys, got, c.want)
		}
	}
}

// A key that does nothing says so, or what is missing for it; and while an action runs the text can be read.
func TestNoKeyIsSilent(t *testing.T) {
	for _, size := range sizes {
		for _, key := range []string{"z", "f1", "5", "tab", "enter"} {
			m, fx := opened(t, size[0], size[1])
			s := state()
			s.Blocks = s.Blocks[:1] // nothing to run
			m.Update(stateMsg{1, s})
			before := seen(t, m)
			press(m, key)
			if fx.last() == "" && seen(t, m) == before {
				t.Errorf("%dx%d: the key %s changes nothing on the screen", size[0], size[1], key)
			}
		}
		m, fx := opened(t, size[0], size[1])
		press(m, "l")
		fx.last()
		before := seen(t, m)
		press(m, "x")
		if seen(t, m) == before {
			t.Errorf("%dx%d: x in the list changes nothing on the screen", size[0], size[1])
		}
	}
	m, fx := opened(t, 80, 24)
	press(m, "s", "y", "down", "enter")
	if got := fx.last(); strings.Contains(got, "run") || m.lab.text.cursor != 1 || !strings.Contains(seen(t, m), "please wait: solve") {
		t.Errorf("while an action runs: %q, cursor %d:\n%s", got, m.lab.text.cursor, seen(t, m))
	}
}

// Where the output takes the screen, Enter comes back from it, and runs nothing that is not seen.
func TestOneColumn(t *testing.T) {
	m, fx := opened(t, 40, 20)
	press(m, "enter")
	m.Update(ranMsg{number: 1, target: 0, step: 1})
	fx.last()
	press(m, "enter")
	if got := fx.last(); got != "" || !strings.Contains(seen(t, m), "Up to five") {
		t.Errorf("%q\n%s", got, seen(t, m))
	}
	press(m, "tab")
	if s := seen(t, m); !strings.Contains(s, "[ ] five pods run") || !strings.Contains(s, "node view-node-1") {
		t.Errorf("the checks and the map are not the second page:\n%s", s)
	}
	press(m, "?", "pgdown")
	if s := seen(t, m); !strings.Contains(s, "Ctrl+C") {
		t.Errorf("the end of the help cannot be reached:\n%s", s)
	}
}

// What comes of a lab that was left is dropped, and a lab that was opened too late is closed.
func TestMessagesOfAFormerLab(t *testing.T) {
	m, fx := opened(t, 80, 24)
	press(m, "l", "down", "enter", "ctrl+c")
	fx.last()
	m.Update(openedMsg{number: 1, lab: idle{}})
	if got := fx.last(); got != "close" || m.lab != nil {
		t.Errorf("%q, %v", got, m.lab)
	}
	m.Update(openedMsg{number: 2, lab: idle{}})
	m.Update(stateMsg{1, state()})
	m.Update(outputMsg{1, []byte("of the former\n")})
	m.Update(didMsg{number: 1, err: errors.New("of the former")})
	m.Update(ranMsg{number: 1, err: errors.New("of the former")})
	if m.lab.known || strings.Contains(seen(t, m), "of the former") {
		t.Errorf("a former lab is shown:\n%s", seen(t, m))
	}
}

// Checks turn done and are lost without a key.
func TestChecksChange(t *testing.T) {
	m, _ := opened(t, 80, 24)
	done := state()
	done.Checks[0].State = "done"
	m.Update(stateMsg{1, done})
	if s := seen(t, m); !strings.Contains(s, "[x] five pods run") || !strings.Contains(s, "All checks are done: answer the") || !strings.Contains(s, "2/2 checks") {
		t.Errorf("done:\n%s", s)
	}
	done.Blocks = done.Blocks[:3]
	m.Update(stateMsg{1, done})
	if s := strings.Join(strings.Fields(seen(t, m)), " "); !strings.Contains(s, "goes on with 2 more") || strings.Contains(s, "All done") {
		t.Errorf("done, while commands of the text are left:\n%s", seen(t, m))
	}
	for i := range 2 {
		m.Update(ranMsg{number: 1, target: i, step: 1})
	}
	if s := seen(t, m); !strings.Contains(s, "All done. n: the next step") {
		t.Errorf("done, without a question:\n%s", s)
	}
	last := done
	last.Steps = last.Steps[:2]
	m.Update(stateMsg{1, last})
	if s := seen(t, m); !strings.Contains(s, "This was the last") || strings.Contains(s, "the next step") {
		t.Errorf("the last step:\n%s", s)
	}
	lost := state()
	lost.Checks[0].State, lost.Checks[0].Reason = "lost", "4 pods run\n\x1b[2Jnot 5"
	m.Update(stateMsg{1, lost})
	if s := seen(t, m); !strings.Contains(s, "[!] five pods run") || !strings.Contains(s, "not true any more: five pods run") || !strings.Contains(s, "^[[2Jnot 5") {
		t.Errorf("lost:\n%s", s)
	}
	m.Update(stateMsg{1, done})
	if s := seen(t, m); strings.Contains(s, "not true any more") || !strings.Contains(s, "2/2 checks") {
		t.Errorf("done again:\n%s", s)
	}
}

func TestQuizAndHintsAreShownInPlace(t *testing.T) {
	m, _ := opened(t, 80, 40)
	press(m, "down", "down", "down", "enter")
	s := state()
	q := *s.Blocks[3].Question
	q.Given, q.Right, q.Explanation = 0, 1, "It has `replicas: 5`."
	s.Blocks[3].Question = &q
	s.Hints = []string{"Look at *scale*."}
	m.Update(didMsg{number: 1, action: Action{Verb: Answer}, result: Result{State: s}})
	for _, want := range []string{"(-) It stays away", "(x) The controller creates", "No. It has replicas: 5.", "Hint 1 of 2: Look at scale."} {
		if !strings.Contains(seen(t, m), want) {
			t.Errorf("%q is not shown:\n%s", want, seen(t, m))
		}
	}
}

// On a small screen all answers of a question are in sight with the first, and the verdict after the answer. What was
// answered rightly stays. Text below the screen is announced.
func TestQuestionOnASmallScreen(t *testing.T) {
	m, fx := opened(t, 80, 14)
	if s := seen(t, m); !strings.Contains(s, "more below (Space)") {
		t.Errorf("the text goes on, and nothing says so:\n%s", s)
	}
	for range 9 {
		press(m, "down")
	}
	if s := seen(t, m); !strings.Contains(s, "  ( ) It stays away") || !strings.Contains(s, "> ( ) The controller creates another") || strings.Contains(s, "more below") {
		t.Errorf("the answers:\n%s", s)
	}
	press(m, "enter")
	if got := fx.last(); !strings.Contains(got, "Verb:answer") {
		t.Error(got)
	}
	s := state()
	q := *s.Blocks[3].Question
	q.Given, q.Right, q.Explanation = 1, 1, "It has `replicas: 5`."
	s.Blocks[3].Question = &q
	m.Update(didMsg{number: 1, action: Action{Verb: Answer}, result: Result{State: s}})
	if got := seen(t, m); !strings.Contains(got, "Right. It has replicas: 5.") {
		t.Errorf("the verdict:\n%s", got)
	}
	press(m, "up", "enter")
	if got := fx.last(); got != "" || !strings.Contains(seen(t, m), "this question is answered") {
		t.Errorf("answered again: %s\n%s", got, seen(t, m))
	}
}

// What is said of a command that runs is not said any more when it has ended, and that a command shall fail is.
func TestTheEndOfACommand(t *testing.T) {
	m, _ := opened(t, 80, 40)
	s := state()
	s.Blocks[1].Commands[0].Fails = true
	m.Update(stateMsg{1, s})
	press(m, "enter", "n")
	if !strings.Contains(seen(t, m), stillRuns) {
		t.Errorf("n is possible while a command runs:\n%s", seen(t, m))
	}
	m.Update(ranMsg{number: 1, target: 0, step: 1, status: 3})
	if got := seen(t, m); strings.Contains(got, stillRuns) || !strings.Contains(got, "(exit status 3: this command shall fail)") {
		t.Errorf("after the end:\n%s", got)
	}
	m.Update(ranMsg{number: 1, target: 1, step: 1, status: 4})
	if got := seen(t, m); !strings.Contains(got, "(exit status 4)") {
		t.Errorf("a failure:\n%s", got)
	}
}

// A list that is longer than the screen says so, and what a lab requires is said in words.
func TestListBeyondTheScreen(t *testing.T) {
	list := &Model{fx: &recorder{}, width: 80, height: 12}
	list.Update(entriesMsg{entries: entries})
	if s := seen(t, list); !strings.Contains(s, "── 1 more below ──") {
		t.Errorf("the last lab is not in sight, and nothing says so:\n%s", s)
	}
	press(list, "down")
	if s := seen(t, list); !strings.Contains(s, "10 minutes; comes after workshop/inspector; needs Docker on this machine") {
		t.Errorf("what the lab requires:\n%s", s)
	}
	press(list, "down")
	if s := seen(t, list); !strings.Contains(s, "crash") || strings.Contains(s, "more below") {
		t.Errorf("the end of the list:\n%s", s)
	}
}

// An action's error is shown and leaves the view usable.
func TestErrors(t *testing.T) {
	m, fx := opened(t, 80, 24)
	press(m, "n")
	m.Update(didMsg{number: 1, err: errors.New("2 checks are to do\x1b[2J")})
	if s := seen(t, m); !strings.Contains(s, "2 checks are to do^[[2J") {
		t.Errorf("%s", s)
	}
	fx.last()
	press(m, "N")
	if got := fx.last(); !strings.Contains(got, "skip") {
		t.Errorf("%q", got)
	}
	list := &Model{fx: &recorder{}, width: 40, height: 20}
	list.Update(entriesMsg{err: errors.New("no labs found")})
	if s := seen(t, list); !strings.Contains(s, "no labs found") {
		t.Errorf("%s", s)
	}
}
