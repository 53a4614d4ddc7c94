package runner

import (
	"fmt"

	"github.com/spf13/cobra"

	"wheelhouse/lab-runner/catalog"
	"wheelhouse/lab-runner/lint"
)

func (s *settings) lint() *cobra.Command {
	strict := false
	c := &cobra.Command{
		Use: "lint [LAB...]", Short: "look for what is wrong in labs without running them (all labs if none is named)",
		Long: "Lint finds sentences that no step is defined for, steps without a check, checks without a scenario, images that are not in\n" +
			"the catalogue, dead links, and files that nothing uses. Flags and API versions that were removed are warnings, with\n" +
			"today's equivalent: a text may be about them.",
		RunE: func(c *cobra.Command, names []string) error {
			root, err := catalog.Root(s.root)
			if err != nil {
				return err
			}
			found, err := lint.Labs(root, names)
			if err != nil {
				return err
			}
			faults := 0
			for _, f := range found {
				fmt.Fprintln(c.OutOrStdout(), f)
				if strict || !f.Warning {
					faults++
				}
			}
			if faults > 0 {
				return fmt.Errorf("%d faults", faults)
			}
			fmt.Fprintf(c.OutOrStdout(), "no faults, %d warnings\n", len(found))
			return nil
		},
	}
	c.Flags().BoolVar(&strict, "strict", false, "a warning is a fault")
	return c
}
