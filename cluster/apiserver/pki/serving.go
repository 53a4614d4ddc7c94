package pki

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"wheelhouse/cluster/client"
)

var (
	nodes     = schema.GroupResource{Resource: "nodes"}
	endpoints = schema.GroupResource{Resource: "endpoints"}
)

// servesAs returns why the node may not serve under the names and addresses of req, or nil.
// A node has its own name, the host names and addresses of its Node object, and the address
// that the request came from.
func (s *Signer) servesAs(ctx context.Context, name string, req *x509.CertificateRequest) error {
	if len(req.URIs) > 0 || len(req.EmailAddresses) > 0 {
		return errors.New("a node serves under names and addresses, not URIs or mail addresses")
	}
	node, others, err := s.nodes(ctx, name)
	if err != nil {
		return err
	}
	for _, n := range req.DNSNames {
		if n != name && !(slices.Contains(node, n) && !slices.Contains(others, n) && s.Reserved.Name(n) == nil) {
			return fmt.Errorf("DNS name %q is not the node's", n)
		}
	}
	masters, err := s.masters(ctx)
	if err != nil {
		return err
	}
	for _, ip := range req.IPAddresses {
		a, ok := netip.AddrFromSlice(ip)
		a = a.Unmap()
		if !ok {
			return fmt.Errorf("address %s is not the node's", ip)
		}
		if err := s.Reserved.Address(name, a); err != nil {
			return err
		}
		own := s.Reserved.Named(name) && s.Reserved.Nodes[name] == a
		if !own && (slices.Contains(masters, a.String()) || slices.Contains(others, a.String()) || (a != client.PeerFrom(ctx) && !slices.Contains(node, a.String()))) {
			return fmt.Errorf("address %s is not the node's: neither does its Node have it, nor did the request come from there", a)
		}
	}
	return nil
}

// nodes returns the addresses of the node's object, and those of all others, with their names.
func (s *Signer) nodes(ctx context.Context, name string) (own, others []string, err error) {
	all, _, err := s.Objects.List(ctx, nodes, "", true)
	if err != nil {
		return nil, nil, fmt.Errorf("listing nodes: %w", err)
	}
	for _, o := range all {
		n, ok := o.(*corev1.Node)
		if !ok {
			continue
		}
		to := &others
		if n.Name == name {
			to = &own
		}
		*to = append(*to, n.Name)
		for _, a := range n.Status.Addresses {
			*to = append(*to, a.Address)
		}
	}
	return own, others, nil
}

// masters returns the addresses of all API servers: there may be more than this one.
func (s *Signer) masters(ctx context.Context) ([]string, error) {
	o, err := s.Objects.Get(ctx, endpoints, "default", "kubernetes", false)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("looking for the API servers: %w", err)
	}
	var out []string
	if e, ok := o.(*corev1.Endpoints); ok { // old, and all that is needed
		for _, set := range e.Subsets {
			for _, a := range append(slices.Clone(set.Addresses), set.NotReadyAddresses...) {
				out = append(out, a.IP)
			}
		}
	}
	return out, nil
}
