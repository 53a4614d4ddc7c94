// Package runner implements the lab commands: it fetches a lab's manifests, runs the commands
// of its text, and runs each check where the text names it. It needs a kubeconfig and kubectl,
// and imports nothing of the cluster. It refuses labs that another user can change.
package runner

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"wheelhouse/lab-runner/catalog"
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
}

// Command is `lab` with its subcommands.
func Command(options ...Option) *cobra.Command {
	s := &settings{}
	for _, o := range options {
		o(s)
	}
	lab := &cobra.Command{
		Use:   "lab",
		Short: "the labs: list, start, check, run, fetch",
		Long: "Labs are texts with commands, and checks of what the commands achieve. They run on any cluster:\n" +
			"the one of --kubeconfig, else of $KUBECONFIG.",
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("lab has no command %q: use list, start, check, run or fetch", args[0])
			}
			return c.Help()
		},
	}
	s.warnings = lab.ErrOrStderr
	lab.PersistentFlags().StringVar(&s.root, "labs", "", "the directory that has labs/ and features/ in it (default: found from here or beside the program)")
	lab.PersistentFlags().StringVar(&s.kubeconfig, "kubeconfig", "", "the cluster's kubeconfig (default: $KUBECONFIG)")
	lab.PersistentFlags().Float64Var(&s.slow, "slow", 1, "this machine is N times slower than usual: every wait is N times as long, --timeout of the texts' commands included")
	lab.AddCommand(s.list(), s.run(), s.start(), s.check(), s.fetch())
	return lab
}

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
	return catalog.Pick(labs, names)
}

func (s *settings) list() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "list the labs", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			labs, err := s.pick(nil)
			if err != nil {
				return err
			}
			w := tabwriter.NewWriter(c.OutOrStdout(), 0, 4, 3, ' ', 0)
			fmt.Fprintln(w, "NAME\tTRACK\tCHECKS\tNEEDS\tTITLE")
			for _, l := range labs {
				fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\n", l.Name, l.Track, len(l.Scenarios), strings.Join(l.Needs, ","), l.Title)
			}
			return w.Flush()
		},
	}
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
			cl, err := s.connect(labs...)
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

// one returns the lab to do by hand, its cluster and the directory of its files.
func (s *settings) one(names []string) (lab *catalog.Lab, cl *environment.Cluster, dir string, err error) {
	labs, err := s.pick(names)
	if err != nil {
		return nil, nil, "", err
	}
	if cl, err = s.connect(labs[0]); err != nil {
		return nil, nil, "", err
	}
	if dir, err = s.place(labs[0]); err != nil {
		return nil, nil, "", err
	}
	return labs[0], cl, dir, environment.CurrentCaller().CheckTree(dir)
}

func (s *settings) start() *cobra.Command {
	c := &cobra.Command{
		Use: "start LAB", Short: "set a lab up and show its text, to do by hand", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, names []string) error {
			lab, cl, dir, err := s.one(names)
			if err != nil {
				return err
			}
			return startLab(c.Context(), cl, lab, dir, c.OutOrStdout())
		},
	}
	c.Flags().StringVar(&s.dir, "dir", "", "where to put the lab's files (default: ~/wheelhouse-labs/LAB)")
	return c
}

func (s *settings) check() *cobra.Command {
	var patience time.Duration
	c := &cobra.Command{
		Use: "check LAB", Short: "check the progress of a lab that is done by hand", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, names []string) error {
			lab, cl, dir, err := s.one(names)
			if err != nil {
				return err
			}
			return checkLab(c.Context(), cl, lab, dir, report.New(c.OutOrStdout()), patience)
		},
	}
	c.Flags().StringVar(&s.dir, "dir", "", "where 'lab start' put the lab's files")
	c.Flags().DurationVar(&patience, "patience", 2*time.Second, "how long a check waits for its condition")
	return c
}

func (s *settings) fetch() *cobra.Command {
	var checksum string
	c := &cobra.Command{
		Use: "fetch LAB|SOURCE [DIR]", Short: "fetch a lab's manifests, or any source's files",
		Long: "Fetch puts the files into DIR. Without DIR it prints the checksum to write into lab.yaml.\n" +
			"SOURCE is a directory, https://... (an archive or one file), or git::https://...?ref=TAG.",
		Args: cobra.RangeArgs(1, 2),
		RunE: func(c *cobra.Command, args []string) error {
			cfg := fetch.Config{Source: args[0], Base: ".", Checksum: checksum}
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
			return fetch.Fetch(c.Context(), cfg)
		},
	}
	c.Flags().StringVar(&checksum, "checksum", "", "the checksum that SOURCE must have, as printed without DIR")
	return c
}

// place returns the directory of the files of a lab that is done by hand.
func (s *settings) place(lab *catalog.Lab) (string, error) {
	if s.dir != "" {
		return filepath.Abs(s.dir)
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("no home directory to put the lab in: use --dir (%w)", err)
	}
	return filepath.Join(home, "wheelhouse-labs", lab.Name), nil
}

// connect opens the cluster to run labs on. It refuses labs that another user can change.
func (s *settings) connect(labs ...*catalog.Lab) (*environment.Cluster, error) {
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
	return cl, nil
}
