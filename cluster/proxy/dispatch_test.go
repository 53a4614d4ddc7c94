package proxy

import (
	"encoding/binary"
	"fmt"
	"maps"
	"net/netip"
	"strconv"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// packet is what the rules of KUBE-SERVICES look at.
type packet struct {
	to    netip.Addr
	proto string
	port  int
	own   bool // to is an address of the node
}

// walk follows a packet from a chain as the kernel does, and returns the first target that is not a branch,
// and how many rules were compared.
func walk(t *testing.T, chains map[string]string, chain string, p packet) (target string, compared int) {
	t.Helper()
	text, ok := chains[chain]
	if !ok {
		t.Fatalf("a rule jumps to %s, which is not there", chain)
	}
	for line := range strings.Lines(text) {
		compared++
		to, ok := matches(t, line, p)
		if !ok {
			continue
		}
		if to != nodePortsChain && !strings.HasPrefix(to, clusterIPBranch) && !strings.HasPrefix(to, externalBranch) && !strings.HasPrefix(to, nodePortBranch) {
			return to, compared
		}
		target, more := walk(t, chains, to, p)
		compared += more
		if target != "" {
			return target, compared
		}
	}
	return "", compared
}

// matches returns the target of a rule that matches.
func matches(t *testing.T, line string, p packet) (target string, ok bool) {
	t.Helper()
	line, comment, _ := strings.Cut(line, ` --comment "`)
	_, rest, _ := strings.Cut(comment, `"`)
	ok = true
	args := strings.Fields(line + rest)
	for i := 0; i+1 < len(args); i++ {
		switch value := args[i+1]; args[i] {
		case "-d":
			ok = ok && under(t, value, p.to)
		case "-p":
			ok = ok && value == p.proto
		case "--dport":
			first, last, ranged := strings.Cut(value, ":")
			if !ranged {
				last = first
			}
			from, err := strconv.Atoi(first)
			if err != nil {
				t.Fatal(err)
			}
			to, err := strconv.Atoi(last)
			if err != nil {
				t.Fatal(err)
			}
			ok = ok && from <= p.port && p.port <= to
		case "--dst-type":
			ok = ok && p.own
		case "-j":
			target = value
		}
	}
	return target, ok
}

func under(t *testing.T, match string, ip netip.Addr) bool {
	t.Helper()
	of, mask, _ := strings.Cut(match, "/")
	if bits, err := strconv.Atoi(mask); err == nil {
		return netip.PrefixFrom(netip.MustParseAddr(of), bits).Contains(ip)
	}
	number := func(a netip.Addr) uint32 { b := a.As4(); return binary.BigEndian.Uint32(b[:]) }
	return number(ip)&number(netip.MustParseAddr(mask)) == number(netip.MustParseAddr(of))
}

// many are n services of two ports each, all with node ports and an external IP; each tenth has no endpoint.
func many(n int) Snapshot {
	s := Snapshot{Slices: map[types.NamespacedName][]*discovery.EndpointSlice{}}
	http, tcp, udp, port := "http", v1.ProtocolTCP, v1.ProtocolUDP, int32(8080)
	dns := "dns"
	for i := range n {
		svc := &v1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: fmt.Sprint("svc-", i)}, Spec: v1.ServiceSpec{
			Type: v1.ServiceTypeNodePort, ClusterIP: at(10, 247, i), ExternalIPs: []string{at(203, 1, i)},
			Ports: []v1.ServicePort{{Name: http, Port: 80, NodePort: int32(20000 + i)}, {Name: dns, Port: 53, Protocol: udp, NodePort: int32(20000 + i)}},
		}}
		s.Services = append(s.Services, svc)
		slice := &discovery.EndpointSlice{
			AddressType: discovery.AddressTypeIPv4,
			Ports:       []discovery.EndpointPort{{Name: &http, Protocol: &tcp, Port: &port}, {Name: &dns, Protocol: &udp, Port: &port}},
		}
		if i%10 != 9 {
			slice.Endpoints = []discovery.Endpoint{{Addresses: []string{"10.246.1.2"}}}
		}
		s.Slices[types.NamespacedName{Namespace: "ns", Name: svc.Name}] = []*discovery.EndpointSlice{slice}
	}
	return s
}

func at(a, b, n int) string { return fmt.Sprintf("%d.%d.%d.%d", a, b, n/250, 1+n%250) }

