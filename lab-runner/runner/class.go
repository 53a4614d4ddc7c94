package runner

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"wheelhouse/lab-runner/classroom/reporter"
	"wheelhouse/lab-runner/render"
	"wheelhouse/lab-runner/session"
)

// reporting bounds how long the end of a command waits for the class.
const reporting = 3 * time.Second

// classPath returns where it is kept which class was joined: beside the progress.
func classPath() (string, error) {
	path, err := session.StorePath()
	return filepath.Join(filepath.Dir(path), "class.json"), err
}

// note returns what reports a change to the class that was joined, nil if there is none.
func (s *settings) note() func(session.View) {
	if s.class == nil {
		path, err := classPath()
		if err == nil {
			s.class, err = reporter.Open(path)
		}
		if err != nil {
			fmt.Fprintf(s.warnings(), "warning: %s\n", s.words(err.Error()))
		}
	}
	if s.class == nil {
		return nil
	}
	return s.class.Note
}

// reported ends the reports of a command. In the full screen nothing is said of a class that cannot be reached; that the
// session is over is said after it.
func (s *settings) reported(c *cobra.Command) {
	err := s.class.Close(reporting)
	s.class = nil
	switch {
	case errors.Is(err, reporter.ErrEnded):
		fmt.Fprintln(c.ErrOrStderr(), s.words(err.Error()))
	case err != nil:
		fmt.Fprintf(s.warnings(), s.words("%v: this is not on its board. 'lab leave' ends the reports.\n"), err)
	}
}

// joining is the flags of `lab join`.
type joining struct{ as, ca, pin, back string }

func (s *settings) join() *cobra.Command {
	var j joining
	c := &cobra.Command{
		Use: "join ADDRESS CODE --as NAME", Short: "be on the board of a class, with a cluster of your own", Args: cobra.ExactArgs(2),
		Long: "Join joins the class at ADDRESS with the room's CODE. From then on the class receives where you are: lab, step, the states of its\n" +
			"checks, the name of one that is red and the newest event about it. Nothing that you type and no output is sent.\n\n" +
			"The class is known by its authority: --ca, --ca-pin, or the fingerprint that is shown for you to compare with the instructor's.\n" +
			"NAME need not be your own.",
		RunE: func(c *cobra.Command, args []string) error { return s.joinClass(c, args[0], args[1], j) },
	}
	c.Flags().StringVar(&j.as, "as", "", "the name that the board shows")
	c.Flags().StringVar(&j.ca, "ca", "", "a file with the certificate of the class's authority, PEM")
	c.Flags().StringVar(&j.pin, "ca-pin", "", "sha256:... of that certificate, as `wheelhouse classroom serve` prints it")
	c.Flags().StringVar(&j.back, "return-code", "", "of a name that you have in the class already")
	_ = c.MarkFlagRequired("as") // fails only for a flag that is not there
	c.MarkFlagsMutuallyExclusive("ca", "ca-pin")
	return c
}

func (s *settings) joinClass(c *cobra.Command, address, code string, j joining) error {
	path, err := classPath()
	if err != nil {
		return err
	}
	class := &reporter.Class{Name: j.as}
	if class.Address, err = reporter.Address(address); err != nil {
		return err
	}
	if class.Authority, err = s.authority(c, class.Address, j); err != nil {
		return err
	}
	before := ""
	if old, err := reporter.Load(path); err == nil && old != nil && old.Address == class.Address && old.Authority == class.Authority {
		before = old.Token
	}
	back, err := class.Join(c.Context(), code, j.back, before)
	if err != nil {
		return err
	}
	if err := class.Save(path); err != nil {
		return err
	}
	fmt.Fprintf(c.OutOrStdout(), "You are in the class as %s. It receives: lab, step, the states of its checks.\n", class.Name)
	if back != "" {
		fmt.Fprintf(c.OutOrStdout(), "Your return code is %s: with it you have this name again (--return-code).\n", back)
	}
	// What is done already is on the board at once.
	if l, err := (&learner{settings: s}).offline(nil); err == nil {
		if v, err := l.View(); err == nil {
			s.class.Note(v)
		}
	}
	return nil
}

// authority returns the certificate of the one authority to trust, PEM.
func (s *settings) authority(c *cobra.Command, address string, j joining) (string, error) {
	if j.ca != "" {
		text, err := os.ReadFile(j.ca)
		if err != nil {
			return "", fmt.Errorf("--ca: %w", err)
		}
		if !x509.NewCertPool().AppendCertsFromPEM(text) {
			return "", fmt.Errorf("--ca: there is no certificate in %s: want PEM", j.ca)
		}
		return string(text), nil
	}
	if j.pin != "" {
		pin, err := reporter.ParsePin(j.pin)
		if err != nil {
			return "", fmt.Errorf("--ca-pin: %w", err)
		}
		offered, err := reporter.Offered(c.Context(), address)
		if err != nil {
			return "", err
		}
		found, err := reporter.Pinned(offered, pin)
		if err != nil {
			return "", err
		}
		return reporter.PEM(found), nil
	}
	if s.ask == nil {
		return "", errors.New("without a terminal to ask in, say which class it is: --ca-pin sha256:... (the instructor's terminal shows it) or --ca FILE")
	}
	offered, err := reporter.Offered(c.Context(), address)
	if err != nil {
		return "", err
	}
	fmt.Fprintf(c.ErrOrStderr(), "The authority of the class at %s is\n\n  SHA-256 %s\n\nCompare it with what the instructor's terminal shows.\n", render.Visible(address), reporter.Fingerprint(offered[0]))
	yes, err := s.ask("Type 'yes' if it is the same: ")
	if err != nil {
		return "", err
	}
	if !yes {
		return "", errors.New("the class was not joined")
	}
	return reporter.PEM(offered[0]), nil
}

func (s *settings) leave() *cobra.Command {
	return &cobra.Command{
		Use: "leave", Short: "leave the class: nothing is reported any more", Args: cobra.NoArgs,
		Long: "Leave ends the session in the class, and removes what was kept of the class. What the board shows of you stays until the instructor removes it.",
		RunE: func(c *cobra.Command, _ []string) error {
			path, err := classPath()
			if err != nil {
				return err
			}
			class, broken := reporter.Load(path)
			if class == nil && broken == nil {
				return errors.New("you are in no class: 'lab join' joins one")
			}
			if broken == nil {
				broken = class.Leave(context.WithoutCancel(c.Context()))
			}
			if err := os.Remove(path); err != nil {
				return err
			}
			if broken != nil {
				fmt.Fprintf(c.ErrOrStderr(), "The session in the class ends later, as the class was not reached: %v\n", broken)
			}
			fmt.Fprintln(c.OutOrStdout(), "You have left the class: nothing is reported any more.")
			return nil
		},
	}
}

// printClass says which class was joined, if there is one.
func printClass(out io.Writer) {
	path, err := classPath()
	if err != nil {
		return // the progress has no place either, which was said
	}
	class, err := reporter.Load(path)
	switch {
	case err != nil:
		fmt.Fprintf(out, "class: %s\n", render.Visible(err.Error()))
	case class != nil:
		fmt.Fprintf(out, "class: as %s at %s\n", render.Visible(class.Name), render.Visible(class.Address))
	}
}
