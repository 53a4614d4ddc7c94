package admission

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"wheelhouse/cluster/apiserver/authz"
)

// externalAddresses keeps traffic for addresses that are not the cluster's from whoever
// may write a Service: every node would send it where the Service says. It is upstream's
// plugin DenyServiceExternalIPs, but for those who have the right, and for the addresses
// in the status too.
func (c *Chain) externalAddresses(ctx context.Context, r *Request) error {
	s, ok := r.Object.(*corev1.Service)
	if !ok || (r.Verb != Create && r.Verb != Update) {
		return nil
	}
	old, _ := r.Old.(*corev1.Service)
	if old == nil {
		old = &corev1.Service{}
	}
	switch {
	case r.Subresource == "" && adds(old.Spec.ExternalIPs, s.Spec.ExternalIPs):
		return c.demand(ctx, r, externalAddressRight, "Use of external IPs is denied by admission control")
	case r.Subresource == "status" && adds(ingressIPs(old), ingressIPs(s)):
		if balancer, err := c.balances(ctx, r); balancer || err != nil {
			return err
		}
		return c.demand(ctx, r, externalAddressRight, "Use of load balancer addresses is denied by admission control")
	}
	return nil
}

// balances reports whether r's user may write the status of every Service, as a load
// balancer's controller may. A role in one namespace is not enough.
func (c *Chain) balances(ctx context.Context, r *Request) (bool, error) {
	allowed, _, err := c.authorizer.Authorize(ctx, authz.Attributes{
		User: r.User, Verb: "update", Version: "v1", Resource: "services", Subresource: "status", ResourceRequest: true,
	})
	if err != nil {
		return false, fmt.Errorf("authorizing the status of all services: %w", err)
	}
	return allowed, nil
}

func ingressIPs(s *corev1.Service) []string {
	var ips []string
	for _, in := range s.Status.LoadBalancer.Ingress {
		if in.IP != "" {
			ips = append(ips, in.IP)
		}
	}
	return ips
}

// adds reports whether now has what old has not.
func adds(old, now []string) bool {
	return slices.ContainsFunc(now, func(s string) bool { return !slices.Contains(old, s) })
}
