//go:build !quick

package netpol

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	v1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"wheelhouse/cluster/kubelet/network"
	"wheelhouse/cluster/kubelet/network/nettest"
	"wheelhouse/cluster/netfilter"
	"wheelhouse/cluster/wait"
)

func TestMain(m *testing.M) { os.Exit(nettest.Main(m)) }

const (
	thisNode = "minion-1"
	silence  = 300 * time.Millisecond // after which a packet counts as dropped
)

// party sends and receives packets: a pod, the node itself, or a machine outside.
type party struct {
	name string
	ns   netns.NsHandle
	ip   string
	pod  *v1.Pod // nil for the node and the machine
}

// lab is a node in the test's own namespace, with pods of two namespaces, one pod of them on another node, and a machine outside.
type lab struct {
	parties    []*party
	namespaces []*v1.Namespace
	kernel     kernel
	network    *network.Network
}

func newLab(t *testing.T) *lab {
	t.Helper()
	l := &lab{}
	pods, err := network.New(network.Config{PodCIDR: netip.MustParsePrefix("10.246.1.0/24"), ClusterCIDR: netip.MustParsePrefix("10.246.0.0/16")})
	if err != nil {
		t.Fatal(err)
	}
	if err := pods.Setup(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pods.Cleanup() })
	l.network = pods
	for _, name := range []string{"x/a", "x/b", "y/a", "y/b"} {
		ns, pod, _ := strings.Cut(name, "/")
		p := &party{name: name, pod: labPod(ns, pod)}
		if name == "y/b" {
			p.ns, p.ip, p.pod.Spec.NodeName = nettest.Machine(t, "far", netip.MustParsePrefix("10.246.2.2/24")), "10.246.2.2", "minion-2"
		} else {
			pid, handle, _ := nettest.Process(t)
			ip, err := pods.Attach(t.Context(), name, pid, netip.Addr{})
			if err != nil {
				t.Fatal(err)
			}
			p.ns, p.ip = handle, ip.String()
		}
		p.pod.Status.PodIP = p.ip
		l.parties = append(l.parties, p)
	}
	l.parties = append(l.parties,
		&party{name: "outside", ns: nettest.Machine(t, "lan", netip.MustParsePrefix("192.168.77.2/24")), ip: "192.168.77.2"},
		&party{name: "node", ns: nettest.Own(t), ip: "10.246.1.1"})
	for _, p := range l.parties {
		for _, port := range []string{":80", ":81"} {
			nettest.ServeHTTP(t, p.ns, port, p.name)
			nettest.ServeUDP(t, p.ns, port, p.name)
		}
	}
	for _, ns := range []string{"x", "y"} {
		l.namespaces = append(l.namespaces, &v1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns, Labels: map[string]string{"ns": ns}}})
	}
	chains, err := netfilter.NewApplier(owner)
	if err != nil {
		t.Fatal(err)
	}
	l.kernel = kernel{chains, netfilter.NewSetApplier(setPrefix)}
	t.Cleanup(func() {
		if err := Cleanup(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return l
}

// labPod has ports with names, of which http is another in the namespace y.
func labPod(ns, name string) *v1.Pod {
	p := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name, UID: types.UID(ns + "/" + name), Labels: map[string]string{"pod": name}}, Spec: v1.PodSpec{NodeName: thisNode}}
	http := int32(80)
	if ns == "y" {
		http = 81
	}
	p.Spec.Containers = []v1.Container{{Ports: []v1.ContainerPort{
		{Name: "http", ContainerPort: http}, {Name: "other", ContainerPort: 161 - http}, {Name: "dns", ContainerPort: http, Protocol: v1.ProtocolUDP},
	}}}
	return p
}

// apply puts the policies in force. Flows of before are removed: a new one of the same port numbers would belong to them.
func (l *lab) apply(t *testing.T, policies []*networkingv1.NetworkPolicy) {
	t.Helper()
	s := Snapshot{Policies: policies, Namespaces: l.namespaces, Bridge: network.Bridge}
	for _, p := range l.parties {
		if p.pod != nil {
			s.Pods = append(s.Pods, p.pod)
		}
	}
	if err := l.kernel.apply(t.Context(), Compile(thisNode, s)); err != nil {
		t.Fatal(err)
	}
	if err := netlink.ConntrackTableFlush(netlink.ConntrackTable); err != nil {
		t.Fatal(err)
	}
}

