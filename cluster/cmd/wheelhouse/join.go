package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"wheelhouse/cluster/apiserver/authn"
	"wheelhouse/cluster/client"
)

// tokenCommand lets another machine become a node.
func tokenCommand() *cobra.Command {
	path, life := kubeconfig(), 24*time.Hour
	c := &cobra.Command{
		Use:   "token",
		Short: "Make a token with which another machine joins as a node, and print the command for it",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if path == "" {
				return errNoKubeconfig
			}
			rc, err := client.FromKubeconfig(path)
			if err != nil {
				return err
			}
			pin, err := client.Pin(rc.CAData)
			if err != nil {
				return err
			}
			cs, err := kubernetes.NewForConfig(rc)
			if err != nil {
				return err
			}
			token, secret := authn.NewBootstrapToken(life)
			if _, err := cs.CoreV1().Secrets(secret.Namespace).Create(c.Context(), secret, metav1.CreateOptions{}); err != nil {
				return fmt.Errorf("writing the token: %w", err)
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "wheelhouse node --server %s --token %s --ca-pin %s --name NAME --address IP --pod-cidr CIDR\n", rc.Host, token, pin)
			return err
		},
	}
	c.Flags().StringVar(&path, "kubeconfig", path, "where the API server is, and who we are")
	c.Flags().DurationVar(&life, "ttl", life, "how long the token is good")
	return c
}

// joinOptions are how a machine without a kubeconfig becomes a node.
type joinOptions struct{ server, token, tokenFile, pin string }

// join makes the node's kubeconfig below dir and gives its path. A node that joined
// before is itself again: its token may have ended.
func (j *joinOptions) join(ctx context.Context, dir, node string) (string, error) {
	path := filepath.Join(dir, node+".kubeconfig")
	if existing(path) != "" {
		return path, nil
	}
	if err := j.readToken(); err != nil {
		return "", err
	}
	if j.server == "" || j.token == "" || j.pin == "" {
		return "", errors.New("--kubeconfig is needed, or --server, --token (or --token-file) and --ca-pin as `wheelhouse token` prints them")
	}
	ca, err := client.PinnedCA(ctx, j.server, j.pin)
	if err != nil {
		return "", err
	}
	k, err := client.Join(ctx, j.server, ca, j.token, node)
	if err != nil {
		return "", fmt.Errorf("joining %s (`wheelhouse token` makes a new token): %w", j.server, err)
	}
	return path, client.WriteKubeconfig(path, *k)
}

// readToken takes the token from its file, if there is one.
func (j *joinOptions) readToken() error {
	if j.tokenFile == "" {
		return nil
	}
	data, err := os.ReadFile(j.tokenFile)
	if err != nil {
		return fmt.Errorf("reading the join token: %w", err)
	}
	j.token = strings.TrimSpace(string(data))
	return nil
}
