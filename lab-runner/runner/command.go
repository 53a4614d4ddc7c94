// Package runner implements the lab commands: it fetches a lab's manifests, runs the commands
// of its text, and runs each check where the text names it. It needs a kubeconfig and kubectl,
// and imports nothing of the cluster. It refuses labs that another user can change.
package runner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"wheelhouse/lab-runner/catalog"
	"wheelhouse/lab-runner/classroom/reporter"
	"wheelhouse/lab-runner/environment"
	"wheelhouse/lab-runner/fetch"
	"wheelhouse/lab-runner/report"
	"wheelhouse/lab-runner/steps"
)

// Option changes what Command starts from.
type Option func(*settings)

// WithKubeconfig is used when neither --kubeconfig nor $KUBECONFIG names one.
func WithKubeconfig(path func() string) Option {
	return func(s *settings) { s.fallback = path }
}

// slowest bounds --slow: emulated processors are 10 to 30 times slower.
const slowest = 1000

type settings struct {
	root       string
	kubeconfig string
	fallback   func() string
	keep       bool
	output     string
	dir        string
	slow       float64
	warnings   func() io.Writer
	why        Why
	agree      []string                            // checksums of labs of others that may be run
	ask        func(question string) (bool, error) // nil: there is no terminal to ask in
	called     func() string                       // what is typed for 'lab' here
	class      *reporter.Reporter                  // of the class that was joined; nil: none
}

// Command is `lab` with its subcommands.
func Command(options ...Option) *cobra.Command {
	s := &settings{}
	for _, o := range options {
		o(s)
	}
	return s.command()
}

func (s *settings) command() *cobra.Command {
	plain := false
	lab := &cobra.Command{
		Use:   "lab",
		Short: "the labs: learn by steps, on any cluster",
		Long: "Labs are texts with commands, and checks of what the commands achieve. They run on any cluster:\n" +
			"the one of --kubeconfig, else of $KUBECONFIG.\n\nWithout a command, in a terminal, a full-screen view opens, where you left it.",
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("lab has no command %q: 'lab --help' lists them", args[0])
			}
			defer s.reported(c)
			return s.typed(s.fullScreen(c, plain))
		},
	}
	lab.Flags().BoolVar(&plain, "plain", false, "without a command: line by line, for screen readers")
	s.warnings = lab.ErrOrStderr
	lab.PersistentPreRun = func(c *cobra.Command, _ []string) { s.ask = asker(c.InOrStdin(), c.ErrOrStderr()) }
	lab.PersistentFlags().StringArrayVar(&s.agree, "agree", nil, "the checksum of a lab that did not come with this program: it may be run ('lab agree LAB' shows what that is)")
	lab.PersistentFlags().StringVar(&s.root, "labs", "", "the directory that has labs/ and features/ in it (default: found from here or beside the program)")
	lab.PersistentFlags().StringVar(&s.kubeconfig, "kubeconfig", "", "the cluster's kubeconfig (default: $KUBECONFIG)")
	lab.PersistentFlags().Float64Var(&s.slow, "slow", 1, "this machine is N times slower than usual: every wait is N times as long, the timeouts and attempts of the texts' commands included")
	lab.AddCommand(s.list(), s.run(), s.test(), s.lint(), s.new(), s.fetch(), s.agreeCommand(), s.author(), s.desk(), s.join(), s.leave())
	lab.AddCommand(s.learn()...)
	s.called = func() string {
		if os.Getenv("WHEELHOUSE_LAB_DIR") != "" { // the lab's shell has a function lab
			return "lab"
		}
		return lab.CommandPath()
	}
	for _, sub := range lab.Commands() {
		run := sub.RunE
		sub.RunE = func(c *cobra.Command, args []string) error {
			defer s.reported(c)
			return s.typed(run(c, args))
		}
	}
	return lab
}

// words returns a text whose commands, such as 'lab hint', are as they can be typed here.
func (s *settings) words(text string) string {
	if s.called == nil {
		return text
	}
	return strings.ReplaceAll(text, "'lab ", "'"+s.called()+" ")
}

// typed returns an error whose text names commands as words does.
func (s *settings) typed(err error) error {
	if err == nil || s.words(err.Error()) == err.Error() {
		return err
	}
	return &typedError{err, s.words(err.Error())}
}

// typedError is an error with another text.
type typedError struct {
	error
	text string
}

func (e *typedError) Error() string { return e.text }
func (e *typedError) Unwrap() error { return e.error }

// pick loads all labs, so that an invalid one is an error, and returns the named ones.
func (s *settings) pick(names []string) ([]*catalog.Lab, error) {
	root, err := catalog.Root(s.root)
	if err != nil {
		return nil, err
	}
	labs, err := catalog.Load(root)
	if err != nil {
		return nil, err
	}
	if err := markForeign(root, labs); err != nil {
		return nil, err
	}
	return catalog.Pick(labs, names)
}

