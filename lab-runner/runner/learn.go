package runner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"wheelhouse/lab-runner/catalog"
	"wheelhouse/lab-runner/environment"
	"wheelhouse/lab-runner/session"
)

// learner is what the commands of a learner have in common.
type learner struct {
	*settings
	json  string // --output
	plain bool
	skip  bool
}

// commands returns the commands of a learner.
func (s *settings) learn() []*cobra.Command {
	l := &learner{settings: s}
	all := []*cobra.Command{l.start(), l.text(), l.check(), l.hint(), l.answer(), l.solve(), l.reset(), l.goTo(), l.next(), l.status(), l.shell(), l.stop(), l.doctor()}
	for _, c := range all {
		c.Flags().StringVar(&l.json, "output", "", "json: print what a program can read")
		c.Flags().StringVar(&s.dir, "dir", "", "where the lab's files are (default: where it was started, else ~/wheelhouse-labs/LAB)")
		c.Flags().BoolVar(&l.plain, "plain", false, "no colors, and lines as they are: for screen readers and pipes")
	}
	return all
}

// store returns the progress file. A broken one is reported once.
func (s *settings) store() (*session.Store, error) {
	path, err := session.StorePath()
	if err != nil {
		return nil, err
	}
	store := session.NewStore(path, func(text string) { fmt.Fprintln(s.warnings(), "warning: "+text) })
	store.Noted = s.note()
	return store, nil
}

// CurrentNamespace returns the namespace of the lab that the learner started last, or "".
func CurrentNamespace() string {
	s := &settings{warnings: func() io.Writer { return io.Discard }}
	store, err := s.store()
	if err != nil {
		return ""
	}
	lab, _, err := (&learner{settings: s}).find(nil, store)
	if err != nil {
		return ""
	}
	if cluster, err := environment.Open(os.Getenv("KUBECONFIG")); err == nil {
		_ = cluster.Share(context.Background(), lab) // else it is the lab's own
	}
	return lab.Namespace
}

// find returns the lab that is named, or that was started last, and the index of the step that is named, or -1.
func (l *learner) find(names []string, store *session.Store) (*catalog.Lab, int, error) {
	labs, err := l.pick(nil)
	if err != nil {
		return nil, 0, err
	}
	p, err := store.Progress()
	if err != nil {
		return nil, 0, err
	}
	if len(names) == 0 {
		if p.Current == "" {
			return nil, 0, errors.New("no lab is started: 'lab list' shows them, 'lab start LAB' starts one")
		}
		return catalog.Find(labs, p.Current)
	}
	lab, step, err := catalog.Find(labs, names[0])
	if err == nil || p.Current == "" {
		return lab, step, err
	}
	// A step of the current lab.
	if current, _, noCurrent := catalog.Find(labs, p.Current); noCurrent == nil {
		if i, noStep := current.StepIndex(names[0]); noStep == nil {
			return current, i, nil
		}
	}
	return lab, step, err
}

// open returns the session of the named lab, which needs the cluster.
func (l *learner) open(c *cobra.Command, names []string) (*session.Session, int, error) {
	if l.json != "" && l.json != "json" {
		return nil, 0, fmt.Errorf("--output %s is not supported: use --output json", l.json)
	}
	store, err := l.store()
	if err != nil {
		return nil, 0, err
	}
	lab, step, err := l.find(names, store)
	if err != nil {
		return nil, 0, err
	}
	cluster, err := l.connect(c.Context(), lab)
	if err != nil {
		return nil, 0, err
	}
	dir, err := l.place()
	if err != nil {
		return nil, 0, err
	}
	s, err := session.Open(session.Config{Lab: lab, Cluster: cluster, Store: store, Dir: dir, Program: l.program()})
	if err != nil {
		return nil, 0, err
	}
	return s, step, l.trusted(s.Dir())
}

