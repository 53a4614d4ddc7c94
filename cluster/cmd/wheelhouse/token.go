package main

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"wheelhouse/cluster/apiserver/authn"
	"wheelhouse/cluster/client"
	"wheelhouse/cluster/masters"
)

// owned runs f as whom the kubeconfig names.
func owned(path *string, f func(*cobra.Command, []string, *rest.Config, kubernetes.Interface) error) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, args []string) error {
		if *path == "" {
			return errNoKubeconfig
		}
		rc, err := client.FromKubeconfig(*path)
		if err != nil {
			return err
		}
		cs, err := kubernetes.NewForConfig(rc)
		if err != nil {
			return err
		}
		return f(c, args, rc, cs)
	}
}

// tokenLimits are how long a token is valid, and for whom.
type tokenLimits struct {
	life  time.Duration
	count int
	node  string // "": any
}

// createToken writes a join token, and returns it with the hash of the cluster's authority.
func createToken(ctx context.Context, rc *rest.Config, cs kubernetes.Interface, limits tokenLimits) (token, pin string, err error) {
	if pin, err = client.Pin(rc.CAData); err != nil {
		return "", "", err
	}
	token, secret := authn.NewBootstrapToken(limits.life)
	authn.LimitJoins(secret, limits.count, limits.node)
	if _, err := cs.CoreV1().Secrets(secret.Namespace).Create(ctx, secret, metav1.CreateOptions{}); err != nil {
		return "", "", fmt.Errorf("writing the token: %w", err)
	}
	return token, pin, nil
}

// masterCommand creates a master token, and prints the command for it.
func masterCommand(c *cobra.Command, rc *rest.Config, cs kubernetes.Interface, life time.Duration) error {
	if !c.Flags().Changed("ttl") {
		life = time.Hour
	}
	token, err := cs.Discovery().RESTClient().Post().AbsPath(masters.TokenPath).Param("ttl", life.String()).DoRaw(c.Context())
	if err != nil {
		return fmt.Errorf("creating the token: %w: %s", err, token)
	}
	_, err = fmt.Fprintf(c.OutOrStdout(), "wheelhouse server --join %s --token %s --address IP\n", rc.Host, token)
	return err
}

// tokenCommand creates join tokens.
func tokenCommand() *cobra.Command {
	path, life, count, node, master := kubeconfig(), 24*time.Hour, 1, "", false
	c := &cobra.Command{
		Use:   "token",
		Short: "Create a token with which another machine joins as a node or a master, and print the command for it",
		Args:  cobra.NoArgs,
		RunE: owned(&path, func(c *cobra.Command, _ []string, rc *rest.Config, cs kubernetes.Interface) error {
			if master {
				if count != 1 || node != "" {
					return errors.New("--master: such a token is for one master; --count and --node are for nodes")
				}
				return masterCommand(c, rc, cs, life)
			}
			if count < 1 || (node != "" && count != 1) {
				return errors.New("--count: want at least 1, and 1 for a --node")
			}
			token, pin, err := createToken(c.Context(), rc, cs, tokenLimits{life: life, count: count, node: node})
			if err != nil {
				return err
			}
			if node != "" {
				node = " --name " + node
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "wheelhouse node --server %s --token %s --ca-pin %s%s\n", rc.Host, token, pin, node)
			return err
		}),
	}
	c.PersistentFlags().StringVar(&path, "kubeconfig", path, "the kubeconfig with the API server and the credentials")
	c.Flags().DurationVar(&life, "ttl", life, "how long the token is valid (of a --master: an hour by default, a day at most)")
	c.Flags().IntVar(&count, "count", count, "number of nodes that may join with the token")
	c.Flags().StringVar(&node, "node", "", "the only node that may join with the token, which may exist already")
	c.Flags().BoolVar(&master, "master", false, "the token is for a further master: who has it gets the cluster's keys")
	c.AddCommand(tokenListCommand(&path), tokenDeleteCommand(&path))
	return c
}

func tokenListCommand(path *string) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the join tokens, with their expiry and nodes", Args: cobra.NoArgs,
		RunE: owned(path, func(c *cobra.Command, _ []string, _ *rest.Config, cs kubernetes.Interface) error {
			tokens, err := authn.JoinTokens(c.Context(), cs)
			if err != nil {
				return err
			}
			w := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 3, ' ', 0)
			ofMasters, err := masters.List(c.Context(), cs)
			if err != nil {
				return err
			}
			fmt.Fprintln(w, "ID\tEXPIRES\tLEFT\tNODE\tJOINED\tFOR")
			for _, t := range tokens {
				fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\tnodes\n", t.ID, t.Expires, t.Left, t.Node, t.Joined)
			}
			for _, t := range ofMasters {
				left := 1
				if t.Master != "" {
					left = 0
				}
				fmt.Fprintf(w, "%s\t%s\t%d\t\t%s\ta master\n", t.ID, t.Expires, left, t.Master)
			}
			return w.Flush()
		}),
	}
}

func tokenDeleteCommand(path *string) *cobra.Command {
	return &cobra.Command{
		Use: "delete ID...", Short: "Revoke join tokens; nodes that have joined are not affected", Args: cobra.MinimumNArgs(1),
		RunE: owned(path, func(c *cobra.Command, ids []string, _ *rest.Config, cs kubernetes.Interface) error {
			for _, id := range ids {
				found, err := masters.Delete(c.Context(), cs, id)
				if err != nil {
					return err
				}
				if found {
					fmt.Fprintf(c.OutOrStdout(), "token %s deleted; a master that has joined with it keeps the keys\n", id)
					continue
				}
				if err := authn.DeleteJoinToken(c.Context(), cs, id); err != nil {
					return err
				}
				fmt.Fprintf(c.OutOrStdout(), "token %s deleted\n", id)
			}
			return nil
		}),
	}
}
