package proxy

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"wheelhouse/cluster/netfilter"
)

// world is what services, slices and nodes there are; objects are replaced, never changed.
type world struct {
	rand     *rand.Rand
	services map[types.NamespacedName]*v1.Service
	slices   map[types.NamespacedName][]*discovery.EndpointSlice
	nodes    map[string]*v1.Node
}

// snapshot has the services in any order, as an informer's store does.
func (w *world) snapshot() Snapshot {
	s := Snapshot{Slices: map[types.NamespacedName][]*discovery.EndpointSlice{}}
	for _, key := range slices.SortedFunc(maps.Keys(w.services), compareNames) {
		s.Services = append(s.Services, w.services[key])
	}
	w.rand.Shuffle(len(s.Services), func(i, j int) { s.Services[i], s.Services[j] = s.Services[j], s.Services[i] })
	for key, of := range w.slices {
		s.Slices[key] = slices.Clone(of)
	}
	for _, name := range slices.Sorted(maps.Keys(w.nodes)) {
		s.Nodes = append(s.Nodes, w.nodes[name])
	}
	return s
}

// edit changes one object.
func (w *world) edit() {
	key := types.NamespacedName{Namespace: []string{"a", "b", "kube-system"}[w.rand.IntN(3)], Name: fmt.Sprint("svc-", w.rand.IntN(40))}
	switch n := w.rand.IntN(20); {
	case n < 7:
		w.services[key] = w.service(key)
	case n < 14:
		w.slices[key] = w.endpoints()
	case n < 16:
		delete(w.services, key)
	case n < 18:
		delete(w.slices, key)
	case n == 18:
		node := &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("node-", w.rand.IntN(3))}}
		node.Status.Addresses = []v1.NodeAddress{{Type: v1.NodeInternalIP, Address: fmt.Sprint("203.0.113.", w.rand.IntN(8))}}
		w.nodes[node.Name] = node
	default:
		w.nodes = map[string]*v1.Node{}
	}
}

func (w *world) service(key types.NamespacedName) *v1.Service {
	one := func(in int) bool { return w.rand.IntN(in) == 0 }
	svc := &v1.Service{ObjectMeta: metav1.ObjectMeta{
		Namespace: key.Namespace, Name: key.Name, UID: types.UID(fmt.Sprint(w.rand.IntN(2))), CreationTimestamp: metav1.NewTime(time.Unix(int64(w.rand.IntN(5)), 0)),
	}}
	svc.Spec = v1.ServiceSpec{Type: v1.ServiceTypeNodePort, ClusterIP: fmt.Sprintf("10.247.%d.%d", w.rand.IntN(2), w.rand.IntN(250)), Ports: []v1.ServicePort{
		{Name: "http", Port: 80, NodePort: int32(30000 + w.rand.IntN(200))}, {Name: "dns", Port: 53, Protocol: v1.ProtocolUDP},
	}}
	if one(3) {
		svc.Spec.ExternalIPs = []string{fmt.Sprint("203.0.113.", w.rand.IntN(8))} // other services and nodes have them, too
	}
	if one(4) {
		svc.Spec.Type, svc.Spec.ExternalTrafficPolicy, svc.Spec.HealthCheckNodePort = v1.ServiceTypeLoadBalancer, v1.ServiceExternalTrafficPolicyLocal, int32(10255+w.rand.IntN(3))
		svc.Status.LoadBalancer.Ingress = []v1.LoadBalancerIngress{{IP: fmt.Sprint("203.0.113.", w.rand.IntN(8))}}
	}
	if one(8) {
		svc.Spec.ClusterIP = v1.ClusterIPNone
	}
	if one(8) {
		svc.Spec.Ports = append(svc.Spec.Ports, v1.ServicePort{Name: "sctp", Port: 90, Protocol: v1.ProtocolSCTP})
	}
	if one(20) {
		svc.Spec.Ports = slices.Repeat(svc.Spec.Ports[:1], maxRules+1) // too many rules
	}
	return svc
}

