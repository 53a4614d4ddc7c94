package proxy

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"wheelhouse/cluster/journal"
)

// mostNamed is how many endpoints an entry of the journal names.
const mostNamed = 4

// recordWritten keeps in the journal, of each service whose rules have changed, that they are in the
// kernel now. What could not be written before is among them.
func (p *Proxy) recordWritten(began time.Time, rules *compiler) {
	for key := range rules.unwritten {
		if of := rules.services[key]; of != nil {
			now := time.Now()
			p.cfg.Journal.Add(of.svc.UID, journal.Entry{
				Time: now, Component: "kube-proxy", Step: "rules written on node " + p.cfg.NodeName + ", " + describe(of),
				Took: float64(now.Sub(began).Microseconds()) / 1000,
			})
		}
	}
	rules.unwritten = nil
}

// same reports whether the rules of a service are those of other, which may be nil.
func (p *serviceRules) same(other *serviceRules) bool {
	return other != nil && p.svc.UID == other.svc.UID && maps.Equal(p.part.Chains, other.part.Chains) && p.leads.same(other.leads)
}

// describe says where the rules of a service lead from and to.
func describe(of *serviceRules) string {
	if !hasClusterIP(of.svc) {
		return "none: the service has no cluster IP"
	}
	var from, to []string
	for _, ip := range clusterIPs(of.svc) {
		for i := range of.svc.Spec.Ports {
			from = append(from, netip.AddrPortFrom(ip, uint16(of.svc.Spec.Ports[i].Port)).String())
		}
	}
	for _, addr := range of.leadTo {
		to = append(to, addr.String())
	}
	slices.Sort(to)
	to = slices.Compact(to)
	if len(to) == 0 {
		to = []string{"no endpoint"}
	}
	return "from " + strings.Join(shortened(from), ", ") + " to " + strings.Join(shortened(to), ", ")
}

// shortened returns the first mostNamed texts, and how many more there are.
func shortened(list []string) []string {
	if len(list) <= mostNamed {
		return list
	}
	return append(slices.Clone(list[:mostNamed]), fmt.Sprintf("%d more", len(list)-mostNamed))
}

func with[K comparable](set map[K]bool, key K) map[K]bool {
	if set == nil {
		set = map[K]bool{}
	}
	set[key] = true
	return set
}
