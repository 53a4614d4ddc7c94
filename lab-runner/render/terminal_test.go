package render_test

import (
	"errors"
	"strings"
	"testing"

	"wheelhouse/lab-runner/render"
)

func TestTerminal(t *testing.T) {
	var plain, colored strings.Builder
	for b, color := range map[*strings.Builder]bool{&plain: false, &colored: true} {
		if err := render.Terminal(b, "# Two words\n\nRun `ls` \x1b[2J.\n", render.Options{Color: color}); err != nil {
			t.Fatal(err)
		}
	}
	if want := "Two words\n---------\n\nRun ls ^[[2J.\n"; plain.String() != want {
		t.Errorf("%q, wanted %q", plain.String(), want)
	}
	if want := "\x1b[1mTwo words\x1b[m\n\nRun \x1b[36mls\x1b[m ^[[2J.\n"; colored.String() != want {
		t.Errorf("%q, wanted %q", colored.String(), want)
	}
}

// A command that is wider than the terminal is one line: it is what a learner copies.
func TestCommandsStayWhole(t *testing.T) {
	command := "$ curl -s -m 2 http://$(kubectl get service shop -o jsonpath={.spec.clusterIP})/"
	var out strings.Builder
	if err := render.Terminal(&out, "Ask the service, as often as you like.\n\n```\n"+command+"\n```\n", render.Options{Width: 30}); err != nil {
		t.Fatal(err)
	}
	if want := "Ask the service, as often as\nyou like.\n\n" + command + "\n"; out.String() != want {
		t.Errorf("%q, wanted %q", out.String(), want)
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("full") }

func TestTerminalReturnsTheErrorOfWriting(t *testing.T) {
	if render.Terminal(full{}, "text", render.Options{}) == nil {
		t.Error("no error")
	}
}