// packet is one case of the truth table.
type packet struct {
	from, to *party
	protocol v1.Protocol
	port     int
}

func (p packet) String() string {
	return fmt.Sprintf("%s -> %s %s/%d", p.from.name, p.to.name, p.protocol, p.port)
}

func (l *lab) packets() (all []packet) {
	for _, from := range l.parties {
		for _, to := range l.parties {
			if from == to {
				continue
			}
			for _, port := range []int{80, 81} {
				all = append(all, packet{from, to, v1.ProtocolTCP, port})
				if to.name != "node" { // which has several addresses, and answers from another one
					all = append(all, packet{from, to, v1.ProtocolUDP, port})
				}
			}
		}
	}
	return all
}

// send reports whether an answer came within a time.
func (p packet) send(patience time.Duration) bool {
	at := net.JoinHostPort(p.to.ip, fmt.Sprint(p.port))
	if p.protocol == v1.ProtocolTCP {
		got, err := nettest.Get(p.from.ns, at, patience)
		return err == nil && strings.HasPrefix(got, p.to.name+" ")
	}
	var c net.Conn
	if err := network.Do(p.from.ns, func() (err error) {
		c, err = net.Dial("udp4", at)
		return err
	}); err != nil {
		return false
	}
	defer func() { _ = c.Close() }()
	got, err := nettest.Ask(c, patience)
	return err == nil && got == p.to.name
}

// check sends all packets at once and compares what arrives with want.
func (l *lab) check(t *testing.T, what string, want func(packet) bool) {
	t.Helper()
	var all sync.WaitGroup
	for _, p := range l.packets() {
		all.Go(func() {
			if !want(p) {
				if p.send(silence) {
					t.Errorf("%s: %s is answered, and must be dropped", what, p)
				}
				return
			}
			if err := wait.Until(t.Context(), time.Minute, "an answer", func() error { return wait.Seen(p.send(5*time.Second), "no answer") }); err != nil {
				t.Errorf("%s: %s: %v", what, p, err)
			}
		})
	}
	all.Wait()
}

// oracle says by the text of the documentation, one packet at a time, whether policies let it pass.
type oracle struct {
	namespaces []*v1.Namespace
	policies   []*networkingv1.NetworkPolicy
}

func (o oracle) allows(p packet) bool {
	if p.from.name == "node" || p.to.name == "node" { // "traffic to and from the node where a Pod is running is always allowed"
		return true
	}
	return o.side(p, p.from, p.to, networkingv1.PolicyTypeEgress) && o.side(p, p.to, p.from, networkingv1.PolicyTypeIngress)
}

// side reports whether the policies of one end let the other end's packet pass.
func (o oracle) side(p packet, end, other *party, t networkingv1.PolicyType) bool {
	if end.pod == nil || end.pod.Spec.NodeName != thisNode {
		return true // not enforced by this node
	}
	isolated := false
	for _, policy := range o.policies {
		if policy.Namespace != end.pod.Namespace || !slices.Contains(policy.Spec.PolicyTypes, t) || !selects(&policy.Spec.PodSelector, end.pod.Labels) {
			continue
		}
		isolated = true
		if t == networkingv1.PolicyTypeEgress {
			for _, r := range policy.Spec.Egress {
				if o.peers(r.To, policy.Namespace, other) && ports(r.Ports, p) {
					return true
				}
			}
			continue
		}
		for _, r := range policy.Spec.Ingress {
			if o.peers(r.From, policy.Namespace, other) && ports(r.Ports, p) {
				return true
			}
		}
	}
	return !isolated
}

func selects(s *metav1.LabelSelector, set map[string]string) bool {
	sel, err := metav1.LabelSelectorAsSelector(s)
	return err == nil && sel.Matches(labels.Set(set))
}

