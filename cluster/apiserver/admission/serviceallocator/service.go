package serviceallocator

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

var (
	clusterIPsPath = field.NewPath("spec", "clusterIPs")
	portsPath      = field.NewPath("spec", "ports")
)

// Allocate assigns a Service its cluster address and node ports, or claims those that it names.
// When it fails nothing is claimed.
func (a *Allocator) Allocate(ctx context.Context, r *Reservation, s, old *corev1.Service) error {
	if old != nil {
		inherit(s, old)
	}
	families(s)
	select {
	case <-a.ready:
	case <-ctx.Done():
		return apierrors.NewServiceUnavailable("the service addresses in use are not known yet")
	}
	errs, err := a.allocate(ctx, r, s, old)
	if err == nil && len(errs) > 0 {
		err = apierrors.NewInvalid(schema.GroupKind{Kind: "Service"}, s.Name, errs)
	}
	if err != nil {
		a.Settle(ctx, r, s, err)
	}
	return err
}

func (a *Allocator) allocate(ctx context.Context, r *Reservation, s, old *corev1.Service) (field.ErrorList, error) {
	errs := a.dualStack(s)
	if len(errs) > 0 {
		return errs, nil
	}
	if wantsAddress(s) {
		problem, err := a.address(ctx, r, s, old)
		if err != nil {
			return nil, err
		}
		errs = append(errs, problem...)
	}
	if len(errs) == 0 && wantsNodePorts(s) {
		return a.nodePorts(ctx, r, s, old)
	}
	return errs, nil
}

func headless(s *corev1.Service) bool { return s.Spec.ClusterIP == corev1.ClusterIPNone }

func wantsAddress(s *corev1.Service) bool {
	return s.Spec.Type != corev1.ServiceTypeExternalName && !headless(s)
}

func wantsNodePorts(s *corev1.Service) bool {
	switch s.Spec.Type {
	case corev1.ServiceTypeNodePort:
		return true
	case corev1.ServiceTypeLoadBalancer:
		return s.Spec.AllocateLoadBalancerNodePorts == nil || *s.Spec.AllocateLoadBalancerNodePorts
	}
	return false
}

func wantsHealthPort(s *corev1.Service) bool {
	return s.Spec.Type == corev1.ServiceTypeLoadBalancer && s.Spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal
}

// inherit sets what an update left out but the Service has, and clears what its new type does
// not use if the client only sent back what it had read.
func inherit(s, old *corev1.Service) {
	if wantsAddress(old) && wantsAddress(s) || headless(old) && s.Spec.Type != corev1.ServiceTypeExternalName {
		if s.Spec.ClusterIP == "" && len(s.Spec.ClusterIPs) == 0 {
			s.Spec.ClusterIP, s.Spec.ClusterIPs = old.Spec.ClusterIP, append([]string(nil), old.Spec.ClusterIPs...)
		}
	}
	if s.Spec.Type == corev1.ServiceTypeExternalName && old.Spec.Type != corev1.ServiceTypeExternalName {
		if s.Spec.ClusterIP == old.Spec.ClusterIP {
			s.Spec.ClusterIP, s.Spec.ClusterIPs = "", nil
		}
		s.Spec.IPFamilies, s.Spec.IPFamilyPolicy, s.Spec.InternalTrafficPolicy = nil, nil, nil
	}
	switch usesPorts, used := wantsNodePorts(s), wantsNodePorts(old); {
	case usesPorts && used:
		inheritNodePorts(s, old)
	case !usesPorts && used && s.Spec.Type != corev1.ServiceTypeLoadBalancer && sameNodePorts(s, old):
		for i := range s.Spec.Ports {
			s.Spec.Ports[i].NodePort = 0
		}
	}
	if wantsHealthPort(s) && wantsHealthPort(old) && s.Spec.HealthCheckNodePort == 0 {
		s.Spec.HealthCheckNodePort = old.Spec.HealthCheckNodePort
	}
	if !wantsHealthPort(s) && s.Spec.HealthCheckNodePort == old.Spec.HealthCheckNodePort {
		s.Spec.HealthCheckNodePort = 0
	}
	if s.Spec.Type == corev1.ServiceTypeClusterIP && s.Spec.ExternalTrafficPolicy == old.Spec.ExternalTrafficPolicy && len(s.Spec.ExternalIPs) == 0 {
		s.Spec.ExternalTrafficPolicy = ""
	}
}

// inheritNodePorts keeps a port's node port by protocol and number.
func inheritNodePorts(s, old *corev1.Service) {
	named := map[int32]bool{}
	for _, p := range s.Spec.Ports {
		named[p.NodePort] = true
	}
	for i := range s.Spec.Ports {
		p := &s.Spec.Ports[i]
		for _, o := range old.Spec.Ports {
			if p.NodePort == 0 && o.Port == p.Port && o.Protocol == p.Protocol && !named[o.NodePort] {
				p.NodePort = o.NodePort
			}
		}
	}
}

func sameNodePorts(s, old *corev1.Service) bool {
	had := map[int32]bool{}
	for _, p := range old.Spec.Ports {
		had[p.NodePort] = true
	}
	for _, p := range s.Spec.Ports {
		if p.NodePort != 0 && !had[p.NodePort] {
			return false
		}
	}
	return true
}

