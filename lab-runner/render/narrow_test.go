package render_test

import (
	"slices"
	"strings"
	"testing"

	"wheelhouse/lab-runner/render"
)

// A table that is a little too wide loses spaces between its columns, not the line of its rows.
func TestNarrow(t *testing.T) {
	pods := []string{
		"NAME                     READY   STATUS    RESTARTS   AGE",
		"hello-6d4f9c5b7d-2xk8p   1/1     Running   0          12s",
		"hello-6d4f9c5b7d-9fj3k   0/1     Pending   0          2s",
	}
	two := []string{
		"NAME                    READY  STATUS   RESTARTS  AGE",
		"hello-6d4f9c5b7d-2xk8p  1/1    Running  0         12s",
		"hello-6d4f9c5b7d-9fj3k  0/1    Pending  0         2s",
	}
	one := []string{
		"NAME                   READY STATUS  RESTARTS AGE",
		"hello-6d4f9c5b7d-2xk8p 1/1   Running 0        12s",
		"hello-6d4f9c5b7d-9fj3k 0/1   Pending 0        2s",
	}
	for _, c := range []struct {
		width       int
		lines, want []string
	}{
		{57, pods, pods},
		{56, pods, two},
		{53, pods, two},
		{52, pods, one},
		{49, pods, one},
		{48, pods, two}, // it is divided anyway: then the columns stay apart
		{20, []string{"    indented:     as it is", "    more:         too"}, []string{"    indented:  as it is", "    more:      too"}},
		{10, []string{"über        lang", "a           b"}, []string{"über        lang", "a           b"}},
		{10, []string{"a           b", "", "a one-line message with   spaces"}, []string{"a  b", "", "a one-line message with  spaces"}},
		{10, nil, nil},
	} {
		if got := render.Narrow(c.lines, c.width); !slices.Equal(got, c.want) {
			t.Errorf("width %d:\n%s\nwanted\n%s", c.width, strings.Join(got, "\n"), strings.Join(c.want, "\n"))
		}
	}
}

// Example output in a text is narrowed likewise; commands between two outputs separate them.
func TestLayoutNarrowsOutput(t *testing.T) {
	const src = "```\n$ kubectl get pod\nNAME       READY   STATUS    RESTARTS   AGE\ninfluxdb   1/1     Running   0          2s\n$ true      x\n```\n"
	const want = "$ kubectl get pod\nNAME      READY  STATUS   RESTARTS  AGE\ninfluxdb  1/1    Running  0         2s\n$ true      x\n"
	if got := text(render.Layout(src, 42)); got != want {
		t.Errorf("got\n%s\nwanted\n%s", got, want)
	}
}