func (o oracle) peers(peers []networkingv1.NetworkPolicyPeer, namespace string, other *party) bool {
	for _, peer := range peers {
		if b := peer.IPBlock; b != nil {
			in := func(cidr string) bool {
				_, n, err := net.ParseCIDR(cidr)
				return err == nil && n.Contains(net.ParseIP(other.ip))
			}
			if in(b.CIDR) && !slices.ContainsFunc(b.Except, in) {
				return true
			}
			continue
		}
		if other.pod == nil || peer.PodSelector != nil && !selects(peer.PodSelector, other.pod.Labels) {
			continue
		}
		if peer.NamespaceSelector == nil && other.pod.Namespace != namespace {
			continue
		}
		if peer.NamespaceSelector == nil || slices.ContainsFunc(o.namespaces, func(ns *v1.Namespace) bool {
			return ns.Name == other.pod.Namespace && selects(peer.NamespaceSelector, ns.Labels)
		}) {
			return true
		}
	}
	return len(peers) == 0
}

func ports(all []networkingv1.NetworkPolicyPort, p packet) bool {
	for _, port := range all {
		if *port.Protocol != p.protocol {
			continue
		}
		switch {
		case port.Port == nil:
			return true
		case port.Port.StrVal != "":
			if p.to.pod == nil {
				continue
			}
			for _, named := range p.to.pod.Spec.Containers[0].Ports {
				protocol := v1.ProtocolTCP
				if named.Protocol != "" {
					protocol = named.Protocol
				}
				if named.Name == port.Port.StrVal && protocol == p.protocol && int(named.ContainerPort) == p.port {
					return true
				}
			}
		case port.EndPort != nil:
			if p.port >= port.Port.IntValue() && p.port <= int(*port.EndPort) {
				return true
			}
		case port.Port.IntValue() == p.port:
			return true
		}
	}
	return len(all) == 0
}

// policies reads policies, each "NAMESPACE: SPEC", with the defaults that the API server sets.
func policies(t testing.TB, texts ...string) (all []*networkingv1.NetworkPolicy) {
	t.Helper()
	for i, text := range texts {
		ns, spec, _ := strings.Cut(text, ": ")
		p := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: fmt.Sprintf("policy-%d", i)}}
		if err := yaml.UnmarshalStrict([]byte(spec), &p.Spec); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		tcp := v1.ProtocolTCP
		set := func(ports []networkingv1.NetworkPolicyPort) {
			for i := range ports {
				if ports[i].Protocol == nil {
					ports[i].Protocol = &tcp
				}
			}
		}
		for i := range p.Spec.Ingress {
			set(p.Spec.Ingress[i].Ports)
		}
		for i := range p.Spec.Egress {
			set(p.Spec.Egress[i].Ports)
		}
		if len(p.Spec.PolicyTypes) == 0 {
			p.Spec.PolicyTypes = []networkingv1.PolicyType{networkingv1.PolicyTypeIngress}
			if len(p.Spec.Egress) > 0 {
				p.Spec.PolicyTypes = append(p.Spec.PolicyTypes, networkingv1.PolicyTypeEgress)
			}
		}
		all = append(all, p)
	}
	return all
}

