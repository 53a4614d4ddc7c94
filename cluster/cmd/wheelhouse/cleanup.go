package main

import (
	"context"
	"errors"
	"log/slog"

	"wheelhouse/cluster/kubelet/network"
	"wheelhouse/cluster/proxy"
)

// cleanUp removes what a node has made in this machine's network: the bridge, pods' interfaces,
// routes, and packet rules. It is for a machine that stops being a node, as kube-proxy's
// --cleanup; containers and control groups are removed by `wheelhouse down`.
func (o *nodeOptions) cleanUp(ctx context.Context, log *slog.Logger) error {
	pods, err := network.New(network.Config{PodCIDR: o.podCIDR.Prefix, ClusterCIDR: o.clusterCIDR.Prefix, NodeIP: o.address.Addr, Log: log})
	if err != nil {
		return err
	}
	return errors.Join(pods.Cleanup(), proxy.Cleanup(ctx)) //nolint:contextcheck // what has been begun is finished
}
