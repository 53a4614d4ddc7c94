package script

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	text := strings.Join([]string{
		"# A lab", "", "Prose with `$ not a command`.", "", "## First step",
		"```sh", "$ echo one \\", "> two", "one two", "$ echo three", "> is output here? no: it goes on", "```",
		"<!-- check: it prints -->", "$ not in a block", "## Second step",
		"```sh fails", "$ false", "```", "~~~", "$ tail -f x", "line", "^C", "~~~",
	}, "\n")
	got, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	want := []Item{
		{Kind: Heading, Line: 5, Text: "First step"},
		{Kind: Command, Line: 7, Text: "echo one \\\ntwo"},
		{Kind: Command, Line: 10, Text: "echo three\nis output here? no: it goes on"},
		{Kind: Check, Line: 13, Text: "it prints"},
		{Kind: Heading, Line: 15, Text: "Second step"},
		{Kind: Command, Line: 17, Text: "false", Fails: true},
		{Kind: Command, Line: 20, Text: "tail -f x", Interrupt: true},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	for _, bad := range []string{"", "only prose", "```\n$ echo open\n"} {
		if _, err := Parse(bad); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

func shell(t *testing.T) (*Shell, string) {
	t.Helper()
	dir := t.TempDir()
	s, err := Start(t.Context(), dir, []string{"PATH=" + os.Getenv("PATH"), "GIVEN=yes"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s, dir
}

func TestShellKeepsItsStateAsALearnersDoes(t *testing.T) {
	s, dir := shell(t)
	cases := []struct {
		command, out string
		status       int
	}{
		{`export A="$GIVEN"`, "", 0},
		{`echo "$A"; pwd`, "yes\n" + dir + "\n", 0},
		{"false", "", 1},
		{"(exit 7)", "", 7},
		{"printf 'no end of line'", "no end of line", 0},
		{"echo error >&2", "error\n", 0},
		{"cat", "", 0},
		{"cat <<E\na $A\nE", "a yes\n", 0},
		{"mkdir sub; cd sub", "", 0},
		{"basename $PWD # a comment", "sub\n", 0},
		{"nosuchcommand 2>/dev/null", "", 127},
	}
	for _, c := range cases {
		var out bytes.Buffer
		status, err := s.Run(t.Context(), Item{Text: c.command}, &out)
		if err != nil || status != c.status || out.String() != c.out {
			t.Errorf("%s: %d %q %v, wanted %d %q", c.command, status, out.String(), err, c.status, c.out)
		}
	}
}

func TestInterruptedCommandLeavesTheShell(t *testing.T) {
	s, _ := shell(t)
	var out bytes.Buffer
	status, err := s.Run(t.Context(), Item{Text: "echo started; tail -f /dev/null", Interrupt: true}, &out)
	if err != nil || status != 0 || !strings.HasPrefix(out.String(), "started\n") {
		t.Fatalf("%d %q %v", status, out.String(), err)
	}
	out.Reset()
	if status, err = s.Run(t.Context(), Item{Text: "echo on"}, &out); err != nil || status != 0 || out.String() != "on\n" {
		t.Fatalf("after it: %d %q %v", status, out.String(), err)
	}
}

func TestCommandThatHangsOrExits(t *testing.T) {
	s, dir := shell(t)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	file := filepath.Join(dir, "late")
	if _, err := s.Run(ctx, Item{Text: "sleep 2 && touch " + file}, &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), "did not end") {
		t.Errorf("hanging: %v", err)
	}
	if _, err := s.Run(t.Context(), Item{Text: "echo on"}, &bytes.Buffer{}); err == nil {
		t.Error("the shell goes on after a command that was killed")
	}
	other, _ := shell(t)
	if _, err := other.Run(t.Context(), Item{Text: "exit 3"}, &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), "has ended") {
		t.Errorf("exit: %v", err)
	}
}

// A command cannot write to the terminal beside the output that is read.
func TestTheShellHasNoTerminal(t *testing.T) {
	s, _ := shell(t)
	var out bytes.Buffer
	if _, err := s.Run(t.Context(), Item{Text: "read -r stat < /proc/$$/stat; rest=${stat##*) }; set -- $rest; echo $$ $4 $5"}, &out); err != nil {
		t.Fatal(err)
	}
	f := strings.Fields(out.String())
	if len(f) != 3 || f[1] != f[0] || f[2] != "0" {
		t.Errorf("process, session, terminal: %q, want a session of its own without a terminal", out.String())
	}
}