func (l *learner) start() *cobra.Command {
	return &cobra.Command{
		Use: "start LAB", Short: "set a lab up, and show the step where you are", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, names []string) error {
			s, step, err := l.open(c, names)
			if err != nil {
				return err
			}
			defer s.Close()
			if err := s.Start(c.Context(), l.progress(c)); err != nil {
				return err
			}
			if step >= 0 {
				if err := s.Goto(c.Context(), step, l.progress(c)); err != nil {
					return err
				}
			}
			return l.show(c, s, true)
		},
	}
}

func (l *learner) text() *cobra.Command {
	return &cobra.Command{
		Use: "text [LAB[/STEP]]", Short: "show the text of the step", Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, names []string) error {
			store, err := l.store()
			if err != nil {
				return err
			}
			lab, step, err := l.find(names, store)
			if err != nil {
				return err
			}
			s, err := session.Open(session.Config{Lab: lab, Store: store, Dir: l.dir})
			if err != nil {
				return err
			}
			if step < 0 {
				if step, _, err = s.Step(); err != nil {
					return err
				}
			}
			if l.json != "" {
				return printJSON(c, &lab.Steps[step].Step)
			}
			return l.printStep(c.OutOrStdout(), lab, step)
		},
	}
}

func (l *learner) check() *cobra.Command {
	var patience time.Duration
	var watch bool
	c := &cobra.Command{
		Use: "check [LAB]", Short: "look at what the step is to achieve", Args: cobra.MaximumNArgs(1),
		Long: "Check evaluates the checks of the current step. What is not done yet is to do; a second look also says why.",
		RunE: func(c *cobra.Command, names []string) error {
			s, _, err := l.open(c, names)
			if err != nil {
				return err
			}
			if watch {
				return s.Watch(c.Context(), func(v session.View) { l.printChecks(c.OutOrStdout(), v, true) }, nil)
			}
			v, err := s.Check(c.Context(), session.Look{Patience: patience, Asked: true})
			if err != nil {
				return err
			}
			if l.json != "" {
				return printJSON(c, v)
			}
			l.printChecks(c.OutOrStdout(), v, false)
			return nil
		},
	}
	c.Flags().DurationVar(&patience, "patience", 2*time.Second, "how long a check waits for its condition")
	c.Flags().BoolVar(&watch, "watch", false, "go on, and print each change as it happens; Ctrl-C ends it")
	return c
}

func (l *learner) hint() *cobra.Command {
	return &cobra.Command{
		Use: "hint [LAB]", Short: "show one more hint for the step", Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, names []string) error {
			s, err := l.offline(names)
			if err != nil {
				return err
			}
			text, ok, err := s.Hint()
			if err != nil {
				return err
			}
			v, err := s.View()
			if err != nil || l.json != "" {
				return errors.Join(err, printJSONIf(err == nil, c, v))
			}
			if !ok {
				for _, h := range v.Hints {
					l.printText(c.OutOrStdout(), "- "+h)
				}
				fmt.Fprintln(c.OutOrStdout(), l.words("There is no other hint. 'lab solve' does the step for you."))
				return nil
			}
			l.printText(c.OutOrStdout(), text)
			fmt.Fprintf(c.OutOrStdout(), "(hint %d of %d)\n", len(v.Hints), len(v.Hints)+v.HintsLeft)
			return nil
		},
	}
}

// offline returns the session of the named lab for what needs no cluster.
func (l *learner) offline(names []string) (*session.Session, error) {
	store, err := l.store()
	if err != nil {
		return nil, err
	}
	lab, _, err := l.find(names, store)
	if err != nil {
		return nil, err
	}
	return session.Open(session.Config{Lab: lab, Store: store, Dir: l.dir})
}

func (l *learner) solve() *cobra.Command {
	return &cobra.Command{
		Use: "solve [LAB]", Short: "do the step for me", Args: cobra.MaximumNArgs(1),
		Long: "Solve does the current step by its solution, and notes it as solved, not as done by yourself.",
		RunE: func(c *cobra.Command, names []string) error {
			return l.build(c, names, func(s *session.Session, _ int, out io.Writer) error { return s.Solve(c.Context(), out) })
		},
	}
}

