package endpointslice

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	v1 "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
	"k8s.io/utils/ptr"

	"wheelhouse/cluster/api/podfacts"
	"wheelhouse/cluster/controller/endpoints"
)

// group is the endpoints of a service that can share slices: same address type, same ports.
type group struct {
	addressType discovery.AddressType
	ports       []discovery.EndpointPort
	endpoints   []discovery.Endpoint
}

func (g *group) key() string { return groupKey(g.addressType, g.ports) }

func groupKey(t discovery.AddressType, ports []discovery.EndpointPort) string {
	key := string(t)
	for _, p := range ports {
		key += fmt.Sprintf("|%s/%s/%d/%s", ptr.Deref(p.Name, ""), ptr.Deref(p.Protocol, ""), ptr.Deref(p.Port, 0), ptr.Deref(p.AppProtocol, ""))
	}
	return key
}

// groupsOfPods returns the endpoints of a service with a selector. A terminating
// pod stays listed, not ready, and serving while its probes say so. zone returns a
// node's zone, "" if it has none.
func groupsOfPods(svc *v1.Service, pods []*v1.Pod, zone func(node string) string) []group {
	groups := map[string]*group{}
	for _, t := range families(svc) {
		for _, p := range pods {
			ip := endpoints.Address(p, t == discovery.AddressTypeIPv6)
			if !endpoints.IsEndpoint(p, true) || ip == "" {
				continue
			}
			ports, ok := portsOf(svc, p)
			if !ok {
				continue
			}
			key := groupKey(t, ports)
			if groups[key] == nil {
				groups[key] = &group{addressType: t, ports: ports}
			}
			groups[key].endpoints = append(groups[key].endpoints, endpointOf(svc, p, ip, zone))
		}
	}
	if len(groups) == 0 {
		// One empty slice publishes that the service has no endpoints.
		return []group{{addressType: families(svc)[0]}}
	}
	return sorted(groups)
}

func families(svc *v1.Service) []discovery.AddressType {
	var out []discovery.AddressType
	for _, f := range svc.Spec.IPFamilies {
		out = append(out, discovery.AddressType(f))
	}
	if len(out) == 0 {
		out = []discovery.AddressType{discovery.AddressTypeIPv4}
	}
	return out
}

func endpointOf(svc *v1.Service, p *v1.Pod, ip string, zone func(string) string) discovery.Endpoint {
	serving, terminating := podfacts.Ready(p), p.DeletionTimestamp != nil
	ready := svc.Spec.PublishNotReadyAddresses || serving && !terminating
	e := discovery.Endpoint{
		Addresses:  []string{ip},
		Conditions: discovery.EndpointConditions{Ready: &ready, Serving: &serving, Terminating: &terminating},
		TargetRef:  endpoints.TargetRef(p),
	}
	if node := p.Spec.NodeName; node != "" {
		e.NodeName = &node
		if z := zone(node); z != "" {
			e.Zone = &z
		}
	}
	if h := endpoints.Hostname(p, svc); h != "" {
		e.Hostname = &h
	}
	e.Hints = hints(svc, &e)
	return e
}

// hints returns which clients should prefer an endpoint, if the service sets
// trafficDistribution: those of its zone, and with PreferSameNode those of its node.
func hints(svc *v1.Service, e *discovery.Endpoint) *discovery.EndpointHints {
	if !*e.Conditions.Ready || automatic(svc) {
		return nil
	}
	var h discovery.EndpointHints
	switch ptr.Deref(svc.Spec.TrafficDistribution, "") {
	case v1.ServiceTrafficDistributionPreferSameNode:
		if e.NodeName != nil {
			h.ForNodes = []discovery.ForNode{{Name: *e.NodeName}}
		}
		fallthrough
	case v1.ServiceTrafficDistributionPreferClose, v1.ServiceTrafficDistributionPreferSameZone:
		if e.Zone != nil {
			h.ForZones = []discovery.ForZone{{Name: *e.Zone}}
		}
	}
	if h.ForNodes == nil && h.ForZones == nil {
		return nil
	}
	return &h
}

func portsOf(svc *v1.Service, p *v1.Pod) (ports []discovery.EndpointPort, ok bool) {
	for i := range svc.Spec.Ports {
		sp := &svc.Spec.Ports[i]
		if n, found := endpoints.TargetPort(p, sp); found {
			name, proto := sp.Name, cmp.Or(sp.Protocol, v1.ProtocolTCP)
			ports = append(ports, discovery.EndpointPort{Name: &name, Protocol: &proto, Port: &n, AppProtocol: sp.AppProtocol})
		}
	}
	return ports, len(ports) > 0 || len(svc.Spec.Ports) == 0
}

// groupsOfEndpoints mirrors Endpoints that a user wrote.
func groupsOfEndpoints(ep *v1.Endpoints) []group {
	groups := map[string]*group{}
	for i := range ep.Subsets {
		s := &ep.Subsets[i]
		ports := make([]discovery.EndpointPort, len(s.Ports))
		for j, p := range s.Ports {
			proto := cmp.Or(p.Protocol, v1.ProtocolTCP)
			ports[j] = discovery.EndpointPort{Name: &p.Name, Port: &p.Port, Protocol: &proto, AppProtocol: p.AppProtocol}
		}
		add := func(a v1.EndpointAddress, ready bool) {
			t := discovery.AddressTypeIPv4
			if ip, err := netip.ParseAddr(a.IP); err == nil && ip.Is6() {
				t = discovery.AddressTypeIPv6
			}
			key := groupKey(t, ports)
			if groups[key] == nil {
				groups[key] = &group{addressType: t, ports: ports}
			}
			e := discovery.Endpoint{
				Addresses:  []string{a.IP},
				Conditions: discovery.EndpointConditions{Ready: &ready, Serving: &ready},
				NodeName:   a.NodeName,
				TargetRef:  a.TargetRef,
			}
			if a.Hostname != "" {
				e.Hostname = &a.Hostname
			}
			groups[key].endpoints = append(groups[key].endpoints, e)
		}
		for _, a := range s.Addresses {
			add(a, true)
		}
		for _, a := range s.NotReadyAddresses {
			add(a, false)
		}
	}
	return sorted(groups)
}

func sorted(groups map[string]*group) []group {
	out := make([]group, 0, len(groups))
	for _, k := range slices.Sorted(maps.Keys(groups)) {
		g := *groups[k]
		slices.SortFunc(g.endpoints, func(a, b discovery.Endpoint) int {
			return cmp.Compare(identity(&a), identity(&b))
		})
		out = append(out, g)
	}
	return out
}

// identity identifies an endpoint: its address and pod.
func identity(e *discovery.Endpoint) string {
	id := e.Addresses[0]
	if e.TargetRef != nil {
		id += "/" + string(e.TargetRef.UID)
	}
	return id
}
