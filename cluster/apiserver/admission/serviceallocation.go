package admission

import (
	"context"

	corev1 "k8s.io/api/core/v1"

	"wheelhouse/cluster/apiserver/admission/serviceallocator"
)

// ServiceAllocation assigns Services their addresses and node ports. Upstream does this in the
// registry of Services.
type ServiceAllocation struct{ allocator *serviceallocator.Allocator }

// Admit implements Mutator.
func (p *ServiceAllocation) Admit(ctx context.Context, r *Request) error {
	s, ok := r.Object.(*corev1.Service)
	if !ok || !r.is("services", "") || (r.Verb != Create && r.Verb != Update) {
		return nil
	}
	old, _ := r.Old.(*corev1.Service)
	if r.service == nil {
		r.service = serviceallocator.NewReservation(r.Namespace, s.Name, r.DryRun)
	}
	ip, nodePort := s.Spec.ClusterIP, nodePorts(s)
	err := p.allocator.Allocate(ctx, r.service, s, old)
	if s.Spec.ClusterIP != ip || nodePorts(s) != nodePort {
		r.changed("ServiceAllocation")
	}
	return err
}

// Settle implements Settler.
func (p *ServiceAllocation) Settle(ctx context.Context, r *Request, err error) {
	if s, ok := r.Object.(*corev1.Service); ok && r.service != nil {
		p.allocator.Settle(ctx, r.service, s, err)
	}
}

// nodePorts is the sum of a service's node ports: it grows when one is allocated.
func nodePorts(s *corev1.Service) (sum int32) {
	for i := range s.Spec.Ports {
		sum += s.Spec.Ports[i].NodePort
	}
	return sum + s.Spec.HealthCheckNodePort
}
