package main

import (
	"cmp"
	"reflect"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Assignment is what a service's status is to have.
type Assignment struct {
	Namespace, Name string
	Ingress         []corev1.LoadBalancerIngress
}

// ownPorts are those at which a node or a master answers: a service there would cut a person
// off from the machine or the nodes off from the API server.
var ownPorts = []int32{22, 53, 2379, 2380, 6443, 8090, 10250}

// fromPool is the condition of a service whose load balancer is an address of --load-balancer-pool.
const fromPool = "wheelhouse.dev/AddressFromPool"

type port struct {
	protocol corev1.Protocol
	number   int32
}

// Assign returns what has to be written so that each service of type LoadBalancer has the
// addresses of the ready nodes. All services share these addresses: of two with the same port
// the older one gets it, and the other waits, without an address. A service that names a class
// of load balancers is another one's, and so is one with an address of the cluster's pool.
func Assign(services []*corev1.Service, nodes []*corev1.Node) (changes []Assignment) {
	addresses := ready(nodes)
	services = slices.Clone(services)
	slices.SortFunc(services, func(a, b *corev1.Service) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Namespace+"/"+a.Name, b.Namespace+"/"+b.Name))
	})
	taken := map[port]bool{}
	for _, s := range services {
		if s.Spec.LoadBalancerClass != nil || slices.ContainsFunc(s.Status.Conditions, func(c metav1.Condition) bool { return c.Type == fromPool }) {
			continue
		}
		var want []corev1.LoadBalancerIngress
		if s.Spec.Type == corev1.ServiceTypeLoadBalancer && s.DeletionTimestamp == nil && take(taken, s.Spec.Ports) {
			want = addresses
		}
		if got := s.Status.LoadBalancer.Ingress; len(got)+len(want) > 0 && !reflect.DeepEqual(got, want) {
			changes = append(changes, Assignment{Namespace: s.Namespace, Name: s.Name, Ingress: want})
		}
	}
	return changes
}

// take reports whether all of a service's ports are free, and marks them as taken.
func take(taken map[port]bool, ports []corev1.ServicePort) bool {
	for _, p := range ports {
		if taken[port{p.Protocol, p.Port}] || slices.Contains(ownPorts, p.Port) {
			return false
		}
	}
	for _, p := range ports {
		taken[port{p.Protocol, p.Port}] = true
	}
	return true
}

// ready returns the addresses of the nodes that are ready and not excluded, in order.
func ready(nodes []*corev1.Node) (list []corev1.LoadBalancerIngress) {
	mode := corev1.LoadBalancerIPModeVIP
	for _, n := range nodes {
		_, excluded := n.Labels[corev1.LabelNodeExcludeBalancers]
		isReady := slices.ContainsFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool {
			return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
		})
		if excluded || !isReady {
			continue
		}
		for _, a := range n.Status.Addresses {
			if a.Type == corev1.NodeInternalIP {
				list = append(list, corev1.LoadBalancerIngress{IP: a.Address, IPMode: &mode})
			}
		}
	}
	slices.SortFunc(list, func(a, b corev1.LoadBalancerIngress) int { return cmp.Compare(a.IP, b.IP) })
	return list
}
