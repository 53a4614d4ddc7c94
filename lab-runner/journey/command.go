package journey

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"wheelhouse/lab-runner/objects"
	"wheelhouse/lab-runner/render"
	"wheelhouse/lab-runner/why"
)

// Command returns the command journey. fallback is as for why.Command.
func Command(fallback func() string) *cobra.Command {
	var place why.Place
	var output string
	c := &cobra.Command{
		Use:   "journey KIND/NAME",
		Short: "what happened to an object and to its owners, in the order of time",
		Long: "Journey reports what the cluster's records say of an object, of its owners and of what it made: the last writes (who asked for\n" +
			"them, with which program, what admission changed or refused, refused creates too), the scheduler's decisions with each node's\n" +
			"score or reason, the kubelet's steps and what probes were answered, endpoints and the rules for them on each node, writers of\n" +
			"fields, conditions, containers, events. Times are those of the records, many of them of whole seconds. It changes nothing.",
		Args: cobra.RangeArgs(1, 2),
		RunE: func(c *cobra.Command, args []string) error {
			if output != "" && output != "json" {
				return fmt.Errorf("--output %s is not supported: use --output json", output)
			}
			target, err := why.ParseTarget(args)
			if err != nil {
				return err
			}
			config, namespace, err := place.Open(fallback)
			if err != nil {
				return err
			}
			client, err := objects.New(config)
			if err != nil {
				return fmt.Errorf("the kubeconfig: %w", err)
			}
			ctx, cancel := context.WithTimeout(c.Context(), mostTime)
			defer cancel()
			found, events, err := gather(ctx, client, namespace, target)
			if err != nil {
				return err
			}
			return print(c.OutOrStdout(), Tell(found, events), output == "json")
		},
	}
	place.Register(c)
	c.Flags().StringVarP(&output, "output", "o", "", "json: for programs")
	return c
}

// print writes entries with the time since the first one.
func print(out io.Writer, entries []Entry, asJSON bool) error {
	if asJSON {
		text, err := json.MarshalIndent(entries, "", "  ")
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(out, string(text))
		return err
	}
	var b strings.Builder
	object := ""
	for _, e := range entries {
		if e.Object != object {
			object = e.Object
			fmt.Fprintln(&b, render.Visible(object))
		}
		by := ""
		if e.By != "" {
			by = " [" + e.By + "]"
		}
		fmt.Fprintf(&b, "  %s +%8.3fs  %s%s\n", e.Time.Format("15:04:05.000"), e.Time.Sub(entries[0].Time).Seconds(), render.Visible(strings.ReplaceAll(e.Text, "\n", " ")), render.Visible(by))
	}
	_, err := io.WriteString(out, b.String())
	return err
}