// pinned are the cases whose answers were written by hand, for TCP port 80: a word for each sender, with a letter for each receiver that
// answers, both in the order x/a (a), x/b (b), y/a (c), y/b (d), outside (o), node (n). A dot is a packet that is dropped, a dash the
// sender itself. y/b is on another node, which is to enforce what is said of it.
var pinned = []struct {
	name     string
	policies []string
	table    string
}{
	{"no policy", nil, "-bcdon a-cdon ab-don abc-on abcd-n abcdo-"},
	{"deny all ingress in x", []string{"x: {podSelector: {}, policyTypes: [Ingress]}"}, "-.cdon .-cdon ..-don ..c-on ..cd-n abcdo-"},
	{"deny all egress in x", []string{"x: {podSelector: {}, policyTypes: [Egress]}"}, "-....n .-...n ab-don abc-on abcd-n abcdo-"},
	{"deny all in x", []string{"x: {podSelector: {}, policyTypes: [Ingress, Egress]}"}, "-....n .-...n ..-don ..c-on ..cd-n abcdo-"},
	{"deny ingress to one pod", []string{"x: {podSelector: {matchLabels: {pod: a}}}"}, "-bcdon .-cdon .b-don .bc-on .bcd-n abcdo-"},
	{"allow all over deny all", []string{"x: {podSelector: {}}", "x: {podSelector: {}, ingress: [{}]}"}, "-bcdon a-cdon ab-don abc-on abcd-n abcdo-"},
	{"ingress from pods of the namespace", []string{"x: {podSelector: {}, ingress: [{from: [{podSelector: {}}]}]}"}, "-bcdon a-cdon ..-don ..c-on ..cd-n abcdo-"},
	{"ingress from a namespace", []string{"x: {podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {ns: 'y'}}}]}]}"}, "-.cdon .-cdon ab-don abc-on ..cd-n abcdo-"},
	{"ingress from one pod of a namespace", []string{"x: {podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {ns: 'y'}}, podSelector: {matchLabels: {pod: b}}}]}]}"}, "-.cdon .-cdon ..-don abc-on ..cd-n abcdo-"},
	{"ingress from a namespace or a pod", []string{"x: {podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {ns: 'y'}}}, {podSelector: {matchLabels: {pod: b}}}]}]}"}, "-.cdon a-cdon ab-don abc-on ..cd-n abcdo-"},
	{"ingress from outside", []string{"x: {podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 192.168.77.0/24}}]}]}"}, "-.cdon .-cdon ..-don ..c-on abcd-n abcdo-"},
	{"ingress from all but outside", []string{"x: {podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/0, except: [192.168.77.0/24]}}]}]}"}, "-bcdon a-cdon ab-don abc-on ..cd-n abcdo-"},
	{"egress to outside", []string{"x: {podSelector: {matchLabels: {pod: a}}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 192.168.77.2/32}}]}]}"}, "-...on a-cdon ab-don abc-on abcd-n abcdo-"},
	{"ingress to another port", []string{"x: {podSelector: {}, ingress: [{ports: [{port: 81}]}]}"}, "-.cdon .-cdon ..-don ..c-on ..cd-n abcdo-"},
	{"ingress to the port", []string{"x: {podSelector: {}, ingress: [{ports: [{port: 80}]}]}"}, "-bcdon a-cdon ab-don abc-on abcd-n abcdo-"},
	{"ingress to the port by UDP", []string{"x: {podSelector: {}, ingress: [{ports: [{port: 80, protocol: UDP}]}]}"}, "-.cdon .-cdon ..-don ..c-on ..cd-n abcdo-"},
	{"ingress to a range of ports", []string{"x: {podSelector: {}, ingress: [{ports: [{port: 79, endPort: 80}]}]}"}, "-bcdon a-cdon ab-don abc-on abcd-n abcdo-"},
	{"egress to a port by its name, which is another in y", []string{"x: {podSelector: {}, policyTypes: [Egress], egress: [{ports: [{port: http}]}]}"}, "-b...n a-...n ab-don abc-on abcd-n abcdo-"},
	{"SCTP admits nothing else", []string{"x: {podSelector: {}, ingress: [{ports: [{port: 80, protocol: SCTP}]}]}"}, "-.cdon .-cdon ..-don ..c-on ..cd-n abcdo-"},
	{"two policies add up", []string{"y: {podSelector: {matchLabels: {pod: a}}, ingress: [{from: [{podSelector: {}}]}]}", "y: {podSelector: {}, ingress: [{from: [{namespaceSelector: {}, podSelector: {matchLabels: {pod: b}}}]}]}"}, "-b.don a-cdon ab-don abc-on ab.d-n abcdo-"},
	{"both ends must agree", []string{"x: {podSelector: {matchLabels: {pod: a}}, policyTypes: [Egress], egress: [{to: [{podSelector: {}}]}]}", "x: {podSelector: {matchLabels: {pod: b}}, ingress: [{from: [{namespaceSelector: {matchLabels: {ns: 'y'}}}]}]}"}, "-....n a-cdon ab-don abc-on a.cd-n abcdo-"},
}

// letters are the parties in a pinned table.
const letters = "abcdon"

func (l *lab) inTable(table string) func(packet) bool {
	rows := strings.Fields(table)
	return func(p packet) bool {
		from, to := slices.Index(l.parties, p.from), slices.Index(l.parties, p.to)
		return rows[from][to] == letters[to]
	}
}