func (l *learner) reset() *cobra.Command {
	return &cobra.Command{
		Use: "reset [LAB]", Short: "go back to the state before the step", Args: cobra.MaximumNArgs(1),
		Long: "Reset removes the lab's objects, and does the steps before the current one again. Your own files are moved to .kept.",
		RunE: func(c *cobra.Command, names []string) error {
			return l.build(c, names, func(s *session.Session, _ int, out io.Writer) error { return s.Reset(c.Context(), out) })
		},
	}
}

func (l *learner) goTo() *cobra.Command {
	return &cobra.Command{
		Use: "goto [TRACK/][LAB/]STEP", Short: "go to a step, from wherever you are", Args: cobra.ExactArgs(1),
		Long: "Goto builds the state before a step: it removes the lab's objects, and does the steps before. Your own files are moved to .kept.",
		RunE: func(c *cobra.Command, names []string) error {
			return l.build(c, names, func(s *session.Session, step int, out io.Writer) error {
				if step < 0 {
					step = 0
				}
				if err := s.Start(c.Context(), out); err != nil {
					return err
				}
				return s.Goto(c.Context(), step, out)
			})
		},
	}
}

// build runs what changes the state of a lab, and shows where it is afterwards.
func (l *learner) build(c *cobra.Command, names []string, what func(*session.Session, int, io.Writer) error) error {
	s, step, err := l.open(c, names)
	if err != nil {
		return err
	}
	defer s.Close()
	if err := what(s, step, l.progress(c)); err != nil {
		return err
	}
	v, err := s.Check(c.Context(), session.Look{})
	if err != nil {
		return err
	}
	if l.json != "" {
		return printJSON(c, v)
	}
	l.printChecks(c.OutOrStdout(), v, false)
	return nil
}

func (l *learner) next() *cobra.Command {
	c := &cobra.Command{
		Use: "next [LAB]", Short: "go on to the next step", Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, names []string) error {
			s, _, err := l.open(c, names)
			if err != nil {
				return err
			}
			defer s.Close()
			if !l.skip {
				if _, err := s.Check(c.Context(), session.Look{}); err != nil {
					return err
				}
			}
			err = s.Next(c.Context(), l.skip, l.progress(c))
			var left *session.NotDoneError
			switch {
			case errors.As(err, &left):
				return fmt.Errorf("%w. 'lab hint' helps, 'lab solve' does it for you, 'lab next --skip' goes on without it", err)
			case errors.Is(err, io.EOF):
				return l.end(c, s)
			case err != nil:
				return err
			}
			return l.show(c, s, false)
		},
	}
	c.Flags().BoolVar(&l.skip, "skip", false, "go on though the step is not done")
	return c
}

// end says that the lab has no other step.
func (l *learner) end(c *cobra.Command, s *session.Session) error {
	v, err := s.View()
	if err != nil {
		return err
	}
	if l.json != "" {
		return printJSON(c, v)
	}
	count := map[string]int{}
	for _, step := range v.Steps {
		count[step.State]++
	}
	fmt.Fprintf(c.OutOrStdout(), l.words("That was the last step of %s: %d done by yourself, %d solved for you, %d left out.\n'lab list' shows the labs.\n"),
		v.Lab, count[session.Done], count[session.Solved], count[session.Skipped]+count[session.ToDo])
	return nil
}

func (l *learner) shell() *cobra.Command {
	return &cobra.Command{
		Use: "shell [LAB]", Short: "open a shell in which everything is set for the lab", Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, names []string) error {
			s, _, err := l.open(c, names)
			if err != nil {
				return err
			}
			shell, err := s.Shell(c.Context())
			if err != nil {
				return err
			}
			shell.Stdin, shell.Stdout, shell.Stderr = os.Stdin, c.OutOrStdout(), c.ErrOrStderr()
			fmt.Fprintln(c.OutOrStdout(), "Type the commands of the text here. 'lab check' looks at your work, 'lab hint' helps, 'lab next' goes on, 'exit' leaves the shell.")
			// The exit status is that of the learner's last command.
			_ = shell.Run()
			return nil
		},
	}
}
