package pki

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// Reserved are the names and addresses that no node may have, since a server under one of them
// could impersonate the API server, a service or a pod.
type Reserved struct {
	Names     []string     // with all names below them
	Addresses []netip.Addr // the API server's own
	// Masters returns the addresses of all masters; nil: there is no other.
	Masters func() []netip.Addr
	Ranges  []netip.Prefix // of services and pods
	Pods    netip.Prefix   // of which each node has a part; not valid: any
	// Nodes are those that the owner of the server has configured with their addresses: the
	// master itself may be one. Their kubeconfigs are written by the server.
	Nodes map[string]netip.Addr
}

// ServerNames returns the names of an API server of the cluster's DNS domain, and the domains
// of services.
func ServerNames(domain string, names ...string) []string {
	return append(append(serverNames(domain), "svc", domain), names...)
}

// Name returns why no node may have the name, or nil.
func (r *Reserved) Name(node string) error {
	if wrong := validation.IsDNS1123Subdomain(node); len(wrong) > 0 {
		return fmt.Errorf("%q is not a node's name: %s", node, wrong[0])
	}
	for _, name := range r.names() {
		if node == name || strings.HasSuffix(node, "."+name) {
			return fmt.Errorf("%q is reserved: %s is a name of the API server or of services", node, name)
		}
	}
	return nil
}

func (r *Reserved) names() []string {
	if r == nil {
		return serverNames("cluster.local")
	}
	return r.Names
}

// Named reports whether the owner of the server has configured the node by name.
func (r *Reserved) Named(node string) bool {
	if r == nil {
		return false
	}
	_, ok := r.Nodes[node]
	return ok
}

// Own reports whether the node may have what is otherwise reserved, because it is configured by
// name: it runs on the API server's machine. A join token is not enough for that.
func (r *Reserved) Own(node string) bool {
	return r.Named(node) && (r.Name(node) != nil || r.anyones(r.Nodes[node]) != nil)
}

// Address returns why the node may not have the address, or nil.
func (r *Reserved) Address(node string, a netip.Addr) error {
	a = a.Unmap()
	if r.Named(node) && r.Nodes[node] == a {
		return nil
	}
	return r.anyones(a)
}

// anyones returns why no node at all may have the address unless it is configured, or nil.
func (r *Reserved) anyones(a netip.Addr) error {
	switch {
	case !a.IsValid() || a.Zone() != "" || a.IsUnspecified() || a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsMulticast() || a == broadcast:
		return fmt.Errorf("address %s is not the node's: it is of no single machine", a)
	case r == nil:
		return nil
	case slices.Contains(r.Addresses, a), r.Masters != nil && slices.Contains(r.Masters(), a):
		return fmt.Errorf("address %s is not the node's: it is the API server's (a node of the same machine is named by the server's --node)", a)
	}
	for _, p := range r.Ranges {
		if p.Contains(a) {
			return fmt.Errorf("address %s is not the node's: it is in %s, the range of services or pods", a, p)
		}
	}
	return nil
}

// PodCIDR returns why no node may have the range for its pods, or nil: other nodes send
// what is for it to that node.
func (r *Reserved) PodCIDR(p netip.Prefix) error {
	if r == nil || !r.Pods.IsValid() || (p.Bits() >= r.Pods.Bits() && r.Pods.Contains(p.Addr())) {
		return nil
	}
	return fmt.Errorf("%s is not in %s, the range of all pods", p, r.Pods)
}

var broadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})
