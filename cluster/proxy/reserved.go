package proxy

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	v1 "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"wheelhouse/cluster/netfilter"
)

// frontend is an address and port that a service answers at besides its cluster IPs.
// The zero addr stands for all of a node's own addresses (a NodePort).
type frontend struct {
	addr  netip.Addr
	proto string // "tcp" or "udp"
	port  uint16
}

func (f frontend) String() string {
	port := strconv.Itoa(int(f.port)) + "/" + f.proto
	if !f.addr.IsValid() {
		return "node port " + port
	}
	return f.addr.String() + ":" + port
}

// Refusal is a frontend that a service specifies and is refused.
type Refusal struct {
	Service *v1.Service
	At, Why string
}

// nodeServices are the ports that every node serves, besides its kubelet's: the proxy's own
// and, on a master, etcd's.
var nodeServices = map[uint16]string{
	10249: "the proxy", 10250: "the kubelet", 10256: "the proxy", 2379: "etcd", 2380: "etcd",
}

// reserved is what no service may take over by an external IP, the address of a load
// balancer or a node port, whoever wrote the service (CVE-2020-8554): the networks of
// the cluster, and where the API server, DNS, kubelets and proxies answer.
type reserved struct {
	networks map[netip.Prefix]string
	nodes    map[netip.Addr]string
	at       map[frontend]string
}

func newReserved(node Node, s Snapshot) *reserved {
	r := &reserved{networks: map[netip.Prefix]string{}, nodes: map[netip.Addr]string{}, at: map[frontend]string{}}
	for text, what := range map[string]string{node.ServiceCIDR: "service CIDR", node.ClusterCIDR: "pod CIDR"} {
		if p, err := netip.ParsePrefix(text); err == nil {
			r.networks[p] = what
		}
	}
	for port, what := range nodeServices {
		r.at[frontend{proto: "tcp", port: port}] = what
	}
	// In the order of names, as the last one of those that have an address stands in the rules.
	for _, n := range slices.SortedFunc(slices.Values(s.Nodes), func(a, b *v1.Node) int { return strings.Compare(a.Name, b.Name) }) {
		r.addNode(n)
	}
	var own []types.NamespacedName
	for key := range s.Slices {
		if key.Namespace == metav1.NamespaceSystem || key == (types.NamespacedName{Namespace: metav1.NamespaceDefault, Name: "kubernetes"}) {
			own = append(own, key)
		}
	}
	slices.SortFunc(own, compareNames)
	for _, key := range own {
		r.addEndpoints(key, s.Slices[key])
	}
	return r
}

func nameOf(svc *v1.Service) types.NamespacedName {
	return types.NamespacedName{Namespace: svc.Namespace, Name: svc.Name}
}

func compareNames(a, b types.NamespacedName) int {
	return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Name, b.Name))
}

func (r *reserved) addNode(n *v1.Node) {
	kubelet := uint16(n.Status.DaemonEndpoints.KubeletEndpoint.Port)
	for _, a := range n.Status.Addresses {
		ip, err := netip.ParseAddr(a.Address)
		if err != nil {
			continue
		}
		r.nodes[ip] = n.Name
		for port, what := range nodeServices {
			r.at[frontend{ip, "tcp", port}] = what + " of node " + n.Name
		}
		if kubelet != 0 {
			r.at[frontend{ip, "tcp", kubelet}] = "the kubelet of node " + n.Name
			r.at[frontend{proto: "tcp", port: kubelet}] = "the kubelet"
		}
	}
}

// addEndpoints reserves what the cluster's own services lead to outside of the pods'
// network: the API servers, and DNS.
func (r *reserved) addEndpoints(service types.NamespacedName, of []*discovery.EndpointSlice) {
	for _, s := range of {
		for _, p := range s.Ports {
			if p.Port == nil {
				continue
			}
			proto := strings.ToLower(cmp.Or(string(ptr.Deref(p.Protocol, "")), string(v1.ProtocolTCP)))
			for i := range s.Endpoints {
				for _, a := range s.Endpoints[i].Addresses {
					ip, err := netip.ParseAddr(a)
					if err != nil || r.inNetwork(ip) != "" {
						continue
					}
					what := "an endpoint of service " + service.String()
					r.at[frontend{ip, proto, uint16(*p.Port)}] = what
					r.at[frontend{proto: proto, port: uint16(*p.Port)}] = what
				}
			}
		}
	}
}

