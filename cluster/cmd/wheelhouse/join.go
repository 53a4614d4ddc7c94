package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"k8s.io/client-go/tools/clientcmd"

	"wheelhouse/cluster/client"
)

// joinOptions are how a machine without a kubeconfig becomes a node.
type joinOptions struct{ server, token, tokenFile, pin string }

// join writes the node's kubeconfig below dir and returns its path. A node that has joined
// before keeps its identity, unless rejoin is set; a --server that is another one than then is used from now on.
func (j *joinOptions) join(ctx context.Context, dir, node string, rejoin bool) (string, error) {
	path := identityPath(dir, node)
	if !rejoin && existing(path) != "" {
		return path, j.moved(path)
	}
	if err := j.readToken(); err != nil {
		return "", err
	}
	if j.server == "" || j.token == "" || j.pin == "" {
		return "", errNoCluster
	}
	ca, err := client.PinnedCA(ctx, j.server, j.pin)
	if err != nil {
		return "", err
	}
	k, err := client.Join(ctx, j.server, ca, j.token, node)
	if err != nil {
		return "", fmt.Errorf("joining %s (`wheelhouse token` creates a new token): %w", j.server, err)
	}
	return path, client.WriteKubeconfig(path, *k)
}

// moved writes the server's URL into the kubeconfig, if it has another one. The authority in there stays, so that only a master of
// the cluster can be at that URL.
func (j *joinOptions) moved(path string) error {
	if j.server == "" {
		return nil
	}
	c, err := clientcmd.LoadFromFile(path)
	if err != nil {
		return fmt.Errorf("reading kubeconfig %s: %w", path, err)
	}
	changed := false
	for _, cluster := range c.Clusters {
		changed = changed || cluster.Server != j.server
		cluster.Server = j.server
	}
	if !changed {
		return nil
	}
	data, err := clientcmd.Write(*c)
	if err != nil {
		return fmt.Errorf("encoding kubeconfig %s: %w", path, err)
	}
	return client.WriteFile(path, data)
}

var errNoCluster = errors.New("--kubeconfig is needed, or --server, --token (or --token-file) and --ca-pin as `wheelhouse token` prints them")

// identityPath returns the kubeconfig of a node that has joined.
func identityPath(dir, node string) string { return filepath.Join(dir, node+".kubeconfig") }

// check returns an error for a node whose flags name no cluster and that has joined none before.
func (j *joinOptions) check(dir, node string) error {
	named := j.server != "" && j.token+j.tokenFile != "" && j.pin != ""
	if named || existing(identityPath(dir, node)) != "" {
		return nil
	}
	return errNoCluster
}

// readToken reads the token from its file, if there is one.
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
