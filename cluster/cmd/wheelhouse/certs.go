package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"wheelhouse/cluster/apiserver/revocation"
)

// certsCommand is what to do when a node's certificate was stolen.
func certsCommand() *cobra.Command {
	path := kubeconfig()
	c := &cobra.Command{Use: "certs", Short: "Revoke certificates, such as those of a stolen node"}
	c.PersistentFlags().StringVar(&path, "kubeconfig", path, "the kubeconfig with the API server and the credentials")
	c.AddCommand(certsRevokeCommand(&path), certsListCommand(&path))
	return c
}

func certsRevokeCommand(path *string) *cobra.Command {
	var node, serial string
	c := &cobra.Command{
		Use:   "revoke",
		Short: "Refuse all certificates that a node has now, or one by its serial number",
		Args:  cobra.NoArgs,
		RunE: owned(path, func(c *cobra.Command, _ []string, _ *rest.Config, cs kubernetes.Interface) error {
			switch {
			case (node == "") == (serial == ""):
				return errors.New("want --node NAME, or --serial with the number in hexadecimal")
			case serial != "":
				if err := revocation.RevokeSerial(c.Context(), cs, serial); err != nil {
					return err
				}
				fmt.Fprintf(c.OutOrStdout(), "certificate %s is revoked\n", serial)
				return nil
			}
			if err := revocation.RevokeNode(c.Context(), cs, node); err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "the certificates of node %s are revoked; `wheelhouse token --node %s` lets it join again\n", node, node)
			return nil
		}),
	}
	c.Flags().StringVar(&node, "node", "", "revoke all certificates that were issued to this node so far")
	c.Flags().StringVar(&serial, "serial", "", "revoke the certificate with this serial number, in hexadecimal")
	return c
}

func certsListCommand(path *string) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the revocations", Args: cobra.NoArgs,
		RunE: owned(path, func(c *cobra.Command, _ []string, _ *rest.Config, cs kubernetes.Interface) error {
			all, err := revocation.Entries(c.Context(), cs)
			if err != nil {
				return err
			}
			w := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 3, ' ', 0)
			fmt.Fprintln(w, "REVOKED\tISSUED BEFORE")
			for _, key := range slices.Sorted(maps.Keys(all)) {
				fmt.Fprintf(w, "%s\t%s\n", key, all[key])
			}
			return w.Flush()
		}),
	}
}
