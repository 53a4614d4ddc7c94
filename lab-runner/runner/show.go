package runner

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"wheelhouse/lab-runner/catalog"
	"wheelhouse/lab-runner/render"
	"wheelhouse/lab-runner/session"
)

// printJSON prints v. JSON leaves some characters as they are that a terminal acts on: they are escaped too.
func printJSON(c *cobra.Command, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	var b strings.Builder
	for _, r := range string(text) {
		switch {
		case r < utf8.RuneSelf || render.Visible(string(r)) == string(r):
			b.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	_, err = fmt.Fprintln(c.OutOrStdout(), b.String())
	return err
}

func printJSONIf(ok bool, c *cobra.Command, v any) error {
	if !ok {
		return nil
	}
	return printJSON(c, v)
}

// options returns how to print on out: in the terminal's width and in colors, if it is one and nobody forbids them.
func (l *learner) options(out io.Writer) render.Options {
	o := render.Options{Width: 80}
	f, ok := out.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return o
	}
	if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 0 {
		o.Width = min(width, 100)
	}
	o.Color = !l.plain && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	return o
}

func (l *learner) paint(out io.Writer, code, text string) string {
	if !l.options(out).Color {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (l *learner) printText(out io.Writer, markdown string) {
	_ = render.Terminal(out, markdown, l.options(out)) // a terminal that is gone is none to tell
}

// progress returns where to print what a command runs. A program reads nothing of it.
func (l *learner) progress(c *cobra.Command) io.Writer {
	if l.json != "" {
		return io.Discard
	}
	return render.NewWriter(c.OutOrStdout())
}

// printStep prints the text of a step, and of the lab before its first.
func (l *learner) printStep(out io.Writer, lab *catalog.Lab, n int) error {
	step := &lab.Steps[n]
	var b strings.Builder
	if n == 0 {
		fmt.Fprintf(&b, "# %s\n\n%s\n\n", lab.Title, lab.Intro)
	}
	b.WriteString(step.Markdown())
	for i, q := range step.Quiz {
		fmt.Fprintf(&b, "\n**Question %d.** %s\n\n", i+1, q.Text)
		for j, a := range q.Answers {
			fmt.Fprintf(&b, "%d. %s\n", j+1, a)
		}
	}
	return render.Terminal(out, b.String(), l.options(out))
}

// show prints where the learner is: the step's text and what to do.
func (l *learner) show(c *cobra.Command, s *session.Session, started bool) error {
	v, err := s.View()
	if err != nil {
		return err
	}
	if l.json != "" {
		return printJSON(c, v)
	}
	out := c.OutOrStdout()
	if err := l.printStep(out, s.Lab(), v.Step); err != nil {
		return err
	}
	fmt.Fprintln(out)
	fmt.Fprintf(out, "%s, step %d of %d.", v.Lab, v.Step+1, len(v.Steps))
	switch {
	case os.Getenv("WHEELHOUSE_LAB_DIR") == s.Dir():
		fmt.Fprintln(out, " Type the commands here; 'lab check' looks at your work.")
	case started:
		fmt.Fprintf(out, " Open the lab's shell, in which everything is set:\n\n  %s shell\n", l.called())
	case len(s.Lab().Steps[v.Step].Quiz) > 0:
		fmt.Fprintf(out, " '%s answer NUMBER' answers the question.\n", l.called())
	default:
		fmt.Fprintf(out, " '%s check' looks at your work.\n", l.called())
	}
	return nil
}

// printChecks prints the state of the step's checks, what is to do, and what to type next.
func (l *learner) printChecks(out io.Writer, v session.View, watching bool) {
	fmt.Fprintf(out, "%s\n", l.paint(out, "1", fmt.Sprintf("%s, step %d of %d: %s", v.Lab, v.Step+1, len(v.Steps), render.Visible(v.Steps[v.Step].Title))))
	todo := 0
	for _, c := range v.Checks {
		switch c.State {
		case session.Done:
			fmt.Fprintf(out, "  %s  %s (at %s)\n", l.paint(out, "32", "done "), render.Visible(c.Name), c.Done.Local().Format("15:04"))
		case session.Lost:
			todo++
			fmt.Fprintf(out, "  %s  %s: was done at %s, and is not any more since %s\n", l.paint(out, "33", "again"), render.Visible(c.Name), c.Done.Local().Format("15:04"), c.Lost.Local().Format("15:04"))
		default:
			todo++
			fmt.Fprintf(out, "  to do  %s\n", render.Visible(c.Name))
		}
		printReason(out, c.Reason)
	}
	for i, q := range v.Quiz {
		if q.Right {
			fmt.Fprintf(out, "  %s  question %d\n", l.paint(out, "32", "done "), i+1)
			continue
		}
		todo++
		fmt.Fprint(out, l.words(fmt.Sprintf("  to do  question %d: 'lab answer %d NUMBER'; 'lab text' shows it\n", i+1, i+1)))
	}
	if watching {
		return
	}
	switch state := v.Steps[v.Step].State; {
	case todo > 0:
		fmt.Fprintln(out, l.words("'lab hint' helps, 'lab text' shows the step again."))
	case v.Step+1 == len(v.Steps):
		fmt.Fprintf(out, l.words("The last step is %s: the lab is finished. 'lab list' shows the labs.\n"), said(state))
	default:
		fmt.Fprintf(out, l.words("The step is %s. 'lab next' shows the next one.\n"), said(state))
	}
}

func said(state string) string {
	if state == session.Solved {
		return "solved for you"
	}
	return "done"
}

func printReason(out io.Writer, r *session.Reason) {
	if r == nil {
		return
	}
	row := func(name, text string) {
		if text != "" {
			text = render.Visible(strings.TrimSpace(text))
			fmt.Fprintf(out, "         %-8s%s\n", name, strings.ReplaceAll(text, "\n", "\n                 "))
		}
	}
	row("wanted:", r.Wanted)
	row("seen:", r.Seen)
	row("event:", r.Event)
	row("note:", r.Elsewhere)
	row("try:", r.Try)
}

func (l *learner) answer() *cobra.Command {
	return &cobra.Command{
		Use: "answer [QUESTION] NUMBER", Short: "answer a question of the step", Args: cobra.RangeArgs(1, 2),
		RunE: func(c *cobra.Command, args []string) error {
			numbers := []int{1}
			for _, a := range args {
				n, err := strconv.Atoi(a)
				if err != nil {
					return fmt.Errorf("%q is not a number", a)
				}
				numbers = append(numbers, n)
			}
			question, answer := numbers[len(numbers)-2], numbers[len(numbers)-1]
			s, err := l.offline(nil)
			if err != nil {
				return err
			}
			right, explanation, err := s.Answer(question-1, answer-1)
			if err != nil {
				return err
			}
			if l.json != "" {
				return printJSON(c, map[string]any{"right": right, "explanation": explanation})
			}
			if !right {
				fmt.Fprintln(c.OutOrStdout(), l.words("No. Read the step again ('lab text'), and try another answer."))
				return nil
			}
			l.printText(c.OutOrStdout(), "Yes. "+explanation)
			return nil
		},
	}
}

func (l *learner) status() *cobra.Command {
	return &cobra.Command{
		Use: "status [LAB]", Short: "show what is done", Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, names []string) error {
			out := c.OutOrStdout()
			if l.json == "" {
				defer printClass(out)
			}
			s, err := l.offline(names)
			if err != nil {
				return err
			}
			v, err := s.View()
			if err != nil {
				return err
			}
			if l.json != "" {
				return printJSON(c, v)
			}
			fmt.Fprintf(out, "%s: %s\n", v.Lab, render.Visible(v.Title))
			w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
			for i, step := range v.Steps {
				mark, when := " ", ""
				if i == v.Step {
					mark = ">"
				}
				if !step.Done.IsZero() {
					when = step.Done.Local().Format(time.DateTime)
				}
				fmt.Fprintf(w, "%s %s\t%s\t%s\n", mark, step.Name, strings.Replace(step.State, "todo", "to do", 1), when)
			}
			return w.Flush()
		},
	}
}

// program returns the words that run these commands from another directory and in another environment.
func (s *settings) program() []string {
	exe, err := os.Executable()
	if err != nil {
		return nil
	}
	words := []string{exe}
	if filepath.Base(exe) != "lab" {
		words = append(words, "lab")
	}
	if root, err := catalog.Root(s.root); err == nil {
		words = append(words, "--labs", root)
	}
	return words
}
