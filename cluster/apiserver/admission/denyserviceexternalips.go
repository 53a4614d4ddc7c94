package admission

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"wheelhouse/cluster/apiserver/authz"
)

// DenyServiceExternalIPs refuses external addresses of Services: every node would send traffic
// for them where the Service says. Unlike upstream's it admits users who have the right, and
// checks the addresses in the status too.
type DenyServiceExternalIPs struct{ rights }

// Validate implements Validator.
func (p *DenyServiceExternalIPs) Validate(ctx context.Context, r *Request) error {
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
		return p.demand(ctx, r, externalAddressRight, "Use of external IPs is denied by admission control")
	case r.Subresource == "status" && adds(ingressIPs(old), ingressIPs(s)):
		if balancer, err := p.balances(ctx, r); balancer || err != nil {
			return err
		}
		return p.demand(ctx, r, externalAddressRight, "Use of load balancer addresses is denied by admission control")
	}
	return nil
}

// balances reports whether r's user may write the status of every Service, as the controller
// of a load balancer may. A role in one namespace is not enough.
func (p *DenyServiceExternalIPs) balances(ctx context.Context, r *Request) (bool, error) {
	allowed, _, err := p.authorizer.Authorize(ctx, authz.Attributes{
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

// adds reports whether now has what old does not have.
func adds(old, now []string) bool {
	return slices.ContainsFunc(now, func(s string) bool { return !slices.Contains(old, s) })
}
