package proxy

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	v1 "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"wheelhouse/cluster/netfilter"
)

func TestRules(t *testing.T) {
	local := v1.ServiceInternalTrafficPolicyLocal
	yes, no := true, false
	here, there, name := "here", "there", "http"
	tcp, port := v1.ProtocolTCP, int32(8080)
	type ep struct {
		ip               string
		node             *string
		ready            *bool
		serving, leaving bool
	}
	for _, test := range []struct {
		what       string
		change     func(*v1.Service)
		eps        []ep
		nat        []string // parts of lines that must be there
		filter     []string
		never      []string // parts that must not be
		perService int      // chains of the service
	}{
		{
			what: "one endpoint", eps: []ep{{"10.246.1.2", &here, &yes, false, false}}, perService: 2,
			nat: []string{
				"-A KUBE-SERVICES -d 10.247.0.9/32 -p tcp -m tcp --dport 80", "! -s 10.246.0.0/16 -d 10.247.0.9/32",
				"-j DNAT --to-destination 10.246.1.2:8080",
			}, never: []string{"statistic", "REJECT", "recent"},
		},
		{
			what: "three endpoints, one of them named twice", perService: 4,
			eps: []ep{{"10.246.1.2", &here, &yes, false, false}, {"10.246.2.2", &there, nil, false, false}, {"10.246.2.3", &there, &yes, false, false}, {"10.246.1.2", &here, &yes, false, false}},
			nat: []string{"--probability 0.3333333333", "--probability 0.5000000000"},
		},
		{what: "none", filter: []string{"-d 10.247.0.9/32 -p tcp -m tcp --dport 80", "REJECT"}, never: []string{"DNAT"}},
		{what: "none ready", eps: []ep{{"10.246.1.2", &here, &no, false, false}}, filter: []string{"REJECT"}, never: []string{"DNAT"}},
		{
			what: "only a terminating one", eps: []ep{{"10.246.1.2", &here, &no, true, true}}, perService: 2,
			nat: []string{"10.246.1.2:8080"}, never: []string{"REJECT"},
		},
		{
			what: "terminating beside a ready one", perService: 2,
			eps: []ep{{"10.246.1.2", &here, &no, true, true}, {"10.246.1.3", &here, &yes, true, false}},
			nat: []string{"10.246.1.3:8080"}, never: []string{"10.246.1.2"},
		},
		{
			what: "internal Local, nothing here", change: func(s *v1.Service) { s.Spec.InternalTrafficPolicy = &local },
			eps: []ep{{"10.246.2.2", &there, &yes, false, false}}, filter: []string{"-j DROP"}, never: []string{"REJECT"}, perService: 2,
		},
		{
			what: "headless", change: func(s *v1.Service) { s.Spec.ClusterIP, s.Spec.ClusterIPs = "None", []string{"None"} },
			eps: []ep{{"10.246.1.2", &here, &yes, false, false}}, never: []string{"10.246.1.2"},
		},
		{
			what: "external name", change: func(s *v1.Service) { s.Spec.Type = v1.ServiceTypeExternalName },
			eps: []ep{{"10.246.1.2", &here, &yes, false, false}}, never: []string{"10.246.1.2"},
		},
		{
			what: "load balancer with source ranges", perService: 3,
			change: func(s *v1.Service) {
				s.Spec.Type = v1.ServiceTypeLoadBalancer
				s.Spec.LoadBalancerSourceRanges = []string{"198.51.100.0/24", "2001:db8::/64", " 198.051.101.0/24"}
				s.Status.LoadBalancer.Ingress = []v1.LoadBalancerIngress{{IP: "203.0.113.5"}}
			},
			eps:    []ep{{"10.246.1.2", &here, &yes, false, false}},
			nat:    []string{"-d 203.0.113.5/32 -p tcp -m tcp --dport 80 -s 198.51.100.0/24"},
			filter: []string{"-d 203.0.113.5/32 -p tcp -m tcp --dport 80", "-j DROP"},
			never:  []string{"2001:db8", "198.051"}, // iptables would refuse the rules of all services
		},
		{what: "SCTP is not served", change: func(s *v1.Service) { s.Spec.Ports[0].Protocol = v1.ProtocolSCTP }, never: []string{"10.247.0.9"}},
	} {
		t.Run(test.what, func(t *testing.T) {
			svc := &v1.Service{
				ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "web"},
				Spec:       v1.ServiceSpec{Type: v1.ServiceTypeClusterIP, ClusterIP: "10.247.0.9", Ports: []v1.ServicePort{{Name: name, Port: 80}}},
			}
			if test.change != nil {
				test.change(svc)
			}
			slice := &discovery.EndpointSlice{AddressType: discovery.AddressTypeIPv4, Ports: []discovery.EndpointPort{{Name: &name, Protocol: &tcp, Port: &port}}}
			for _, e := range test.eps {
				slice.Endpoints = append(slice.Endpoints, discovery.Endpoint{
					Addresses: []string{e.ip}, NodeName: e.node,
					Conditions: discovery.EndpointConditions{Ready: e.ready, Serving: &e.serving, Terminating: &e.leaving},
				})
			}
			got := Rules(Node{Name: here, ClusterCIDR: "10.246.0.0/16"}, Snapshot{
				Services: []*v1.Service{svc},
				Slices:   map[types.NamespacedName][]*discovery.EndpointSlice{{Namespace: "ns", Name: "web"}: {slice}},
			})
			nat, filter, chains := "", got.Filter.Chains()[servicesChain], 0
			for chain, text := range got.NAT.Chains() {
				nat += text
				if strings.HasPrefix(chain, "KUBE-S") && chain != servicesChain || strings.HasPrefix(chain, "KUBE-EXT") {
					chains++
				}
				if len(chain) > 28 {
					t.Errorf("chain name %s is too long", chain)
				}
			}
			for _, want := range test.nat {
				if !strings.Contains(nat, want) {
					t.Errorf("nat lacks %q:\n%s", want, nat)
				}
			}
			for _, want := range test.filter {
				if !strings.Contains(filter, want) {
					t.Errorf("filter lacks %q:\n%s", want, filter)
				}
			}
			for _, never := range test.never {
				if strings.Contains(nat+filter, never) {
					t.Errorf("%q should not be there:\n%s%s", never, nat, filter)
				}
			}
			if chains != test.perService {
				t.Errorf("%d chains for the service, want %d:\n%s", chains, test.perService, nat)
			}
		})
	}
}

