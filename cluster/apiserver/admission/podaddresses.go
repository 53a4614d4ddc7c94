package admission

import (
	"context"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"wheelhouse/cluster/apiserver/authz"
)

// PodCanHave reports whether ip can be an address of the pod: one of the pod ranges of its
// node or, with hostNetwork, one of the node itself.
func PodCanHave(pod *corev1.Pod, node *corev1.Node, ip netip.Addr) bool {
	if pod.Spec.HostNetwork {
		return nodeHas(node, ip)
	}
	return slices.ContainsFunc(podNetworks(node), func(p netip.Prefix) bool { return p.Contains(ip) })
}

func nodeHas(node *corev1.Node, ip netip.Addr) bool {
	return slices.ContainsFunc(node.Status.Addresses, func(a corev1.NodeAddress) bool {
		own, err := netip.ParseAddr(a.Address)
		return err == nil && own == ip
	})
}

// podNetworks returns the pod ranges of a node.
func podNetworks(node *corev1.Node) (list []netip.Prefix) {
	for _, text := range podCIDRs(node) {
		if p, err := netip.ParsePrefix(text); err == nil {
			list = append(list, p.Masked())
		}
	}
	return list
}

// PodAddresses refuses addresses in the status of a pod that the pod cannot have: the API
// server and services would send traffic there. Administrators may write any address.
type PodAddresses struct{ objects authz.Objects }

// Validate implements Validator.
func (p *PodAddresses) Validate(ctx context.Context, r *Request) error {
	pod, ok := r.Object.(*corev1.Pod)
	old, wasPod := r.Old.(*corev1.Pod)
	if !ok || !wasPod || !r.is("pods", "status") || r.User == nil || r.User.InGroup("system:masters") {
		return nil
	}
	s, o := &pod.Status, &old.Status
	if s.PodIP == o.PodIP && s.HostIP == o.HostIP && slices.Equal(s.PodIPs, o.PodIPs) && slices.Equal(s.HostIPs, o.HostIPs) {
		return nil
	}
	node, err := get[*corev1.Node](ctx, p.objects, nodesResource, "", old.Spec.NodeName, false)
	if err != nil {
		if !apierrors.IsNotFound(err) {
			return err
		}
		node = &corev1.Node{}
	}
	silent := len(node.Status.Addresses) == 0 && err == nil // it has just been registered
	for _, text := range addressesOf(s.PodIP, s.PodIPs, func(p corev1.PodIP) string { return p.IP }) {
		ip, err := netip.ParseAddr(text)
		if err == nil && !PodCanHave(old, node, ip) && !(silent && old.Spec.HostNetwork) {
			return r.forbidden("podIP %s is not an address that a pod on node %q can have", text, old.Spec.NodeName)
		}
	}
	for _, text := range addressesOf(s.HostIP, s.HostIPs, func(h corev1.HostIP) string { return h.IP }) {
		ip, err := netip.ParseAddr(text)
		if err == nil && !nodeHas(node, ip) && !silent {
			return r.forbidden("hostIP %s is not an address of node %q", text, old.Spec.NodeName)
		}
	}
	return nil
}

func addressesOf[T any](first string, all []T, text func(T) string) []string {
	var list []string
	if first != "" {
		list = append(list, first)
	}
	for _, a := range all {
		list = append(list, text(a))
	}
	return list
}
