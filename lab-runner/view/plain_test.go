package view

import (
	"context"
	"errors"
	"io"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"wheelhouse/cluster/wait"
	"wheelhouse/lab-runner/clustermap"
	"wheelhouse/lab-runner/script"
)

// shelf has one lab, of which the state changes when its command runs.
type shelf struct {
	lock    sync.Mutex
	state   State
	changed func(State)
	did     []string
}

func (s *shelf) Entries() ([]Entry, error) { return entries, nil }

func (s *shelf) Open(_ context.Context, id string, out io.Writer) (Lab, error) {
	if id != "workshop/inspector" {
		return nil, errors.New("the cluster has no \x1b[2Jnodes")
	}
	_, err := io.WriteString(out, "set up\n")
	return s, err
}

func (s *shelf) Watch(ctx context.Context, changed func(State), _ func(clustermap.Change)) error {
	s.lock.Lock()
	s.changed = changed
	changed(s.state)
	s.lock.Unlock()
	<-ctx.Done()
	return nil
}

func (s *shelf) Do(_ context.Context, a Action, _ io.Writer) (Result, error) {
	s.lock.Lock()
	defer s.lock.Unlock()
	s.did = append(s.did, string(a.Verb))
	switch a.Verb {
	case Next:
		return Result{}, errors.New("still to do: five pods run")
	case Hint:
		s.state.Hints = []string{"look at the scale"}
	case Answer:
		q := *s.state.Blocks[3].Question
		q.Given, q.Right, q.Explanation = a.Choice, 1, "It keeps the number."
		s.state.Blocks[3].Question = &q
	}
	return Result{State: s.state, Text: ""}, nil
}

func (s *shelf) Run(_ context.Context, c script.Item, out io.Writer) (int, error) {
	s.lock.Lock()
	defer s.lock.Unlock()
	s.state.Checks = []CheckState{{Name: "five pods run", State: "done"}, {Name: "the pods run on two nodes", State: "done"}}
	s.changed(s.state)
	_, err := io.WriteString(out, "scaled \x1b[31m"+c.Text[:7]+"\n")
	return 0, err
}

func (s *shelf) Interrupt()                {}
func (s *shelf) Shell() (*exec.Cmd, error) { return exec.Command("true"), nil }
func (s *shelf) Close()                    {}

// A learner works line by line, and reads the checks as they change.
func TestPlain(t *testing.T) {
	in, typed := io.Pipe()
	out := &wait.Output{}
	s := &shelf{state: state()}
	ended := make(chan error, 1)
	go func() {
		ended <- Plain(t.Context(), Config{Library: s, Input: in, Output: out})
	}()
	for _, c := range []struct{ line, want string }{
		{"", "Step 2 of 5: Up to five"},
		{"help", "bring back the state"},
		{"\n", "scaled ^[[31mkubectl"},
		{"", "check done: five pods run\nAll checks of this step are done. A question is still"},
		{"next\n", "error: still to do: five pods run"},
		{"hint\n", "Hint: look at the scale"},
		{"answer 1 1\n", "No. Try another answer."},
		{"answer 1 2\n", "Right. It keeps the number.\nAll checks are done. The text goes on with 1 more command."},
		{"\n", "All of this step is done. \"next\" goes on."},
		{"answer 1 1\n", "error: this question is answered already"},
		{"goto 9\n", "error: there are the steps 1 to 5"},
		{"run 7\n", "no further command"},
		{"shell\n", ""},
		{"dance\n", "no command \"dance\""},
		{"open 2\n", "error: the cluster has no ^[[2Jnodes"},
		{"hint\n", "no lab is open"},
	} {
		if c.line != "" {
			if _, err := io.WriteString(typed, strings.TrimSuffix(c.line, "\n")+"\n"); err != nil {
				t.Fatal(err)
			}
		}
		wait.For(t, c.want, func() error { return wait.Seen(strings.Contains(out.String(), c.want), out.String()) })
	}
	if _, err := io.WriteString(typed, "quit\n"); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil || strings.Contains(out.String(), "\x1b") {
		t.Errorf("%v\n%q", err, out.String())
	}
}
