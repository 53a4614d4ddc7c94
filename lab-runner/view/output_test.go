package view

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

// Whatever a lab, a command or the cluster say: the only escape sequences are the view's colors.
func TestNoEscapeSequenceReachesTheTerminal(t *testing.T) {
	const evil = "\x1b[2J\x1b]0;t\a\u009b1m\u202e\r\x7f"
	m, _ := opened(t, 80, 40)
	s := state()
	s.ID, s.Namespace, s.Hints = "a/"+evil, evil, []string{evil}
	s.Steps[1].Title = evil
	s.Blocks = []Block{{Markdown: evil + "\n```" + evil + "\n$ " + evil + "\n" + evil + "\n```\n"}, {Question: &Question{Text: evil, Answers: []string{evil}, Explanation: evil}}}
	s.Checks = []CheckState{{Name: evil, State: "lost", Reason: evil}}
	m.Update(stateMsg{1, s})
	m.Update(didMsg{number: 1, result: Result{State: s, Text: evil}})
	m.Update(outputMsg{1, []byte(evil + "\n" + evil)})
	m.Update(ranMsg{number: 1, err: errors.New(evil)})
	screens := []string{m.View().Content}
	press(m, "g")
	screens = append(screens, m.View().Content)
	press(m, "esc", "l")
	m.Update(entriesMsg{entries: []Entry{{ID: evil + "/" + evil, Title: evil, About: evil, Requires: []string{evil}}}, err: nil})
	screens = append(screens, m.View().Content)
	m.Update(entriesMsg{err: errors.New(evil)})
	screens = append(screens, m.View().Content)
	for _, screen := range screens {
		rest := screen
		for _, code := range []string{bold, faint, reverse, green, red, yellow, cyan, boldCyan, "3", ""} {
			rest = strings.ReplaceAll(rest, "\x1b["+code+"m", "")
		}
		if i := strings.IndexAny(rest, "\x1b\r\a\x7f\u009b\u202e"); i >= 0 {
			t.Errorf("%q reaches the terminal", rest[max(0, i-20):min(len(rest), i+20)])
		}
	}
}

// The output that is kept is bounded in lines and bytes.
func TestOutputIsBounded(t *testing.T) {
	var o output
	for range 3 {
		o.write([]byte(strings.Repeat("x", 1e6)))
		o.write([]byte(strings.Repeat("y\n", 3*linesKept)))
	}
	size := len(o.open)
	for _, l := range o.lines {
		size += len(l.text)
	}
	if len(o.lines) > linesKept || size > linesKept*(lineBytes+8) {
		t.Errorf("%d lines, %d bytes", len(o.lines), size)
	}
	o.up = 1e6
	rows, _ := o.rows(10, 5)
	if len(rows) != 5 || !slices.Equal(rows[0], row{{plain, "y"}}) {
		t.Errorf("%v", rows)
	}
}

// Output of which the beginning is not in sight says so, and how to see it.
func TestOutputAboveIsAnnounced(t *testing.T) {
	m, _ := opened(t, 80, 24)
	press(m, "enter")
	m.Update(outputMsg{1, []byte(strings.Repeat("a line\n", 3))})
	m.Update(ranMsg{number: 1, target: 0, step: 1})
	if s := seen(t, m); strings.Contains(s, "more above") {
		t.Errorf("all is in sight:\n%s", s)
	}
	m.Update(outputMsg{1, []byte("another\n" + strings.Repeat("a line\n", 12))})
	if s := seen(t, m); !strings.Contains(s, "output, more above (Tab, then Up)") {
		t.Errorf("output above the screen is not announced:\n%s", s)
	}
	press(m, "tab", "up", "up", "up", "up", "up", "up", "up", "up", "up", "up", "up", "up")
	if s := seen(t, m); !strings.Contains(s, "another") || !strings.Contains(s, "(arrow keys scroll)") {
		t.Errorf("the output cannot be scrolled:\n%s", s)
	}
}

// Output that is wider than its pane is continued at a space, indented, so that no word is cut that fits.
func TestOutputKeepsWordsWhole(t *testing.T) {
	var o output
	o.write([]byte("NAME        READY   STATUS    RESTARTS   AGE\nerror: unable to recognize inspector-rc.yaml\nabcdefghijklmnopqrstuvwxyz0123456789\n  fits in the width 24\n$ x longer-than-two-thirds\n"))
	var got []string
	rows, above := o.rows(24, 20)
	if _, more := o.rows(24, 3); above || !more {
		t.Errorf("of all rows %v is said to be above, of three %v", above, more)
	}
	for _, r := range rows {
		got = append(got, r[0].text)
	}
	want := []string{"NAME        READY", "  STATUS    RESTARTS", "  AGE", "error: unable to", "  recognize", "  inspector-rc.yaml", "abcdefghijklmnopqrstuv", "  wxyz0123456789", "  fits in the width 24", "$ x", "  longer-than-two-thirds"}
	if !slices.Equal(got, want) {
		t.Errorf("%q\nwanted\n%q", got, want)
	}
}

// A table that is wider than the text is shown as it was printed, across the screen, until the next command.
func TestWideOutputIsAcrossTheScreen(t *testing.T) {
	const header = "NAME                     READY   STATUS    RESTARTS   AGE   NODE"
	const pod = "hello-6d4f9c5b7d-2xk8p   1/1     Running   0          12s   view-node-1"
	m, _ := opened(t, 80, 24)
	press(m, "enter")
	m.Update(outputMsg{1, []byte(header + "\n" + pod)})
	s := seen(t, m)
	if !strings.Contains(s, "\n"+header+"\n"+pod+"\n") || !strings.Contains(s, "│ [ ] five pods run") {
		t.Errorf("the table is not whole, or the checks are not beside the text:\n%s", s)
	}
	m.Update(outputMsg{1, []byte("   10.1.2.3\n")})
	if s := seen(t, m); !strings.Contains(s, "\nhello-6d4f9c5b7d-2xk8p  1/1    Running  0         12s  view-node-1  10.1.2.3\n") {
		t.Errorf("columns that are too far apart are not moved together:\n%s", s)
	}
	m.Update(ranMsg{number: 1, target: 0, step: 1})
	press(m, "enter")
	m.Update(outputMsg{1, []byte("narrow\n")})
	if s := seen(t, m); !strings.Contains(s, "\nnarrow                                        │") {
		t.Errorf("narrow output is not below the text:\n%s", s)
	}
}

// Where the cursor is, the mark of a command that has run stays.
func TestCursorLeavesTheMark(t *testing.T) {
	m, _ := opened(t, 80, 24)
	for _, c := range []struct {
		status int
		want   string
	}{{0, "\n>v$ kubectl scale"}, {1, "\n>!$ kubectl scale"}} {
		press(m, "enter")
		m.Update(ranMsg{number: 1, target: 0, step: 1, status: c.status})
		press(m, "up", "up")
		if s := seen(t, m); !strings.Contains(s, c.want) {
			t.Errorf("exit status %d, wanted %q:\n%s", c.status, c.want, s)
		}
	}
}
