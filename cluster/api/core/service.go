package core

import (
	"cmp"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/api/rules"
)

// Services is the kind Service: one address for a set of pods. Admission allocates addresses and node ports.
var Services = api.Of[corev1.Service, corev1.ServiceList](&api.Kind{
	GroupVersionKind: api.GVK("", "v1", "Service"),
	Plural:           "services", Singular: "service", Short: []string{"svc"}, Categories: []string{"all"}, Namespaced: true,
	HasStatus: true,
	Connect: []api.Subresource{
		{Name: "proxy", Kind: api.GVK("", "v1", "ServiceProxyOptions"), Verbs: proxyVerbs},
	},

	Default: rules.Mutate(defaultService),
	PrepareCreate: rules.Mutate(func(s *corev1.Service) {
		s.Status = corev1.ServiceStatus{}
		setFamilies(s)
	}),
	PrepareUpdate: rules.MutateUpdate(prepareServiceUpdate),
	PrepareStatus: rules.MutateUpdate(func(s, old *corev1.Service) { s.Spec = old.Spec }),

	Validate:       rules.Typed(validateNewService),
	ValidateUpdate: rules.TypedUpdate(validateServiceUpdate),
	ValidateStatus: rules.TypedUpdate(validateLoadBalancerStatus),

	Warn: rules.Typed(serviceWarnings),

	Columns: []metav1.TableColumnDefinition{
		rules.NameColumn,
		rules.Column("Type", "string", 0, rules.Doc(corev1.ServiceSpec{}, "type")),
		rules.Column("Cluster-IP", "string", 0, rules.Doc(corev1.ServiceSpec{}, "clusterIP")),
		rules.Column("External-IP", "string", 0, rules.Doc(corev1.ServiceSpec{}, "externalIPs")),
		rules.Column("Port(s)", "string", 0, rules.Doc(corev1.ServiceSpec{}, "ports")),
		rules.AgeColumn,
		rules.Column("Selector", "string", 1, rules.Doc(corev1.ServiceSpec{}, "selector")),
	},
	Row: rules.Typed(func(s *corev1.Service) []any {
		ip := "<none>"
		if len(s.Spec.ClusterIPs) > 0 {
			ip = s.Spec.ClusterIPs[0]
		} else if s.Spec.ClusterIP != "" {
			ip = s.Spec.ClusterIP
		}
		return []any{
			s.Name, string(s.Spec.Type), ip, externalIPs(s), servicePorts(s.Spec.Ports), rules.Age(s.CreationTimestamp),
			labels.FormatLabels(s.Spec.Selector),
		}
	}),
	Fields: rules.Typed(func(s *corev1.Service) fields.Set {
		return fields.Set{"spec.clusterIP": s.Spec.ClusterIP, "spec.type": string(s.Spec.Type)}
	}),
})

func externalIPs(s *corev1.Service) string {
	switch s.Spec.Type {
	case corev1.ServiceTypeExternalName:
		return s.Spec.ExternalName
	case corev1.ServiceTypeLoadBalancer:
		var list []string
		for _, in := range s.Status.LoadBalancer.Ingress {
			if in.IP != "" {
				list = append(list, in.IP)
			} else if in.Hostname != "" {
				list = append(list, in.Hostname)
			}
		}
		return cmp.Or(strings.Join(append(list, s.Spec.ExternalIPs...), ","), "<pending>")
	}
	return rules.OrNone(strings.Join(s.Spec.ExternalIPs, ","))
}

func servicePorts(ports []corev1.ServicePort) string {
	list := make([]string, len(ports))
	for i := range ports {
		p := &ports[i]
		if p.NodePort > 0 {
			list[i] = fmt.Sprintf("%d:%d/%s", p.Port, p.NodePort, p.Protocol)
		} else {
			list[i] = fmt.Sprintf("%d/%s", p.Port, p.Protocol)
		}
	}
	return rules.OrNone(strings.Join(list, ","))
}

func isHeadless(s *corev1.Service) bool {
	return s.Spec.ClusterIP == corev1.ClusterIPNone
}

// externallyAccessible reports whether traffic can reach the service from outside the cluster.
func externallyAccessible(s *corev1.Service) bool {
	switch s.Spec.Type {
	case corev1.ServiceTypeNodePort, corev1.ServiceTypeLoadBalancer:
		return true
	case corev1.ServiceTypeClusterIP:
		return len(s.Spec.ExternalIPs) > 0
	}
	return false
}

func defaultService(svc *corev1.Service) {
	s := &svc.Spec
	rules.SetDefault(&s.SessionAffinity, corev1.ServiceAffinityNone)
	switch s.SessionAffinity {
	case corev1.ServiceAffinityNone:
		s.SessionAffinityConfig = nil
	case corev1.ServiceAffinityClientIP:
		if s.SessionAffinityConfig == nil {
			s.SessionAffinityConfig = &corev1.SessionAffinityConfig{}
		}
		if s.SessionAffinityConfig.ClientIP == nil {
			s.SessionAffinityConfig.ClientIP = &corev1.ClientIPConfig{}
		}
		rules.SetDefaultPtr(&s.SessionAffinityConfig.ClientIP.TimeoutSeconds, corev1.DefaultClientIPServiceAffinitySeconds)
	}
	rules.SetDefault(&s.Type, corev1.ServiceTypeClusterIP)
	for i := range s.Ports {
		p := &s.Ports[i]
		rules.SetDefault(&p.Protocol, corev1.ProtocolTCP)
		if p.TargetPort == intstr.FromInt32(0) || p.TargetPort == intstr.FromString("") {
			p.TargetPort = intstr.FromInt32(p.Port)
		}
	}
	if externallyAccessible(svc) {
		rules.SetDefault(&s.ExternalTrafficPolicy, corev1.ServiceExternalTrafficPolicyCluster)
	}
	if s.Type != corev1.ServiceTypeExternalName {
		rules.SetDefaultPtr(&s.InternalTrafficPolicy, corev1.ServiceInternalTrafficPolicyCluster)
	}
	if s.Type == corev1.ServiceTypeLoadBalancer {
		rules.SetDefaultPtr(&s.AllocateLoadBalancerNodePorts, true)
		for i := range svc.Status.LoadBalancer.Ingress {
			if in := &svc.Status.LoadBalancer.Ingress[i]; in.IP != "" {
				rules.SetDefaultPtr(&in.IPMode, corev1.LoadBalancerIPModeVIP)
			}
		}
	}
}