func TestEndpointsNearby(t *testing.T) {
	name, tcp, port := "http", v1.ProtocolTCP, int32(8080)
	type ep struct{ ip, node, forNode, forZone string }
	for _, test := range []struct {
		what string
		eps  []ep
		want string
	}{
		{"no hints", []ep{{"1", "here", "", ""}, {"2", "there", "", ""}}, "1 2"},
		{"of the node", []ep{{"1", "here", "here", "z"}, {"2", "there", "there", "z"}}, "1"},
		{"of the zone", []ep{{"1", "b", "b", "z"}, {"2", "c", "c", "y"}, {"3", "d", "d", "z"}}, "1 3"},
		{"of the zone, without hints for nodes", []ep{{"1", "here", "", "z"}, {"2", "there", "", "y"}}, "1"},
		{"of neither", []ep{{"1", "b", "b", "y"}, {"2", "c", "c", "x"}}, "1 2"},
		{"one without a hint", []ep{{"1", "here", "here", "z"}, {"2", "there", "", ""}}, "1 2"},
		{"one without a hint for a node", []ep{{"1", "here", "here", "z"}, {"2", "there", "", "y"}, {"3", "b", "b", "z"}}, "1 3"},
	} {
		slice := &discovery.EndpointSlice{AddressType: discovery.AddressTypeIPv4, Ports: []discovery.EndpointPort{{Name: &name, Protocol: &tcp, Port: &port}}}
		for _, e := range test.eps {
			h := &discovery.EndpointHints{}
			if e.forNode != "" {
				h.ForNodes = []discovery.ForNode{{Name: e.forNode}}
			}
			if e.forZone != "" {
				h.ForZones = []discovery.ForZone{{Name: e.forZone}}
			}
			slice.Endpoints = append(slice.Endpoints, discovery.Endpoint{Addresses: []string{"10.0.0." + e.ip}, NodeName: &e.node, Hints: h})
		}
		all, _ := endpointsOf(Node{Name: "here", Zone: "z"}, &v1.ServicePort{Name: name}, []*discovery.EndpointSlice{slice})
		var got []string
		for _, e := range all {
			got = append(got, strings.TrimPrefix(e.addr.Addr().String(), "10.0.0."))
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("%s: %v, want %s", test.what, got, test.want)
		}
	}
}

