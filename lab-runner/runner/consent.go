package runner

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"wheelhouse/lab-runner/catalog"
	"wheelhouse/lab-runner/consent"
	"wheelhouse/lab-runner/session"
)

// ErrNotAgreed is the error of a lab that neither came with the program nor was agreed to.
var ErrNotAgreed = errors.New("it did not come with this program, and you have not agreed to what it runs")

// agreements returns the file of agreements, which is beside the progress.
func agreements() (*consent.Store, error) {
	path, err := session.StorePath()
	if err != nil {
		return nil, err
	}
	return consent.NewStore(filepath.Join(filepath.Dir(path), "agreed.json")), nil
}

// markForeign sets Foreign of the labs of a tree that is neither the program's nor the learner's own.
func markForeign(root string, labs []*catalog.Lab) error {
	store, err := agreements()
	if err != nil {
		return err
	}
	exe, err := os.Executable()
	if err != nil {
		exe = ""
	}
	own, err := store.Own(root, exe)
	if err != nil {
		return err
	}
	for _, lab := range labs {
		lab.Foreign = !own
	}
	return nil
}

// agreed returns an error unless all labs may be run. In a terminal it shows what a foreign lab runs, and asks.
func (s *settings) agreed(ctx context.Context, labs []*catalog.Lab) error {
	given := slices.Clone(s.agree)
	for _, lab := range labs {
		if !lab.Foreign {
			continue
		}
		sum, err := consent.Examine(ctx, lab)
		if err != nil {
			return err
		}
		if err := sum.Refusal(); err != nil {
			return err
		}
		lab.Manifests.Checksum = sum.Manifests // the files that are put in place are those that were looked at
		if err := s.agreedTo(sum, given); err != nil {
			return err
		}
		given = slices.DeleteFunc(given, func(g string) bool { return g == sum.Checksum })
	}
	return nil
}

// agreedTo returns an error unless the learner has agreed to one lab, or does so now.
func (s *settings) agreedTo(sum *consent.Summary, given []string) error {
	store, err := agreements()
	if err != nil {
		return err
	}
	id := sum.Lab.ID()
	if slices.Contains(given, sum.Checksum) {
		return store.Agree(sum.Checksum, id)
	}
	if known, err := store.Agreed(sum.Checksum); err != nil || known {
		return err
	}
	if len(given) > 0 {
		return fmt.Errorf("lab %s is not run: its files have %s, and --agree names another: they have changed, or it is of another lab. Look at it with 'lab agree %s'", id, sum.Checksum, id)
	}
	if s.ask == nil {
		return fmt.Errorf("lab %s is not run: %w. 'lab agree %s' shows what that is; '--agree %s' agrees", id, ErrNotAgreed, id, sum.Checksum)
	}
	if err := sum.Write(s.warnings(), userName()); err != nil {
		return err
	}
	yes, err := s.ask("Type 'yes' to agree that this is run as you, until one of its files changes: ")
	if err != nil {
		return err
	}
	if !yes {
		return fmt.Errorf("lab %s is not run: %w", id, ErrNotAgreed)
	}
	return store.Agree(sum.Checksum, id)
}

// userName returns the name of who runs this.
func userName() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return "unknown"
}

// asker returns how to ask in a terminal, or nil if there is none to ask in.
func asker(in io.Reader, out io.Writer) func(string) (bool, error) {
	if !isTerminal(in) || !isTerminal(out) {
		return nil
	}
	return func(question string) (bool, error) {
		fmt.Fprint(out, question)
		line, err := bufio.NewReader(in).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return false, err
		}
		return strings.TrimSpace(line) == "yes", nil
	}
}

// agreeCommand is `lab agree`.
func (s *settings) agreeCommand() *cobra.Command {
	return &cobra.Command{
		Use: "agree LAB...", Short: "show what a lab of somebody else runs, and agree to it", Args: cobra.MinimumNArgs(1),
		Long: "Agree shows the commands, checks, objects, images and needs of a lab that did not come with this program, and asks whether\n" +
			"it may be run. Without a terminal it shows them, and --agree CHECKSUM agrees. When a file of the lab changes, it is asked again.",
		RunE: func(c *cobra.Command, names []string) error {
			labs, err := s.pick(names)
			if err != nil {
				return err
			}
			for _, lab := range labs {
				if !lab.Foreign {
					fmt.Fprintf(c.OutOrStdout(), "Lab %s needs no agreement: it came with this program, or you write it.\n", lab.ID())
					continue
				}
				sum, err := consent.Examine(c.Context(), lab)
				if err != nil {
					return err
				}
				if s.ask == nil {
					if err := sum.Write(c.OutOrStdout(), userName()); err != nil {
						return err
					}
				}
				if err := sum.Refusal(); err != nil {
					return err
				}
				if err := s.agreedTo(sum, s.agree); err != nil {
					return err
				}
				fmt.Fprintf(c.OutOrStdout(), "Lab %s may be run, until one of its files changes.\n", lab.ID())
			}
			return nil
		},
	}
}

// author is `lab author`.
func (s *settings) author() *cobra.Command {
	return &cobra.Command{
		Use: "author DIR", Short: "say that the labs of a tree are your own: they are run without being asked for", Args: cobra.ExactArgs(1),
		Long: "Author notes that you write the labs below DIR, which has labs/ and features/ in it, or that you trust whoever does as you\n" +
			"trust yourself: their commands are run as you, whatever they are changed to, and have your rights in the cluster.",
		RunE: func(c *cobra.Command, args []string) error {
			root, err := catalog.Root(args[0])
			if err != nil {
				return err
			}
			store, err := agreements()
			if err != nil {
				return err
			}
			if err := store.AddAuthor(root); err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "The labs in %s are your own.\n", root)
			return nil
		},
	}
}

// stop is `lab stop`.
func (l *learner) stop() *cobra.Command {
	return &cobra.Command{
		Use: "stop [LAB]", Short: "remove what the lab has in the cluster; its files and your progress stay", Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, names []string) error {
			s, _, err := l.open(c, names)
			if err != nil {
				return err
			}
			if err := s.Clean(c.Context(), l.progress(c)); err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), l.words("Lab %s has nothing in the cluster any more. 'lab reset' makes its current step again.\n"), s.Lab().ID())
			return nil
		},
	}
}