func (s *settings) run() *cobra.Command {
	var patience time.Duration
	c := &cobra.Command{
		Use: "run [LAB...]", Short: "run labs from beginning to end, with their checks (all labs if none is named)",
		RunE: func(c *cobra.Command, names []string) error {
			junit, ok := strings.CutPrefix(s.output, "junit=")
			if s.output != "" && (!ok || junit == "") {
				return fmt.Errorf("--output %s is not supported: use --output junit=FILE", s.output)
			}
			labs, err := s.pick(names)
			if err != nil {
				return err
			}
			cl, err := s.connect(c.Context(), labs...)
			if err != nil {
				return err
			}
			rep := report.New(c.OutOrStdout())
			for _, lab := range labs {
				if err := runLab(c.Context(), cl, lab, rep, patience, s.keep); err != nil {
					return fmt.Errorf("lab %s: %w", lab.Name, err)
				}
			}
			failed := rep.Summary()
			if junit != "" {
				if err := rep.JUnit(junit); err != nil {
					return errors.Join(failed, err)
				}
			}
			return failed
		},
	}
	c.Flags().StringVar(&s.output, "output", "", "junit=FILE: also write the results to FILE as JUnit XML")
	c.Flags().BoolVar(&s.keep, "keep", false, "keep the objects of the labs in the cluster")
	c.Flags().DurationVar(&patience, "patience", time.Minute, "how long a check waits for its condition")
	return c
}

func (s *settings) fetch() *cobra.Command {
	var checksum string
	private := false
	c := &cobra.Command{
		Use: "fetch LAB|SOURCE [DIR]", Short: "fetch a lab's manifests, or any source's files",
		Long: "Fetch puts the files into DIR. Without DIR it prints the checksum to write into lab.yaml.\n" +
			"SOURCE is a directory, https://... (an archive or one file), or git::https://...?ref=TAG.",
		Args: cobra.RangeArgs(1, 2),
		RunE: func(c *cobra.Command, args []string) error {
			cfg := fetch.Config{Source: args[0], Base: ".", Checksum: checksum, Private: private}
			if !strings.ContainsAny(args[0], "/:.") {
				labs, err := s.pick(args[:1])
				if err != nil {
					return err
				}
				cfg = environment.Source(labs[0])
			}
			if len(args) == 1 {
				sum, err := fetch.Pin(c.Context(), cfg)
				if err == nil {
					fmt.Fprintln(c.OutOrStdout(), sum)
				}
				return err
			}
			cfg.Dst = args[1]
			if err := fetch.Fetch(c.Context(), cfg); err != nil {
				return err
			}
			store, err := agreements()
			if err != nil {
				return err
			}
			return store.AddFetched(cfg.Dst)
		},
	}
	c.Flags().BoolVar(&private, "private-addresses", false, "also fetch from addresses of private networks and of this machine")
	c.Flags().StringVar(&checksum, "checksum", "", "the checksum that SOURCE must have, as printed without DIR")
	return c
}

// place returns the directory that --dir names, or "".
func (s *settings) place() (string, error) {
	if s.dir == "" {
		return "", nil
	}
	return filepath.Abs(s.dir)
}

// trusted returns an error if another user can change a file of the directory. One that does not exist is trusted.
func (s *settings) trusted(dir string) error { return environment.CurrentCaller().CheckTree(dir) }

// connect opens the cluster to run labs on. It refuses labs that another user can change, and foreign ones that the learner
// has not agreed to.
func (s *settings) connect(ctx context.Context, labs ...*catalog.Lab) (*environment.Cluster, error) {
	if !(s.slow >= 1 && s.slow <= slowest) {
		return nil, fmt.Errorf("--slow %v: want a number from 1 to %d", s.slow, slowest)
	}
	for _, lab := range labs {
		if err := environment.CurrentCaller().CheckFiles(lab); err != nil {
			return nil, err
		}
	}
	path := s.kubeconfig
	if path == "" {
		path = os.Getenv("KUBECONFIG")
	}
	if path == "" && s.fallback != nil {
		path = s.fallback()
	}
	if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o044 != 0 {
		fmt.Fprintf(s.warnings(), "warning: the kubeconfig %s can be read by others, who then have all its rights: chmod go-r %s\n", path, path)
	}
	cl, err := environment.Open(path)
	if err != nil {
		return nil, err
	}
	cl.Slow = steps.Slow(s.slow)
	if err := cl.Share(ctx, labs...); err != nil {
		return nil, err
	}
	return cl, s.agreed(ctx, labs)
}