func TestStaleFlows(t *testing.T) {
	ap := netip.MustParseAddrPort
	s := stale{
		frontends: map[Frontend][]netip.AddrPort{
			{netip.MustParseAddr("10.247.0.10"), 53}: {ap("10.246.1.2:53")},
			{netip.Addr{}, 30053}:                    nil,
		},
		own: map[netip.Addr]bool{netip.MustParseAddr("10.245.1.3"): true},
	}
	for _, test := range []struct {
		proto      uint8
		dst, reply string
		want       bool
	}{
		{17, "10.247.0.10:53", "10.246.1.2:53", false},
		{17, "10.247.0.10:53", "10.246.1.9:53", true},
		{17, "10.247.0.10:53", "10.247.0.10:53", true}, // from before there were rules
		{6, "10.247.0.10:53", "10.246.1.9:53", false},
		{17, "10.247.0.11:53", "10.246.1.9:53", false},
		{17, "10.245.1.3:30053", "10.246.1.9:53", true},
		{17, "10.245.1.4:30053", "10.246.1.9:53", false}, // another node's
	} {
		dst, reply := ap(test.dst), ap(test.reply)
		flow := &netlink.ConntrackFlow{
			Forward: netlink.IPTuple{Protocol: test.proto, DstIP: dst.Addr().AsSlice(), DstPort: dst.Port()},
			Reverse: netlink.IPTuple{Protocol: test.proto, SrcIP: reply.Addr().AsSlice(), SrcPort: reply.Port()},
		}
		if got := netfilter.UDPFlows(s.matches).MatchConntrackFlow(flow); got != test.want {
			t.Errorf("%d %s answered by %s: stale %v, want %v", test.proto, test.dst, test.reply, got, test.want)
		}
	}
}

// A port that no rule serves is reported: nobody would see why it does not answer.
func TestUnservedProtocol(t *testing.T) {
	svc := &v1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "web"},
		Spec: v1.ServiceSpec{Type: v1.ServiceTypeClusterIP, ClusterIP: "10.247.0.9", Ports: []v1.ServicePort{
			{Name: "a", Port: 80}, {Name: "b", Port: 81, Protocol: v1.ProtocolSCTP},
		}},
	}
	got := Rules(Node{}, Snapshot{Services: []*v1.Service{svc}}).Refused
	if len(got) != 1 || got[0].Service != svc || got[0].At != "port 81/SCTP" || got[0].Why != "they serve TCP and UDP only" {
		t.Errorf("refused: %+v", got)
	}
	svc.Spec.ClusterIP = v1.ClusterIPNone
	if got := Rules(Node{}, Snapshot{Services: []*v1.Service{svc}}).Refused; len(got) != 0 {
		t.Errorf("a headless service, which no rule serves anyway: %+v", got)
	}
}

// Rules do not depend on the order of nodes and services, though two have the same address.
func TestRulesInAnyOrder(t *testing.T) {
	node := func(name string) *v1.Node {
		n := &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
		n.Status.Addresses = []v1.NodeAddress{{Type: v1.NodeInternalIP, Address: "192.0.2.7"}}
		return n
	}
	port := int32(53)
	dns := []*discovery.EndpointSlice{{
		AddressType: discovery.AddressTypeIPv4, Ports: []discovery.EndpointPort{{Port: &port}}, Endpoints: []discovery.Endpoint{{Addresses: []string{"192.0.2.7"}}},
	}}
	seen := map[string]bool{}
	for i := range 50 {
		s := Snapshot{Nodes: []*v1.Node{node("a"), node("b")}, Slices: map[types.NamespacedName][]*discovery.EndpointSlice{
			{Namespace: "kube-system", Name: "x"}: dns, {Namespace: "kube-system", Name: "y"}: dns, {Namespace: "kube-system", Name: "z"}: dns,
		}}
		if i%2 == 1 {
			slices.Reverse(s.Nodes)
		}
		seen[Rules(Node{Name: "a"}, s).NAT.Chains()[servicesChain]] = true
	}
	if len(seen) != 1 {
		t.Errorf("the same nodes and services have %d different rules", len(seen))
	}
}