// Packets arrive as the documentation of NetworkPolicies says, and as was written down by hand.
func TestTruthTable(t *testing.T) {
	l := newLab(t)
	for _, c := range pinned {
		all := policies(t, c.policies...)
		o, byHand := oracle{l.namespaces, all}, l.inTable(c.table)
		for _, p := range l.packets() {
			if p.protocol == v1.ProtocolTCP && p.port == 80 && o.allows(p) != byHand(p) {
				t.Fatalf("%s: %s: the test's oracle says %v, the table by hand %v", c.name, p, o.allows(p), byHand(p))
			}
		}
		l.apply(t, all)
		l.check(t, c.name, o.allows)
	}
}

// parts of which policies are composed.
var (
	selectors  = []string{"{}", "{matchLabels: {pod: a}}", "{matchLabels: {pod: b}}", "{matchExpressions: [{key: pod, operator: NotIn, values: [a]}]}"}
	namespaces = []string{"{}", "{matchLabels: {ns: x}}", "{matchLabels: {ns: 'y'}}", "{matchExpressions: [{key: ns, operator: DoesNotExist}]}"}
	blocks     = []string{
		"{cidr: 0.0.0.0/0}", "{cidr: 10.246.0.0/16}", "{cidr: 10.246.0.0/16, except: [10.246.2.0/24]}", "{cidr: 192.168.0.0/16, except: [192.168.77.2/32]}",
		"{cidr: 0.0.0.0/0, except: [10.246.1.0/24, 10.246.2.2/32]}", "{cidr: 192.168.77.2/32}", "{cidr: 'fd00::/8'}",
	}
	portLists = []string{
		"{port: 80}", "{port: 81, protocol: UDP}", "{port: 80, endPort: 81}", "{port: 1, endPort: 80, protocol: UDP}", "{port: http}", "{port: other}", "{port: dns, protocol: UDP}",
		"{protocol: UDP}", "{port: 80, protocol: SCTP}", "{port: none}",
	}
)

func randomPolicy(r *rand.Rand) string {
	pick := func(list []string) string { return list[r.IntN(len(list))] }
	rules := func(peers string) string {
		var list []string
		for range r.IntN(3) {
			var parts []string
			var of []string
			for range r.IntN(3) {
				switch r.IntN(4) {
				case 0:
					of = append(of, "{podSelector: "+pick(selectors)+"}")
				case 1:
					of = append(of, "{namespaceSelector: "+pick(namespaces)+"}")
				case 2:
					of = append(of, "{namespaceSelector: "+pick(namespaces)+", podSelector: "+pick(selectors)+"}")
				default:
					of = append(of, "{ipBlock: "+pick(blocks)+"}")
				}
			}
			if len(of) > 0 {
				parts = append(parts, peers+": ["+strings.Join(of, ", ")+"]")
			}
			var ports []string
			for range r.IntN(3) {
				ports = append(ports, pick(portLists))
			}
			if len(ports) > 0 {
				parts = append(parts, "ports: ["+strings.Join(ports, ", ")+"]")
			}
			list = append(list, "{"+strings.Join(parts, ", ")+"}")
		}
		return "[" + strings.Join(list, ", ") + "]"
	}
	types := pick([]string{"[Ingress]", "[Egress]", "[Ingress, Egress]"})
	return pick([]string{"x", "y"}) + ": {podSelector: " + pick(selectors) + ", policyTypes: " + types + ", ingress: " + rules("from") + ", egress: " + rules("to") + "}"
}

// Packets arrive as the documentation says under policies that nobody thought of.
func TestTruthOfRandomPolicies(t *testing.T) {
	l := newLab(t)
	answers := map[bool]int{}
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 1))
		var texts []string
		for range 1 + r.IntN(4) {
			texts = append(texts, randomPolicy(r))
		}
		all := policies(t, texts...)
		o := oracle{l.namespaces, all}
		for _, p := range l.packets() {
			answers[o.allows(p)]++
		}
		l.apply(t, all)
		l.check(t, fmt.Sprintf("seed %d: %s", seed, strings.Join(texts, "; ")), o.allows)
	}
	if answers[true] < 500 || answers[false] < 500 {
		t.Errorf("the policies decide too little: %v", answers)
	}
}