func (r *reserved) inNetwork(ip netip.Addr) string {
	for p, what := range r.networks {
		if p.Contains(ip) {
			return what
		}
	}
	return ""
}

// why returns what keeps a service from answering at f, "" if nothing does.
func (r *reserved) why(f frontend) string {
	if f.addr.IsValid() {
		if !f.addr.IsGlobalUnicast() {
			return "the address is of a special range"
		}
		if network := r.inNetwork(f.addr); network != "" {
			return "the address is in the " + network + " of the cluster"
		}
	}
	if what, ok := r.at[f]; ok {
		return "it is reserved for " + what
	}
	return ""
}

// accept accepts packets to what this node serves, and to the API servers, before another rule
// can translate them, such as that of a pod's host port.
func (r *reserved) accept(node Node) string {
	var w strings.Builder
	for _, f := range slices.SortedFunc(maps.Keys(r.at), frontend.compare) {
		name, isNode := r.nodes[f.addr]
		if f.addr.IsValid() && (!isNode || name == node.Name || strings.HasSuffix(r.at[f], " default/kubernetes")) {
			netfilter.WriteRule(&w, servicesChain, "-d "+f.addr.String()+"/32 -p "+f.proto+" -m "+f.proto+" --dport "+strconv.Itoa(int(f.port)),
				`-m comment --comment "reserved for `+r.at[f]+`"`, "-j ACCEPT")
		}
	}
	return w.String()
}

func (f frontend) compare(g frontend) int {
	return cmp.Or(f.addr.Compare(g.addr), cmp.Compare(f.proto, g.proto), cmp.Compare(f.port, g.port))
}

// refusals returns, by service, the frontends that it is refused: those that are reserved, and
// the external addresses that an older service has.
func refusals(services []candidate, r *reserved) map[types.NamespacedName]map[frontend]string {
	refused := map[types.NamespacedName]map[frontend]string{}
	refuse := func(svc *v1.Service, f frontend, why string) {
		key := nameOf(svc)
		if refused[key] == nil {
			refused[key] = map[frontend]string{}
		}
		refused[key][f] = why
	}
	var external []*v1.Service
	for i := range services {
		svc := services[i].svc
		if !hasClusterIP(svc) {
			continue
		}
		if len(svc.Spec.ExternalIPs) > 0 || len(svc.Status.LoadBalancer.Ingress) > 0 {
			external = append(external, svc)
		}
		for _, f := range nodeFrontends(svc) {
			if why := r.why(f); why != "" {
				refuse(svc, f, why)
			}
		}
	}
	slices.SortStableFunc(external, func(a, b *v1.Service) int { return a.CreationTimestamp.Compare(b.CreationTimestamp.Time) })
	owners := map[frontend]*v1.Service{}
	for _, svc := range external {
		for _, f := range externalFrontends(svc) {
			why, owner := r.why(f), owners[f]
			switch {
			case why != "":
				refuse(svc, f, why)
			case owner == nil:
				owners[f] = svc
			case owner != svc:
				refuse(svc, f, fmt.Sprintf("service %s/%s has it", owner.Namespace, owner.Name))
			}
		}
	}
	return refused
}

func nodeFrontends(svc *v1.Service) (list []frontend) {
	for i := range svc.Spec.Ports {
		if p := &svc.Spec.Ports[i]; p.NodePort != 0 {
			list = append(list, frontend{proto: protocol(p), port: uint16(p.NodePort)})
		}
	}
	if n := svc.Spec.HealthCheckNodePort; n != 0 {
		list = append(list, frontend{proto: "tcp", port: uint16(n)})
	}
	return list
}

func externalFrontends(svc *v1.Service) (list []frontend) {
	for _, ip := range slices.Concat(externalIPs(svc), balancerIPs(svc)) {
		for i := range svc.Spec.Ports {
			p := &svc.Spec.Ports[i]
			list = append(list, frontend{ip, protocol(p), uint16(p.Port)})
		}
	}
	return list
}
