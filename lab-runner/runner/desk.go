package runner

import (
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"wheelhouse/lab-runner/desk"
)

// desk is the labs of a learner of a class, for the program that shows them. It is hidden: nobody types its protocol.
func (s *settings) desk() *cobra.Command {
	var gives []string
	c := &cobra.Command{
		Use: "desk", Short: "the labs as a protocol on standard input and output", Args: cobra.NoArgs, Hidden: true,
		RunE: func(c *cobra.Command, _ []string) error {
			labs, err := s.pick(nil)
			if err != nil {
				return err
			}
			store, err := s.store()
			if err != nil {
				return err
			}
			cluster, err := s.connect(c.Context())
			if err != nil {
				return err
			}
			only := cluster.Only()
			if only == "" && !slices.Contains(gives, "cluster-admin") {
				return fmt.Errorf("the desk of a class works in one namespace, and this account may create others: 'lab' is for you")
			}
			for _, lab := range labs {
				if only != "" {
					lab.Namespace = only
				}
			}
			home, err := os.UserHomeDir()
			if err != nil {
				return err
			}
			s.warnings = func() io.Writer { return io.Discard }
			return desk.Run(c.Context(), desk.Config{
				Labs: labs, Cluster: cluster, Gives: gives, Store: store, Home: home, Program: (&learner{settings: s}).program(),
			}, c.InOrStdin(), c.OutOrStdout())
		},
	}
	c.Flags().StringSliceVar(&gives, "gives", nil, "requirements of labs that are met (default: those that a namespace of a class meets); with cluster-admin the cluster is the learner's, and each lab has its own namespace")
	return c
}
