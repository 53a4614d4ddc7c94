package steps

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	messages "github.com/cucumber/messages/go/v21"
)

// output waits until the command's output is as wanted. failing says which end is wanted.
func (w *World) output(ctx context.Context, line, text string, failing bool, ok func(out string) bool) error {
	end := "prints"
	if failing {
		end = "fails with"
	}
	judge := func(out string, status int) (seen string, met bool) {
		seen = strings.TrimSpace(out)
		if seen == "" {
			seen = "nothing printed"
		}
		return fmt.Sprintf("%s\n(exit status %d)", seen, status), (status != 0) == failing && ok(out)
	}
	return w.eventually(ctx, condition{
		text: fmt.Sprintf("`%s` %s %s", line, end, text), try: "run the command by hand: " + line, object: objectOf(line),
		probe: func(ctx context.Context) (string, bool, error) {
			out, status, err := w.command(ctx, line)
			if err != nil {
				return "", false, err
			}
			seen, met := judge(out, status)
			return seen, met, nil
		},
		quick: func(ctx context.Context) (seen string, met, known bool) {
			out, status, known := w.kubectlGet(ctx, line)
			seen, met = judge(out, status)
			return seen, met, known
		},
	})
}

func (w *World) prints(ctx context.Context, line, text string) error {
	return w.output(ctx, line, fmt.Sprintf("%q", text), false, func(out string) bool { return strings.Contains(out, text) })
}

// printsAll waits until the output has each line of the text, in that order; runs of spaces
// are equal.
func (w *World) printsAll(ctx context.Context, line string, text *messages.PickleDocString) error {
	return w.output(ctx, line, "\n"+text.Content, false, func(out string) bool { return inOrder(out, text.Content) })
}

func inOrder(out, lines string) bool {
	got := strings.Split(out, "\n")
	for line := range strings.Lines(lines) {
		wanted := collapseSpace(line)
		if wanted == "" {
			continue
		}
		i := 0
		for i < len(got) && !strings.Contains(collapseSpace(got[i]), wanted) {
			i++
		}
		if i == len(got) {
			return false
		}
		got = got[i+1:]
	}
	return true
}

func collapseSpace(s string) string { return strings.Join(strings.Fields(s), " ") }

func (w *World) printsLine(ctx context.Context, line, pattern string) error {
	re, err := regexp.Compile("(?m)" + pattern)
	if err != nil {
		return err
	}
	return w.output(ctx, line, "a line like "+pattern, false, re.MatchString)
}

func (w *World) printsColumns(ctx context.Context, line, columns string) error {
	return w.output(ctx, line, "the columns "+columns, false, func(out string) bool {
		header, _, _ := strings.Cut(out, "\n")
		return collapseSpace(header) == collapseSpace(columns)
	})
}

func (w *World) printsNothing(ctx context.Context, line string) error {
	return w.output(ctx, line, "nothing", false, func(out string) bool { return strings.TrimSpace(out) == "" })
}

func (w *World) failsWith(ctx context.Context, line, text string) error {
	return w.output(ctx, line, fmt.Sprintf("%q", text), true, func(out string) bool { return strings.Contains(out, text) })
}

func (w *World) podPrints(ctx context.Context, pod, line, text string) error {
	return w.prints(ctx, fmt.Sprintf("kubectl exec %s -- sh -c %s", pod, quote(line)), text)
}

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// succeeds runs the command once: it is for commands that are not idempotent.
func (w *World) succeeds(ctx context.Context, line string) error {
	out, status, err := w.command(ctx, line)
	if err != nil {
		return err
	}
	if status != 0 {
		return fmt.Errorf("`%s` ends with exit status %d:\n%s", line, status, out)
	}
	return nil
}

func (w *World) apply(ctx context.Context, text *messages.PickleDocString) error {
	return w.succeeds(ctx, "kubectl create -f - <<'OBJECTS'\n"+text.Content+"\nOBJECTS")
}
