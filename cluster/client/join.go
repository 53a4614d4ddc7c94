package client

import (
	"context"
	"fmt"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// Join turns a join token into a node's own identity: the kubeconfig, not yet
// written, with which the machine is the node from now on. The key is made here.
// ca is the cluster's certificate, which travels with the token: without it the
// machine could not tell whom it gives the token to.
func Join(ctx context.Context, server string, ca []byte, token, node string) (*Kubeconfig, error) {
	c, err := kubernetes.NewForConfig(&rest.Config{
		Host: server, BearerToken: token, TLSClientConfig: rest.TLSClientConfig{CAData: ca},
	})
	if err != nil {
		return nil, fmt.Errorf("reaching %s: %w", server, err)
	}
	pair, err := nodeCertificate(ctx, c, node)
	if err != nil {
		return nil, err
	}
	return &Kubeconfig{Cluster: "wheelhouse", Server: server, CA: ca, User: NodePrefix + node, Cert: pair.Cert, Key: pair.Key}, nil
}
