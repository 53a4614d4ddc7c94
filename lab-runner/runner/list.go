package runner

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"wheelhouse/lab-runner/render"
)

// listed is one lab of 'lab list'.
type listed struct {
	Lab      string   `json:"lab"`
	Title    string   `json:"title"`
	About    string   `json:"about"`
	Minutes  int      `json:"minutes"`
	Requires []string `json:"requires"`
	Steps    int      `json:"steps"`
	Done     int      `json:"done"`
	BySelf   int      `json:"bySelf"` // of Done: not solved by 'lab solve'
	Current  bool     `json:"current"`
}

func (s *settings) list() *cobra.Command {
	var output string
	c := &cobra.Command{
		Use: "list", Short: "list the labs, and what is done of them", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			labs, err := s.pick(nil)
			if err != nil {
				return err
			}
			store, err := s.store()
			if err != nil {
				return err
			}
			p, err := store.Progress()
			if err != nil {
				return err
			}
			all := []listed{}
			for _, l := range labs {
				e := listed{Lab: l.ID(), Title: l.Title, About: l.About, Minutes: l.Minutes, Requires: append([]string{}, l.Requires...), Steps: len(l.Steps), Current: l.ID() == p.Current}
				e.Done, e.BySelf = p.StepsDone(l)
				all = append(all, e)
			}
			if output == "json" {
				return printJSON(c, all)
			}
			if err := printList(c.OutOrStdout(), all, widthOf(c.OutOrStdout())); err != nil {
				return err
			}
			fmt.Fprint(c.OutOrStdout(), toBegin(c.Parent().CommandPath(), all))
			return nil
		},
	}
	c.Flags().StringVar(&output, "output", "", "json: print what a program can read")
	return c
}

// withRequires is how many columns the list takes with what labs require.
const withRequires = 110

// widthOf returns the columns of a terminal, and of anything else enough for all.
func widthOf(out io.Writer) int {
	if f, ok := out.(*os.File); ok {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 0 {
			return width
		}
	}
	return withRequires
}

// printList prints the labs. On a narrow terminal what they require is left out: 'lab start' and the full screen say it.
func printList(out io.Writer, all []listed, width int) error {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	line := func(columns ...string) {
		if width < withRequires {
			columns = columns[:4]
		}
		fmt.Fprintln(w, strings.Join(columns, "\t"))
	}
	line("LAB", "DONE", "MINUTES", "TITLE", "REQUIRES")
	for _, e := range all {
		line(e.Lab, fmt.Sprintf("%d/%d", e.Done, e.Steps), strconv.Itoa(e.Minutes), render.Visible(e.Title), strings.Join(e.Requires, ","))
	}
	return w.Flush()
}

// toBegin says which lab to do next: the one that was begun, else the first that is not done.
func toBegin(program string, all []listed) string {
	next := slices.IndexFunc(all, func(e listed) bool { return e.Current && e.Done < e.Steps })
	verb := "Go on with"
	if next < 0 {
		next, verb = slices.IndexFunc(all, func(e listed) bool { return e.Done < e.Steps }), "Begin with"
	}
	if next < 0 {
		return ""
	}
	return fmt.Sprintf("\n%s '%s start %s', or with '%s' alone for the full screen.\n", verb, program, all[next].Lab, program)
}
