package proxy

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// maxLeads is how many rules of a chain are looked at one after the other: a chain that would have more is
// split into branches.
const maxLeads = 16

// The names of branches begin with these, and end with the digits that lead to them. Releases before there
// were branches own and remove them, too, by the prefixes that the chains of services have.
const (
	clusterIPBranch = "KUBE-SVC-IP-" // of KUBE-SERVICES, by cluster IP
	externalBranch  = "KUBE-EXT-IP-" // of KUBE-SERVICES, by external IP and load balancer address
	nodePortBranch  = "KUBE-EXT-NP-" // of KUBE-NODEPORTS, by node port
)

// lead is a rule that applies to one address or to one node port, which is its key.
type lead struct {
	key  uint32
	rule string
}

// leads are what dispatches packets to a service: rules of KUBE-SERVICES and KUBE-NODEPORTS.
type leads struct {
	clusterIPs, externals, nodePorts []lead // of table nat
	rejects, portRejects             []lead // of table filter
}

func (l *leads) add(more leads) {
	l.clusterIPs = append(l.clusterIPs, more.clusterIPs...)
	l.externals = append(l.externals, more.externals...)
	l.nodePorts = append(l.nodePorts, more.nodePorts...)
	l.rejects = append(l.rejects, more.rejects...)
	l.portRejects = append(l.portRejects, more.portRejects...)
}

func (l leads) same(other leads) bool {
	return slices.Equal(l.clusterIPs, other.clusterIPs) && slices.Equal(l.externals, other.externals) && slices.Equal(l.nodePorts, other.nodePorts) &&
		slices.Equal(l.rejects, other.rejects) && slices.Equal(l.portRejects, other.portRejects)
}

// tree dispatches a packet to the leads of its key in a number of rules that grows with the logarithm of their
// number: a chain beyond maxLeads has a rule for each of 16 values of one digit (four bits) of the
// key, which jumps to a branch with the leads that have it. Equal leads in equal order give
// equal chains, and a change of one lead changes the chains on its way only.
type tree struct {
	branches string // what the names of the branches begin with
	digits   int    // of a key
	digit    func(key uint32, place int) int
	match    func(key uint32, place int) string // selects the packets that have the key's digit at a place
}

var (
	// The last digits of an address come first, as neighbours differ in them.
	byAddress = tree{
		digits: 8,
		digit:  func(key uint32, place int) int { return int(key >> (4 * place) & 0xf) },
		match: func(key uint32, place int) string {
			mask := uint32(0xf) << (4 * place)
			return "-d " + address(key&mask) + "/" + address(mask)
		},
	}
	// The first digit is the protocol's; then the first ones of a port come first, as rules
	// match ranges.
	byPort = tree{
		digits: 5,
		digit:  func(key uint32, place int) int { return int(key >> (4 * (4 - place)) & 0xf) },
		match: func(key uint32, place int) string {
			proto := "-p " + protocols[key>>16]
			if place == 0 {
				return proto
			}
			rest := uint32(1)<<(4*(4-place)) - 1
			first := key &^ rest & 0xffff
			return proto + " -m " + protocols[key>>16] + " --dport " + strconv.Itoa(int(first)) + ":" + strconv.Itoa(int(first|rest))
		},
	}
	protocols = []string{"tcp", "udp"}
)

func address(key uint32) string {
	return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, key))).String()
}

// addressKey is the key of an IPv4 address.
func addressKey(ip netip.Addr) uint32 {
	b := ip.As4()
	return binary.BigEndian.Uint32(b[:])
}

// portKey is the key of a node port; proto is one of protocols.
func portKey(proto string, port uint16) uint32 {
	key := uint32(port)
	if proto == protocols[1] {
		key |= 1 << 16
	}
	return key
}

// write writes the rules of a chain that dispatches to leads, and adds the branches to chains.
func (t tree) write(w *strings.Builder, chain, branches string, leads []lead, chains map[string]string) {
	t.branches = branches
	t.split(w, chain, "", leads, 0, chains)
}

func (t tree) split(w *strings.Builder, chain, path string, leads []lead, place int, chains map[string]string) {
	var by [16][]lead
	for ; len(leads) > maxLeads && place < t.digits; place++ {
		by = [16][]lead{}
		for _, l := range leads {
			d := t.digit(l.key, place)
			by[d] = append(by[d], l)
		}
		if first := by[t.digit(leads[0].key, place)]; len(first) == len(leads) {
			continue // all have the same digit there
		}
		for d, part := range by {
			if len(part) == 0 {
				continue
			}
			to := path + strconv.FormatInt(int64(d), 16)
			var branch strings.Builder
			t.split(&branch, t.branches+to, to, part, place+1, chains)
			chains[t.branches+to] = branch.String()
			w.WriteString("-A " + chain + " " + t.match(part[0].key, place) + " -j " + t.branches + to + "\n")
		}
		return
	}
	for _, l := range leads {
		w.WriteString("-A " + chain + " " + l.rule + "\n")
	}
}
