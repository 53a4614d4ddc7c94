package render_test

import (
	"strings"
	"testing"

	"github.com/charmbracelet/x/ansi"

	"wheelhouse/lab-runner/render"
)

const sample = `## One address

A service of type NodePort is reachable from outside, on a port of every node.
See **all of it** in [the source](cluster/proxy/rules.go), and *read* ` + "`kubectl get svc`" + `; 2*3*4 and snake_case_name stay.

<!-- hint: not shown -->
<!-- a comment
of two lines -->
- The *readiness probe*: while it fails, the pod gets no traffic from services.
- Another.

1. First
2. Second
   goes on

> A quote that is longer than one line of the narrow layout.

` + "```fails" + `
$ kubectl create -f inspector-svc-36000.yaml --a-long-option=with-a-value --another
>   --continued
The Service "inspector" is invalid
$ echo
` + "```" + `

| a | b |
|---|---|
`

func text(lines []render.Line) string {
	var b strings.Builder
	for _, l := range lines {
		b.WriteString(l.String() + "\n")
	}
	return b.String()
}

func TestLayout(t *testing.T) {
	const want = `One address

A service of type NodePort is reachable
from outside, on a port of every node.
See all of it in the source
(cluster/proxy/rules.go), and read
kubectl get svc; 2*3*4 and
snake_case_name stay.

- The readiness probe: while it fails,
  the pod gets no traffic from services.
- Another.

1. First
2. Second goes on

> A quote that is longer than one line of
> the narrow layout.

Each command here must end with an error:
$ kubectl create -f
  inspector-svc-36000.yaml
  --a-long-option=with-a-value --another
>   --continued
The Service "inspector" is invalid
$ echo

| a | b |
|---|---|
`
	if got := text(render.Layout(sample, 41)); got != want {
		t.Errorf("got\n%s\nwanted\n%s", got, want)
	}
}

func TestCommandsAreNumbered(t *testing.T) {
	seen := map[int]string{-1: ""}
	for _, l := range render.Layout(sample, 41) {
		if l.Command >= 0 {
			seen[l.Command] += l.String() + "|"
		}
	}
	if len(seen) != 3 || !strings.HasSuffix(seen[0], "|>   --continued|") || seen[1] != "$ echo|" {
		t.Errorf("%v", seen)
	}
}

// No line is wider than the width, whatever the text, and no text is lost but for spaces and marks.
func TestLinesFit(t *testing.T) {
	for width := 10; width < 100; width++ {
		for _, text := range []string{sample, strings.Repeat("wort日本語日本語", 30), "- " + strings.Repeat("x", 300) + " `" + strings.Repeat("y", 200) + "`", "```\n" + strings.Repeat("日本語", 99)} {
			for _, l := range render.Layout(text, width) {
				if w := ansi.StringWidth(l.String()); w > max(width, 10) {
					t.Fatalf("width %d: %d columns: %q", width, w, l.String())
				}
			}
		}
	}
	long := strings.Repeat("x", 300)
	if got := strings.ReplaceAll(text(render.Layout(long, 17)), "\n", ""); got != long {
		t.Errorf("a long word became %q", got)
	}
}

func TestMarksThatAreText(t *testing.T) {
	for _, s := range []string{"a * b * c", "f(*p)", "`open", "[x]", "a_b_c", "** x **", `C:\temp`, "2 < 3 > 1", "#hash", "-1"} {
		if got := strings.TrimSpace(text(render.Layout(s, 40))); got != s {
			t.Errorf("%q became %q", s, got)
		}
	}
	for s, want := range map[string]string{`\*a\*`: "*a*", "``a`b``": "a`b", "__x__!": "x!", "**a** *b*": "a b", "[a](a)": "a"} {
		if got := strings.TrimSpace(text(render.Layout(s, 40))); got != want {
			t.Errorf("%q became %q", s, got)
		}
	}
}

func TestInline(t *testing.T) {
	lines := render.Inline("Look at `kubectl get pod`, the *last* column\n# no heading", 20)
	if got := text(lines); got != "Look at kubectl get\npod, the last column\n# no heading\n" {
		t.Errorf("%q", got)
	}
}

func FuzzLayout(f *testing.F) {
	f.Add(sample, 20)
	f.Add("```\n\x1b]0;title\a", 1)
	f.Fuzz(func(t *testing.T, s string, width int) {
		for _, l := range render.Layout(s, width%200) {
			if line := l.String(); ansi.Strip(line) != line || strings.ContainsAny(line, "\x1b\r\n\a") {
				t.Fatalf("%q has a control character", line)
			}
		}
	})
}
