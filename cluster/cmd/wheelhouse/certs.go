package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"wheelhouse/cluster/apiserver/pki"
	"wheelhouse/cluster/apiserver/revocation"
	"wheelhouse/cluster/local"
)

// certsCommand shows when this machine's certificates end, and is what to do when a node's was stolen.
func certsCommand() *cobra.Command {
	path := kubeconfig()
	c := &cobra.Command{Use: "certs", Short: "List this machine's certificates; revoke certificates, such as those of a stolen node"}
	c.PersistentFlags().StringVar(&path, "kubeconfig", path, "the kubeconfig with the API server and the credentials")
	c.AddCommand(certsListCommand(&path), certsRevokeCommand(&path), certsRevokedCommand(&path))
	return c
}

const certsListHelp = `List the certificates in files of this machine, with their ends: those of the server and of etcd's members, of nodes, the
administrator, a class, and of --kubeconfig. Servers and nodes renew theirs while they run; "renewal is overdue" marks what was not. The
certificates that a node has in memory alone are listed as it had them last. The key that signs tokens of ServiceAccounts has no end.`

func certsListCommand(path *string) *cobra.Command {
	var state string
	c := &cobra.Command{
		Use: "list", Short: "List the certificates of this machine with their ends", Long: certsListHelp, Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			all, err := pki.List(state, *path)
			if err != nil {
				return err
			}
			if len(all) == 0 {
				return fmt.Errorf("there are no certificates in %s: give the --state-dir of the server or the node", state)
			}
			w := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 3, ' ', 0)
			fmt.Fprintln(w, "OF\tEND\tLEFT\tSTATE\tFILE")
			now := time.Now()
			for _, s := range all {
				end, left := "-", "-"
				if s.Cert != nil {
					end, left = s.Cert.NotAfter.UTC().Format(time.RFC3339), duration.HumanDuration(max(0, s.Cert.NotAfter.Sub(now)))
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", s.Of, end, left, s.State(now), s.File)
			}
			return w.Flush()
		},
	}
	c.Flags().StringVar(&state, "state-dir", local.DefaultStateDir, "the --state-dir of a server or a node, or the directory that has those")
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

func certsRevokedCommand(path *string) *cobra.Command {
	return &cobra.Command{
		Use: "revoked", Short: "List the revocations", Args: cobra.NoArgs,
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