// Each address and port of each service leads to that service's chain and no other's, in few rules however
// many services there are.
func TestDispatch(t *testing.T) {
	for _, test := range []struct{ services, most int }{
		{1, 40},
		{10, 50},
		{17, 80},
		{1000, 170},
		{10000, 170},
	} {
		rules := Rules(Node{Name: "here"}, many(test.services))
		most := 0
		nat, filter := rules.NAT.Chains(), rules.Filter.Chains()
		expect := func(chains map[string]string, p packet, want string) {
			t.Helper()
			got, compared := walk(t, chains, servicesChain, p)
			if got != want {
				t.Fatalf("%d services: %+v leads to %q, want %q", test.services, p, got, want)
			}
			most = max(most, compared)
		}
		for i := range test.services {
			for _, port := range []struct {
				name, proto string
				number      int
			}{{"http", "tcp", 80}, {"dns", "udp", 53}} {
				suffix := hash(fmt.Sprintf("ns/svc-%d:%s", i, port.name), port.proto)
				svc, ext, reject := "KUBE-SVC-"+suffix, "KUBE-EXT-"+suffix, ""
				if i%10 == 9 {
					svc, ext, reject = "", "", "REJECT"
				}
				for _, way := range []struct {
					p    packet
					want string
				}{
					{packet{netip.MustParseAddr(at(10, 247, i)), port.proto, port.number, false}, svc},
					{packet{netip.MustParseAddr(at(203, 1, i)), port.proto, port.number, false}, ext},
					{packet{netip.MustParseAddr("192.0.2.7"), port.proto, 20000 + i, true}, ext},
				} {
					expect(nat, way.p, way.want)
					expect(filter, way.p, reject)
				}
			}
			// No service's.
			expect(nat, packet{netip.MustParseAddr(at(10, 247, i)), "tcp", 81, false}, "")
			expect(nat, packet{netip.MustParseAddr("192.0.2.7"), "tcp", 20000 + i, false}, "")
		}
		if most > test.most {
			t.Errorf("%d services: a packet is compared with %d rules, want %d at most", test.services, most, test.most)
		}
		for _, chains := range []map[string]string{nat, filter} {
			for chain := range chains {
				if len(chain) > 28 {
					t.Errorf("chain name %s is too long", chain)
				}
			}
		}
		t.Logf("%d services: %d rules at most", test.services, most)
	}
}

// Many ports of one address are one branch: they differ in nothing that branches look at.
func TestDispatchOfOneAddress(t *testing.T) {
	s := many(20)
	for i := range 300 {
		s.Services[7].Spec.Ports = append(s.Services[7].Spec.Ports, v1.ServicePort{Name: fmt.Sprint("p", i), Port: int32(1000 + i)})
	}
	chains := Rules(Node{}, s).Filter.Chains()
	for _, port := range []int{1000, 1299} {
		if got, _ := walk(t, chains, servicesChain, packet{netip.MustParseAddr(at(10, 247, 7)), "tcp", port, false}); got != "REJECT" {
			t.Errorf("port %d leads to %q", port, got)
		}
	}
}

// A service more, among thousands, changes the chains on its way only.
func TestDispatchChangesLittle(t *testing.T) {
	c := compiler{node: Node{Name: "here"}}
	before := c.rules(many(5000))
	after := c.rules(many(5001))
	for name, table := range map[string][2]map[string]string{
		"nat": {before.NAT.Chains(), after.NAT.Chains()}, "filter": {before.Filter.Chains(), after.Filter.Chains()},
	} {
		changed, size := 0, 0
		for chain, text := range table[1] {
			if old := table[0][chain]; old != text {
				changed++
				size += len(text)
			}
		}
		lost := maps.Clone(table[0])
		maps.DeleteFunc(lost, func(chain, _ string) bool { _, ok := table[1][chain]; return ok })
		// Its own six chains, and at most one chain that is split for each of its four addresses and ports.
		if changed > 6+4*17 || size > 20_000 || len(lost) > 0 {
			t.Errorf("%s: %d chains of %d bytes are written, %d deleted", name, changed, size, len(lost))
		}
	}
}

// What deletes the rules of the proxy deletes the branches, also that of releases that had none.
func TestBranchesAreOwned(t *testing.T) {
	rules := Rules(Node{}, many(300))
	branches := 0
	for chain := range rules.NAT.Chains() {
		if strings.Contains(chain, "-IP-") || strings.Contains(chain, "-NP-") {
			branches++
			if !strings.HasPrefix(chain, "KUBE-SVC-") && !strings.HasPrefix(chain, "KUBE-EXT-") {
				t.Errorf("%s has none of the prefixes that all releases own", chain)
			}
		}
	}
	if branches < 30 {
		t.Errorf("%d branches, want more for 300 services", branches)
	}
}