// families sets the fields about address families: a cluster has IPv4 only.
func families(s *corev1.Service) {
	if s.Spec.Type == corev1.ServiceTypeExternalName {
		return
	}
	if s.Spec.ClusterIP != "" && len(s.Spec.ClusterIPs) == 0 {
		s.Spec.ClusterIPs = []string{s.Spec.ClusterIP}
	}
	if s.Spec.ClusterIP == "" && len(s.Spec.ClusterIPs) > 0 {
		s.Spec.ClusterIP = s.Spec.ClusterIPs[0]
	}
	if s.Spec.IPFamilyPolicy == nil {
		single := corev1.IPFamilyPolicySingleStack
		s.Spec.IPFamilyPolicy = &single
	}
	if len(s.Spec.IPFamilies) == 0 {
		s.Spec.IPFamilies = []corev1.IPFamily{corev1.IPv4Protocol}
	}
}

func (a *Allocator) dualStack(s *corev1.Service) field.ErrorList {
	var errs field.ErrorList
	if s.Spec.Type == corev1.ServiceTypeExternalName {
		return nil
	}
	if p := s.Spec.IPFamilyPolicy; p != nil && *p == corev1.IPFamilyPolicyRequireDualStack {
		errs = append(errs, field.Invalid(field.NewPath("spec", "ipFamilyPolicy"), *p,
			"this cluster is not configured for dual-stack services"))
	}
	for i, f := range s.Spec.IPFamilies {
		if f == corev1.IPv6Protocol {
			errs = append(errs, field.Invalid(field.NewPath("spec", "ipFamilies").Index(i), f, "not configured on this cluster"))
		}
	}
	return errs
}

func (a *Allocator) address(ctx context.Context, r *Reservation, s, old *corev1.Service) (field.ErrorList, error) {
	if s.Spec.ClusterIP == "" {
		key, err := a.pick(ctx, r, addressSpan(a.cidr))
		if err != nil {
			return nil, err
		}
		if key == "" {
			return nil, apierrors.NewInternalError(errors.New("failed to allocate a serviceIP: range is full"))
		}
		ip := strings.TrimPrefix(key, "ip/")
		s.Spec.ClusterIP, s.Spec.ClusterIPs = ip, []string{ip}
		return nil, nil
	}
	if old != nil && old.Spec.Type != corev1.ServiceTypeExternalName {
		return nil, nil // it is the same, or validation refuses it
	}
	text := s.Spec.ClusterIPs[0]
	ip, err := netip.ParseAddr(text)
	if err != nil {
		return nil, nil //nolint:nilerr // validation refuses it
	}
	why := fmt.Sprintf("the provided IP (%s) is not in the valid range. The range of valid IPs is %s", ip, a.cidr)
	if a.contains(ip) {
		err := a.claim(ctx, r, ipKey(ip))
		if err == nil || !errors.Is(err, errClaimed) {
			return nil, err
		}
		why = "provided IP is already allocated"
	}
	return field.ErrorList{field.Invalid(clusterIPsPath, s.Spec.ClusterIPs, fmt.Sprintf("failed to allocate IP %s: %s", ip, why))}, nil
}

// contains reports whether ip is in the range, without the network and broadcast addresses.
func (a *Allocator) contains(ip netip.Addr) bool {
	return a.cidr.Contains(ip) && ip != a.cidr.Addr() && a.cidr.Contains(ip.Next())
}

func (a *Allocator) nodePorts(ctx context.Context, r *Reservation, s, old *corev1.Service) (field.ErrorList, error) {
	had := map[int32]bool{}
	if old != nil {
		for _, p := range old.Spec.Ports {
			had[p.NodePort] = true
		}
		had[old.Spec.HealthCheckNodePort] = true
	}
	var errs field.ErrorList
	given := map[corev1.Protocol]map[int32]bool{} // named or picked in this Service
	for i := range s.Spec.Ports {
		p := &s.Spec.Ports[i]
		if given[p.Protocol] == nil {
			given[p.Protocol] = map[int32]bool{}
		}
		problem, err := a.nodePort(ctx, r, &p.NodePort, had, portsPath.Index(i).Child("nodePort"))
		if err != nil {
			return nil, err
		}
		if problem == nil && given[p.Protocol][p.NodePort] {
			problem = field.Invalid(portsPath.Index(i).Child("nodePort"), p.NodePort, errPortTaken)
		}
		if problem != nil {
			errs = append(errs, problem)
		}
		given[p.Protocol][p.NodePort] = true
	}
	if wantsHealthPort(s) {
		problem, err := a.nodePort(ctx, r, &s.Spec.HealthCheckNodePort, had, field.NewPath("spec", "healthCheckNodePort"))
		if err != nil {
			return nil, err
		}
		if problem != nil {
			errs = append(errs, problem)
		}
	}
	return errs, nil
}

const errPortTaken = "provided port is already allocated"

// nodePort claims *port, or picks one when it is zero. The Service's other ports
// may have the same one under another protocol.
func (a *Allocator) nodePort(ctx context.Context, r *Reservation, port *int32, had map[int32]bool, path *field.Path) (*field.Error, error) {
	switch {
	case *port == 0:
		key, err := a.pick(ctx, r, portSpan(a.ports))
		if err != nil {
			return nil, err
		}
		if key == "" {
			return nil, apierrors.NewInternalError(errors.New("failed to allocate a nodePort: range is full"))
		}
		n, err := strconv.ParseInt(strings.TrimPrefix(key, "port/"), 10, 32)
		if err != nil {
			return nil, fmt.Errorf("reading port key %s: %w", key, err)
		}
		*port = int32(n)
	case had[*port]:
	case !a.ports.contains(*port):
		return field.Invalid(path, *port, fmt.Sprintf("provided port is not in the valid range. The range of valid ports is %s", a.ports)), nil
	default:
		err := a.claim(ctx, r, portKey(*port))
		if errors.Is(err, errClaimed) {
			return field.Invalid(path, *port, errPortTaken), nil
		}
		return nil, err
	}
	return nil, nil
}