// setFamilies sets what a Service leaves out of its address families. As upstream these are no defaults: who writes
// the Service does not own them.
func setFamilies(svc *corev1.Service) {
	s := &svc.Spec
	if s.Type == corev1.ServiceTypeExternalName {
		return
	}
	rules.SetDefaultPtr(&s.IPFamilyPolicy, corev1.IPFamilyPolicySingleStack)
	if len(s.IPFamilies) == 0 {
		s.IPFamilies = []corev1.IPFamily{corev1.IPv4Protocol}
	}
	// clusterIP is the first of clusterIPs.
	if s.ClusterIP != "" && len(s.ClusterIPs) == 0 {
		s.ClusterIPs = []string{s.ClusterIP}
	}
}

// prepareServiceUpdate keeps allocated values that the update does not set, and drops those that the new type
// does not use.
func prepareServiceUpdate(svc, old *corev1.Service) {
	svc.Status = old.Status
	s, o := &svc.Spec, &old.Spec
	if s.IPFamilyPolicy == nil && s.Type != corev1.ServiceTypeExternalName {
		s.IPFamilyPolicy = o.IPFamilyPolicy
	}
	setFamilies(svc)
	if s.Type == corev1.ServiceTypeExternalName {
		// The change to ExternalName releases the address.
		if s.ClusterIP == o.ClusterIP {
			s.ClusterIP, s.ClusterIPs = "", nil
		}
		if o.Type != corev1.ServiceTypeExternalName {
			s.IPFamilies, s.IPFamilyPolicy, s.InternalTrafficPolicy = nil, nil, nil
		}
	} else if o.Type != corev1.ServiceTypeExternalName {
		if s.ClusterIP == "" && len(s.ClusterIPs) == 0 {
			s.ClusterIP, s.ClusterIPs = o.ClusterIP, o.ClusterIPs
		} else if s.ClusterIP != o.ClusterIP && rules.Equal(s.ClusterIPs, o.ClusterIPs) {
			s.ClusterIPs = nil
			if s.ClusterIP != "" {
				s.ClusterIPs = []string{s.ClusterIP}
			}
		}
	}
	if needsNodePort(svc) {
		keepNodePorts(s.Ports, o.Ports)
	} else if needsNodePort(old) {
		dropNodePorts(s.Ports, o.Ports)
	}
	if !externallyAccessible(svc) && externallyAccessible(old) && s.ExternalTrafficPolicy == o.ExternalTrafficPolicy {
		s.ExternalTrafficPolicy = ""
	}
	if s.Type != corev1.ServiceTypeLoadBalancer && o.Type == corev1.ServiceTypeLoadBalancer {
		if rules.Equal(s.AllocateLoadBalancerNodePorts, o.AllocateLoadBalancerNodePorts) {
			s.AllocateLoadBalancerNodePorts = nil
		}
		if rules.Equal(s.LoadBalancerClass, o.LoadBalancerClass) {
			s.LoadBalancerClass = nil
		}
		svc.Status.LoadBalancer = corev1.LoadBalancerStatus{}
	}
	if s.HealthCheckNodePort == 0 && needsHealthCheck(svc) && needsHealthCheck(old) {
		s.HealthCheckNodePort = o.HealthCheckNodePort
	}
	if !needsHealthCheck(svc) && s.HealthCheckNodePort == o.HealthCheckNodePort {
		s.HealthCheckNodePort = 0
	}
}

func needsNodePort(s *corev1.Service) bool {
	return s.Spec.Type == corev1.ServiceTypeNodePort || s.Spec.Type == corev1.ServiceTypeLoadBalancer
}

func needsHealthCheck(s *corev1.Service) bool {
	return s.Spec.Type == corev1.ServiceTypeLoadBalancer && s.Spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal
}

func keepNodePorts(ports, old []corev1.ServicePort) {
	for i := range ports {
		if ports[i].NodePort != 0 {
			continue
		}
		for k := range old {
			if old[k].Port == ports[i].Port && old[k].Protocol == ports[i].Protocol && !hasNodePort(ports, old[k].NodePort) {
				ports[i].NodePort = old[k].NodePort
				break
			}
		}
	}
}

func hasNodePort(ports []corev1.ServicePort, n int32) bool {
	for i := range ports {
		if ports[i].NodePort == n {
			return true
		}
	}
	return false
}

func dropNodePorts(ports, old []corev1.ServicePort) {
	for i := range ports {
		if hasNodePort(old, ports[i].NodePort) {
			ports[i].NodePort = 0
		}
	}
}
