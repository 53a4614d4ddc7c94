package endpoints

import (
	"cmp"
	"fmt"
	"slices"

	v1 "k8s.io/api/core/v1"

	"wheelhouse/cluster/api/podfacts"
)

// maxAddresses is how many addresses an Endpoints object lists; more are only in
// the EndpointSlices, and an annotation is set, as upstream.
const maxAddresses = 1000

// Subsets returns the Endpoints of a service from its pods: addresses with equal
// ports share a subset, sorted so that equal input gives equal output. cut is true
// when there were too many addresses.
func Subsets(svc *v1.Service, pods []*v1.Pod) (subsets []v1.EndpointSubset, cut bool) {
	publish := svc.Spec.PublishNotReadyAddresses
	groups := map[string]*v1.EndpointSubset{}
	left := maxAddresses
	// Ready ones first, so that those are kept when there are too many.
	sorted := slices.SortedFunc(slices.Values(pods), func(a, b *v1.Pod) int {
		return cmp.Or(-compareBool(podfacts.Ready(a), podfacts.Ready(b)), cmp.Compare(a.Name, b.Name))
	})
	for _, p := range sorted {
		if !IsEndpoint(p, publish) {
			continue
		}
		ip := Address(p, V6(svc))
		if ip == "" {
			continue
		}
		ports, ok := portsOf(svc, p)
		if !ok {
			continue
		}
		if left--; left < 0 {
			cut = true
			break
		}
		node := p.Spec.NodeName
		addr := v1.EndpointAddress{IP: ip, Hostname: Hostname(p, svc), NodeName: &node, TargetRef: TargetRef(p)}
		key := fmt.Sprint(ports)
		g := groups[key]
		if g == nil {
			g = &v1.EndpointSubset{Ports: ports}
			groups[key] = g
		}
		if publish || podfacts.Ready(p) {
			g.Addresses = append(g.Addresses, addr)
		} else {
			g.NotReadyAddresses = append(g.NotReadyAddresses, addr)
		}
	}
	keys := make([]string, 0, len(groups))
	for k := range groups {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		sortAddresses(groups[k].Addresses)
		sortAddresses(groups[k].NotReadyAddresses)
		subsets = append(subsets, *groups[k])
	}
	return subsets, cut
}

// portsOf resolves the service's ports on a pod. ok is false when the service has
// ports and the pod has none of them.
func portsOf(svc *v1.Service, p *v1.Pod) (ports []v1.EndpointPort, ok bool) {
	for i := range svc.Spec.Ports {
		sp := &svc.Spec.Ports[i]
		if n, found := TargetPort(p, sp); found {
			ports = append(ports, v1.EndpointPort{
				Name: sp.Name, Port: n, Protocol: protocol(sp.Protocol), AppProtocol: sp.AppProtocol,
			})
		}
	}
	return ports, len(ports) > 0 || len(svc.Spec.Ports) == 0
}

func sortAddresses(a []v1.EndpointAddress) {
	slices.SortFunc(a, func(x, y v1.EndpointAddress) int {
		return cmp.Or(cmp.Compare(x.IP, y.IP), cmp.Compare(x.TargetRef.UID, y.TargetRef.UID))
	})
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}
