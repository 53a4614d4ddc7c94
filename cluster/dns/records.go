package dns

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"
	v1 "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
)

// ttl of every record, in seconds: short, since endpoints come and go.
const ttl = 5

// maxRecords is the maximum of addresses in one answer; the longest message has fewer.
const maxRecords = 4096

// View is the state that names depend on. Its methods return nil for what does not exist.
type View interface {
	Namespace(name string) bool
	Service(namespace, name string) *v1.Service
	Slices(namespace, service string) []*discovery.EndpointSlice
	// At returns the service with a cluster IP, or the slices with an endpoint address.
	At(ip string) (*v1.Service, []*discovery.EndpointSlice)
}

// Answer is the answer to a question. NOERROR without records means that the name exists
// and has no record of the type.
type Answer struct {
	Records, Extra []dns.RR
	Rcode          int
	// Outside is the target of a CNAME outside the domain, still to be resolved.
	Outside string
}

var noName = Answer{Rcode: dns.RcodeNameError}

// Zone answers for one domain, according to the Kubernetes DNS specification 1.1.
type Zone struct {
	Domain string // with the final dot
	Addr   netip.Addr
	View   View
}

// Owns reports whether the name, in lower case, is the domain or below it.
func (z *Zone) Owns(name string) bool { return dns.IsSubDomain(z.Domain, name) }

// Resolve answers a question about a name that the zone owns.
func (z *Zone) Resolve(name string, qtype uint16) Answer {
	return z.resolve(strings.ToLower(name), qtype, 0)
}

func (z *Zone) resolve(name string, qtype uint16, depth int) Answer {
	labels := dns.SplitDomainName(strings.TrimSuffix(name, z.Domain))
	if len(labels) == 0 {
		return z.apex(qtype)
	}
	kind, rest := labels[len(labels)-1], labels[:len(labels)-1]
	switch {
	case kind == "svc" && len(rest) == 0, kind == "pod" && len(rest) == 0:
		return Answer{}
	case (kind == "svc" || kind == "pod") && !z.View.Namespace(rest[len(rest)-1]):
		return noName
	case (kind == "svc" || kind == "pod") && len(rest) == 1:
		return Answer{}
	case kind == "svc":
		return z.service(name, qtype, rest, depth)
	case kind == "pod" && len(rest) == 2:
		ip, ok := undash(rest[0])
		if !ok {
			return noName
		}
		return Answer{Records: addresses(name, qtype, []netip.Addr{ip})}
	case kind == "dns" && slices.Equal(rest, []string{"ns"}):
		return Answer{Records: addresses(name, qtype, []netip.Addr{z.Addr})}
	case kind == "dns" && len(rest) == 0:
		return Answer{}
	case kind == "dns-version" && len(rest) == 0:
		if qtype == dns.TypeTXT {
			return Answer{Records: []dns.RR{&dns.TXT{Hdr: header(name, dns.TypeTXT), Txt: []string{"1.1.0"}}}}
		}
		return Answer{}
	}
	return noName
}

func (z *Zone) apex(qtype uint16) Answer {
	switch qtype {
	case dns.TypeSOA:
		return Answer{Records: []dns.RR{z.SOA()}}
	case dns.TypeNS:
		ns := "ns.dns." + z.Domain
		return Answer{
			Records: []dns.RR{&dns.NS{Hdr: header(z.Domain, dns.TypeNS), Ns: ns}},
			Extra:   addresses(ns, dns.TypeA, []netip.Addr{z.Addr}),
		}
	}
	return Answer{}
}

// SOA returns the record for answers without records; its TTL is how long they may be cached.
func (z *Zone) SOA() dns.RR {
	return &dns.SOA{
		Hdr: header(z.Domain, dns.TypeSOA), Ns: "ns.dns." + z.Domain, Mbox: "hostmaster." + z.Domain,
		Serial: 1, Refresh: 7200, Retry: 1800, Expire: 86400, Minttl: ttl,
	}
}

// service answers names below svc: [svc ns], [host svc ns], [_proto svc ns] and
// [_port _proto svc ns].
func (z *Zone) service(name string, qtype uint16, labels []string, depth int) Answer {
	n := len(labels)
	if n > 4 {
		return noName
	}
	svc := z.View.Service(labels[n-1], labels[n-2])
	if svc == nil {
		return noName
	}
	if svc.Spec.Type == v1.ServiceTypeExternalName {
		if n > 2 {
			return noName
		}
		return z.externalName(name, qtype, svc, depth)
	}
	headless := svc.Spec.ClusterIP == v1.ClusterIPNone
	var eps []endpoint
	if headless {
		eps = endpoints(svc, z.View.Slices(svc.Namespace, svc.Name))
	}
	anyPort := func(*v1.ServicePort) bool { return true }
	switch {
	case n == 2 && headless && len(eps) == 0:
		return noName // as the specification has it
	case n == 2 && qtype == dns.TypeSRV: // beyond the specification, as CoreDNS
		return z.srv(name, svc, eps, anyPort)
	case n == 2 && headless:
		return Answer{Records: addresses(name, qtype, addrs(eps[:min(len(eps), maxRecords)]))}
	case n == 2:
		return Answer{Records: addresses(name, qtype, clusterIPs(svc))}
	case n == 3 && strings.HasPrefix(labels[0], "_"):
		for _, p := range svc.Spec.Ports {
			if p.Name != "" && labels[0] == "_"+strings.ToLower(string(p.Protocol)) {
				return Answer{}
			}
		}
		return noName
	case n == 3:
		eps = slices.DeleteFunc(eps, func(e endpoint) bool { return e.host != labels[0] })
		if len(eps) == 0 {
			return noName
		}
		if qtype == dns.TypeSRV {
			return z.srv(name, svc, eps, anyPort)
		}
		return Answer{Records: addresses(name, qtype, addrs(eps))}
	}
	a := z.srv(name, svc, eps, func(p *v1.ServicePort) bool {
		return p.Name != "" && labels[0] == "_"+strings.ToLower(p.Name) && labels[1] == "_"+strings.ToLower(string(p.Protocol))
	})
	if len(a.Records) == 0 {
		return noName
	}
	if qtype != dns.TypeSRV && qtype != dns.TypeANY {
		return Answer{}
	}
	return a
}

