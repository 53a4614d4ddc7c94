package admission

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"wheelhouse/cluster/apiserver/authz"
)

// Reserved has what no node may have; pki.Reserved is one.
type Reserved interface {
	// Name and Address return why a node may not have a name or an address, or nil.
	Name(node string) error
	Address(node string, a netip.Addr) error
	// PodCIDR returns why no node may have the range for its pods, or nil.
	PodCIDR(netip.Prefix) error
	// Named reports whether the owner of the server has configured the node by name.
	Named(node string) bool
}

// NodeAddresses refuses nodes the names and addresses of the API server, of services, of pods
// and of each other: the API server connects to the addresses that a node writes into its own
// status, other nodes send it what is for its pod range, and it may serve under them. It refuses
// them the WireGuard keys of each other, too, by which nodes send. Administrators may write any address.
type NodeAddresses struct {
	objects  authz.Objects
	reserved Reserved
}

// Admit implements Mutator.
func (p *NodeAddresses) Admit(ctx context.Context, r *Request) error {
	if !r.is("nodes", "") && !r.is("nodes", "status") {
		return nil
	}
	node, ok := r.Object.(*corev1.Node)
	if !ok {
		return nil
	}
	valid := len(validation.IsDNS1123Subdomain(node.Name)) == 0 // what is no name is refused by validation
	if r.Verb == Create && valid && !p.reserved.Named(node.Name) {
		if err := p.reserved.Name(node.Name); err != nil {
			return r.forbidden("%w", err)
		}
	}
	old, ok := r.Old.(*corev1.Node)
	if !ok {
		old = &corev1.Node{}
	}
	addresses := added(node.Status.Addresses, old.Status.Addresses)
	ranges := added(podCIDRs(node), podCIDRs(old))
	keys := added(wireGuardKeys(node), wireGuardKeys(old))
	if len(addresses)+len(ranges)+len(keys) == 0 || r.User.InGroup("system:masters") {
		return nil
	}
	others, err := list[*corev1.Node](ctx, p.objects, nodesResource, "", true)
	if err != nil {
		return fmt.Errorf("listing nodes: %w", err)
	}
	others = slices.DeleteFunc(others, func(n *corev1.Node) bool { return n.Name == node.Name })
	for _, a := range addresses {
		if err := p.checkAddress(node.Name, a, others); err != nil {
			return r.forbidden("%w", err)
		}
	}
	for _, key := range keys {
		if err := checkKey(key, others); err != nil {
			return r.forbidden("%w", err)
		}
	}
	for _, cidr := range ranges {
		if err := p.checkPodCIDR(cidr, others); err != nil {
			return r.forbidden("%w", err)
		}
	}
	return nil
}

// wireGuardKey is the annotation with a node's public key (network.KeyAnnotation of the kubelet, on which
// the API server does not depend).
const wireGuardKey = "network.wheelhouse.dev/wireguard-public-key"

func wireGuardKeys(n *corev1.Node) []string {
	if key := n.Annotations[wireGuardKey]; key != "" {
		return []string{key}
	}
	return nil
}

// checkKey refuses what is no key of 32 bytes in the one spelling that it has, and a key of another node.
func checkKey(text string, others []*corev1.Node) error {
	key, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || len(key) != 32 || base64.StdEncoding.EncodeToString(key) != text {
		return fmt.Errorf("annotation %s: %.64q is not a key of 32 bytes in base64", wireGuardKey, text)
	}
	for _, n := range others {
		if n.Annotations[wireGuardKey] == text {
			return fmt.Errorf("annotation %s: the key is node %q's", wireGuardKey, n.Name)
		}
	}
	return nil
}

func added[T comparable](now, before []T) []T {
	return slices.DeleteFunc(slices.Clone(now), func(x T) bool { return slices.Contains(before, x) })
}

func podCIDRs(n *corev1.Node) []string {
	if n.Spec.PodCIDR == "" || slices.Contains(n.Spec.PodCIDRs, n.Spec.PodCIDR) {
		return n.Spec.PodCIDRs
	}
	return append([]string{n.Spec.PodCIDR}, n.Spec.PodCIDRs...)
}

func (p *NodeAddresses) checkAddress(node string, a corev1.NodeAddress, others []*corev1.Node) error {
	if err := p.mayHave(node, a); err != nil {
		return err
	}
	for _, n := range others {
		if n.Name == a.Address || slices.ContainsFunc(n.Status.Addresses, func(b corev1.NodeAddress) bool { return a.Address == b.Address }) {
			return fmt.Errorf("address %s is node %q's", a.Address, n.Name)
		}
	}
	return nil
}

func (p *NodeAddresses) checkPodCIDR(text string, others []*corev1.Node) error {
	cidr, err := netip.ParsePrefix(text)
	if err != nil {
		return nil //nolint:nilerr // validation refuses it
	}
	if err := p.reserved.PodCIDR(cidr); err != nil {
		return err
	}
	for _, n := range others {
		for _, q := range podNetworks(n) {
			if q.Overlaps(cidr) {
				return fmt.Errorf("the range %s overlaps with %s of node %q", cidr, q, n.Name)
			}
		}
	}
	return nil
}

func (p *NodeAddresses) mayHave(node string, a corev1.NodeAddress) error {
	switch a.Type {
	case corev1.NodeInternalIP, corev1.NodeExternalIP:
		ip, err := netip.ParseAddr(a.Address)
		if err != nil {
			return fmt.Errorf("%s %q is no address", a.Type, a.Address)
		}
		return p.reserved.Address(node, ip)
	}
	if a.Address == node {
		return nil
	}
	if ip, err := netip.ParseAddr(a.Address); err == nil { // some name their nodes so
		return p.reserved.Address(node, ip)
	}
	return p.reserved.Name(a.Address)
}
