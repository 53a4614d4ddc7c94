package main

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"path/filepath"

	"wheelhouse/cluster/kubelet/network"
	"wheelhouse/cluster/local"
	"wheelhouse/cluster/netpol"
	"wheelhouse/cluster/proxy"
)

// cleanUp removes what a node has made on this machine: containers, mounts, pods' directories,
// control groups, the bridge, pods' interfaces, those to other nodes, routes, and packet rules with their sets. It is for a machine
// that stops being a node, as kube-proxy's --cleanup and kubeadm's reset. The node's identity
// and disk stay in its directory.
func (o *nodeOptions) cleanUp(ctx context.Context, log *slog.Logger) error {
	if err := o.findName(); err != nil {
		return err
	}
	if !o.podCIDR.IsValid() { // nothing that is removed depends on it
		o.podCIDR.Prefix = netip.PrefixFrom(o.clusterCIDR.Addr(), 24)
	}
	pods, err := network.New(network.Config{PodCIDR: o.podCIDR.Prefix, ClusterCIDR: o.clusterCIDR.Prefix, NodeIP: o.address.Addr, Log: log})
	if err != nil {
		return err
	}
	made := local.NodeConfig{Cluster: o.cluster, Name: o.name, Dir: filepath.Join(o.stateDir, "kubelet")}
	return errors.Join(local.RemoveNode(ctx, made), pods.Cleanup(), proxy.Cleanup(ctx), netpol.Cleanup(ctx)) //nolint:contextcheck // what has been begun is finished
}