// srv returns a record for each matching port of the service, or of each endpoint of a headless one, with
// their addresses as additional records. The weights are CoreDNS's: all are alike, and their sum is 100.
func (z *Zone) srv(name string, svc *v1.Service, eps []endpoint, match func(*v1.ServicePort) bool) (a Answer) {
	base := svc.Name + "." + svc.Namespace + ".svc." + z.Domain
	type target struct {
		host string
		port int32
	}
	known := map[target]bool{}
	add := func(host string, port int32, ips []netip.Addr) {
		if t := (target{host, port}); !known[t] { // endpoints may share a name
			known[t] = true
			a.Records = append(a.Records, &dns.SRV{Hdr: header(name, dns.TypeSRV), Port: uint16(port), Target: host})
		}
		a.Extra = append(a.Extra, addresses(host, dns.TypeANY, ips)...)
	}
	for i := range svc.Spec.Ports {
		p := &svc.Spec.Ports[i]
		if !match(p) {
			continue
		}
		if svc.Spec.ClusterIP != v1.ClusterIPNone {
			add(base, p.Port, clusterIPs(svc))
		}
		for _, e := range eps[:min(len(eps), maxRecords-len(a.Records))] {
			if port, ok := e.ports[p.Name]; ok {
				add(e.host+"."+base, port, []netip.Addr{e.ip})
			}
		}
	}
	for _, rr := range a.Records {
		rr.(*dns.SRV).Weight = uint16(max(100/len(a.Records), 1))
	}
	return a
}

func (z *Zone) externalName(name string, qtype uint16, svc *v1.Service, depth int) Answer {
	target := dns.Fqdn(strings.ToLower(svc.Spec.ExternalName))
	a := Answer{Records: []dns.RR{&dns.CNAME{Hdr: header(name, dns.TypeCNAME), Target: target}}}
	switch {
	case qtype == dns.TypeCNAME || qtype == dns.TypeANY:
	case !z.Owns(target):
		a.Outside = target
	case depth < 8: // ends cycles of names
		next := z.resolve(target, qtype, depth+1)
		a.Records, a.Outside = append(a.Records, next.Records...), next.Outside
	}
	return a
}

// Reverse answers the PTR question for an address of a service, or of an endpoint
// of a headless one. ok is false if the address is not the cluster's.
func (z *Zone) Reverse(name string, qtype uint16) (a Answer, ok bool) {
	ip, ok := reversed(strings.ToLower(name))
	if !ok {
		return a, false
	}
	add := func(target string) {
		ok = true
		if qtype == dns.TypePTR || qtype == dns.TypeANY {
			a.Records = append(a.Records, &dns.PTR{Hdr: header(name, dns.TypePTR), Ptr: target})
		}
	}
	ok = false
	svc, of := z.View.At(ip.String())
	if svc != nil {
		add(svc.Name + "." + svc.Namespace + ".svc." + z.Domain)
	}
	for _, s := range of {
		svc := z.View.Service(s.Namespace, s.Labels[discovery.LabelServiceName])
		if svc == nil || svc.Spec.ClusterIP != v1.ClusterIPNone {
			continue
		}
		for _, e := range endpoints(svc, []*discovery.EndpointSlice{s}) {
			if e.ip == ip {
				add(e.host + "." + svc.Name + "." + svc.Namespace + ".svc." + z.Domain)
			}
		}
	}
	return a, ok
}

type endpoint struct {
	ip    netip.Addr
	host  string // its hostname, or its address with dashes
	ports map[string]int32
}

// endpoints returns those of a headless service that are ready, or all with
// publishNotReadyAddresses.
func endpoints(svc *v1.Service, of []*discovery.EndpointSlice) (eps []endpoint) {
	known := map[netip.Addr]bool{}
	for _, s := range of {
		ports := map[string]int32{}
		for _, p := range s.Ports {
			if p.Port != nil && p.Name != nil {
				ports[*p.Name] = *p.Port
			}
		}
		for _, e := range s.Endpoints {
			ready := e.Conditions.Ready == nil || *e.Conditions.Ready
			if !ready && !svc.Spec.PublishNotReadyAddresses {
				continue
			}
			for _, text := range e.Addresses {
				ip, err := netip.ParseAddr(text)
				if err != nil || known[ip] {
					continue
				}
				known[ip] = true
				host := dashed(ip)
				if e.Hostname != nil && *e.Hostname != "" {
					host = *e.Hostname
				}
				eps = append(eps, endpoint{ip, host, ports})
			}
		}
	}
	return eps
}

func addrs(eps []endpoint) (ips []netip.Addr) {
	for _, e := range eps {
		ips = append(ips, e.ip)
	}
	return ips
}

func clusterIPs(svc *v1.Service) (ips []netip.Addr) {
	texts := svc.Spec.ClusterIPs
	if len(texts) == 0 {
		texts = []string{svc.Spec.ClusterIP}
	}
	for _, t := range texts {
		if ip, err := netip.ParseAddr(t); err == nil {
			ips = append(ips, ip)
		}
	}
	return ips
}