func (w *world) endpoints() (list []*discovery.EndpointSlice) {
	http, dns, udp, port := "http", "dns", v1.ProtocolUDP, int32(443)
	for range w.rand.IntN(3) {
		s := &discovery.EndpointSlice{AddressType: discovery.AddressTypeIPv4, Ports: []discovery.EndpointPort{{Name: &http, Port: &port}, {Name: &dns, Protocol: &udp, Port: &port}}}
		for range w.rand.IntN(3) {
			node, zone := fmt.Sprint("node-", w.rand.IntN(3)), fmt.Sprint("zone-", w.rand.IntN(2))
			s.Endpoints = append(s.Endpoints, discovery.Endpoint{
				Addresses: []string{fmt.Sprint([]string{"10.246.1.", "203.0.113."}[w.rand.IntN(2)], w.rand.IntN(8))},
				NodeName:  &node, Hints: &discovery.EndpointHints{ForZones: []discovery.ForZone{{Name: zone}}},
			})
		}
		list = append(list, s)
	}
	return list
}

// After any changes, the rules are those that are computed from nothing, and the parts that differ from the former ones
// turn the former chains into the present ones.
func TestIncrementalRules(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	w := &world{rand.New(rand.NewPCG(seed, 0)), map[types.NamespacedName]*v1.Service{}, map[types.NamespacedName][]*discovery.EndpointSlice{}, map[string]*v1.Node{}}
	c := &compiler{node: Node{Name: "node-0", Zone: "zone-0", ClusterCIDR: "10.246.0.0/16", ServiceCIDR: "10.247.0.0/16"}}
	var last Ruleset
	natChains, filterChains := map[string]string{}, map[string]string{}
	turn := func(chains map[string]string, from, to netfilter.Parts) {
		for chain := range from.Without(to).Chains() {
			delete(chains, chain)
		}
		maps.Copy(chains, to.Without(from).Chains())
	}
	for step := range 600 {
		for range 1 + w.rand.IntN(3) {
			w.edit()
		}
		if w.rand.IntN(30) == 0 {
			c.inZone(fmt.Sprint("zone-", w.rand.IntN(2)))
		}
		s := w.snapshot()
		got, want := c.rules(s), Rules(c.node, s)
		turn(natChains, last.NAT, got.NAT)
		turn(filterChains, last.Filter, got.Filter)
		last = *got
		for what, equal := range map[string]bool{
			"nat": maps.Equal(got.NAT.Chains(), want.NAT.Chains()), "filter": maps.Equal(got.Filter.Chains(), want.Filter.Chains()),
			"written nat": maps.Equal(natChains, want.NAT.Chains()), "written filter": maps.Equal(filterChains, want.Filter.Chains()),
			"UDP":    maps.EqualFunc(got.UDP, want.UDP, slices.Equal[[]netip.AddrPort]),
			"health": maps.Equal(got.Health, want.Health), "refused": reflect.DeepEqual(got.Refused, want.Refused),
		} {
			if !equal {
				t.Fatalf("step %d: %s differs from what is computed from nothing", step, what)
			}
		}
	}
}

// BenchmarkRules is how long the computation takes among 10,000 services of two ports and two endpoints: after an endpoint is
// edited, and after a service is added or deleted; nothing is written.
func BenchmarkRules(b *testing.B) {
	const services = 10000
	s := Snapshot{Slices: map[types.NamespacedName][]*discovery.EndpointSlice{}}
	put := func(n int, ip string) {
		svc, slice := numbered(n)
		slice.Endpoints[0].Addresses = []string{ip}
		if n >= len(s.Services) {
			s.Services = append(s.Services, svc)
		}
		s.Slices[types.NamespacedName{Namespace: svc.Namespace, Name: svc.Name}] = []*discovery.EndpointSlice{slice}
	}
	for n := range services {
		put(n, "10.246.1.200")
	}
	c := &compiler{node: Node{Name: "minion-1", ClusterCIDR: "10.246.0.0/16", ServiceCIDR: "10.247.0.0/16"}}
	last := c.rules(s)
	step := func() {
		now := c.rules(s)
		now.NAT.Without(last.NAT).Chains()
		last.NAT.Without(now.NAT).Chains()
		last = now
	}
	b.Run("edit", func(b *testing.B) {
		for i := range b.N {
			put(services/2, fmt.Sprint("10.246.1.", i%200))
			step()
		}
	})
	b.Run("add", func(b *testing.B) {
		for i := range b.N {
			put(services, "10.246.1.200")
			s.Services = s.Services[:services+(i+1)%2]
			step()
		}
	})
}
