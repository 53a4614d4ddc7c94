package ingress

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
)

// The annotations of an Ingress that are heeded, and what holds without them.
const (
	// AnnotationMaxBody limits the body of a request: a quantity of bytes; 0 is no limit.
	AnnotationMaxBody = "ingress.wheelhouse.dev/max-body-size"
	// AnnotationTimeout limits the time from the end of the request to the headers of the response: a duration ("90s").
	AnnotationTimeout = "ingress.wheelhouse.dev/response-timeout"

	defaultMaxBody = 64 << 20
	defaultTimeout = 60 * time.Second
)

// protocolH2C is the appProtocol of ports that speak HTTP/2 without TLS, as gRPC servers do (KEP-3726).
const protocolH2C = "kubernetes.io/h2c"

// Snapshot is what a Table is computed from. The functions return nil for what does not exist.
type Snapshot struct {
	Ingresses []*networkingv1.Ingress // those to serve
	Service   func(namespace, name string) *corev1.Service
	Slices    func(namespace, service string) []*discoveryv1.EndpointSlice
	Secret    func(namespace, name string) *corev1.Secret

	loopback bool       // endpoints may be on loopback: so is everything, as in tests
	certs    *certCache // nil: every Secret is parsed
}

// Problem is what keeps a part of an Ingress from being served as written.
type Problem struct {
	Ingress         *networkingv1.Ingress
	Reason, Message string
}

// Build computes the routes. Of two Ingresses that claim the same path of the same host, or the certificate of
// one, the older one has it. A host belongs to the namespace of the oldest Ingress that names it, alone or by a wildcard:
// rules and certificates of other namespaces for it are not served.
func Build(s Snapshot) (*Table, []Problem) {
	b := &builder{Snapshot: s, table: &Table{hosts: map[string]*host{}, wildcards: map[string]*host{}, certs: newCertificates()}, owners: map[string]string{}}
	all := slices.Clone(s.Ingresses)
	slices.SortFunc(all, func(x, y *networkingv1.Ingress) int {
		return cmp.Or(x.CreationTimestamp.Compare(y.CreationTimestamp.Time), cmp.Compare(x.Namespace, y.Namespace), cmp.Compare(x.Name, y.Name))
	})
	for _, in := range all {
		b.addIngress(in)
	}
	return b.table, b.problems
}

type builder struct {
	Snapshot
	table    *Table
	problems []Problem
	owners   map[string]string // the namespace of each host that a rule or a certificate has named
}

// owns reports whether a host is that of the Ingress's namespace, which it becomes if it is nobody's. A host below
// another namespace's wildcard is not free. Rules without a host are for what nobody has named: several namespaces may have such.
func (b *builder) owns(in *networkingv1.Ingress, name string) bool {
	name = strings.ToLower(name)
	if name == "" {
		return true
	}
	of, taken := b.owners[name]
	if dot := strings.IndexByte(name, '.'); !taken && dot > 0 && name[0] != '*' {
		if of, taken = b.owners["*"+name[dot:]]; taken && of == in.Namespace {
			taken = false
		}
	}
	if taken && of != in.Namespace {
		return false
	}
	b.owners[name] = in.Namespace
	return true
}

// reportHost reports a host of another namespace, which is not named: it may be another person's.
func (b *builder) reportHost(in *networkingv1.Ingress, name string) {
	b.report(in, "HostConflict", "host %q is of an older Ingress in another namespace: choose another host", name)
}

func (b *builder) report(in *networkingv1.Ingress, reason, format string, args ...any) {
	b.problems = append(b.problems, Problem{Ingress: in, Reason: reason, Message: fmt.Sprintf(format, args...)})
}

func (b *builder) addIngress(in *networkingv1.Ingress) {
	o := b.options(in)
	var fallback *Backend
	if in.Spec.DefaultBackend != nil {
		fallback = b.backend(in, in.Spec.DefaultBackend, o)
		if b.table.fallback == nil {
			b.table.fallback = fallback
		}
	}
	for i := range in.Spec.Rules {
		rule := &in.Spec.Rules[i]
		if !b.owns(in, rule.Host) {
			b.reportHost(in, rule.Host)
			continue
		}
		h := b.host(rule.Host)
		if h.fallback == nil && rule.Host != "" {
			h.fallback = fallback
		}
		if rule.HTTP == nil {
			continue // all paths go to the default backend
		}
		for j := range rule.HTTP.Paths {
			p := &rule.HTTP.Paths[j]
			if !h.add(p, b.backend(in, &p.Backend, o)) {
				b.report(in, "PathConflict", "another rule has path %q of host %q already", p.Path, rule.Host)
			}
		}
	}
	for i := range in.Spec.TLS {
		b.tls(in, &in.Spec.TLS[i])
	}
}

// host returns the host of a rule, which is made if need be.
func (b *builder) host(name string) *host {
	name = strings.ToLower(name)
	if name == "" {
		if b.table.anyHost == nil {
			b.table.anyHost = newHost()
		}
		return b.table.anyHost
	}
	in, key := b.table.hosts, name
	if suffix, ok := strings.CutPrefix(name, "*"); ok {
		in, key = b.table.wildcards, suffix
	}
	if in[key] == nil {
		in[key] = newHost()
	}
	return in[key]
}

func newHost() *host {
	return &host{exact: map[string]*Backend{}, prefixes: map[string]*Backend{}}
}

// add reports whether the path was free. A path of type ImplementationSpecific is a prefix here.
func (h *host) add(p *networkingv1.HTTPIngressPath, to *Backend) bool {
	in, path := h.prefixes, strings.TrimRight(p.Path, "/")
	if ptr.Deref(p.PathType, "") == networkingv1.PathTypeExact {
		in, path = h.exact, p.Path
	}
	if in[path] != nil {
		return false
	}
	in[path] = to
	h.depth = max(h.depth, strings.Count(path, "/"))
	return true
}

func (b *builder) options(in *networkingv1.Ingress) options {
	o := options{maxBody: defaultMaxBody, timeout: defaultTimeout}
	if text, ok := in.Annotations[AnnotationMaxBody]; ok {
		if q, err := resource.ParseQuantity(text); err == nil && q.Sign() >= 0 {
			o.maxBody = q.Value()
		} else {
			b.report(in, "InvalidAnnotation", "%s: want a quantity of bytes such as 8Mi, not %q", AnnotationMaxBody, text)
		}
	}
	if text, ok := in.Annotations[AnnotationTimeout]; ok {
		if d, err := time.ParseDuration(text); err == nil && d > 0 {
			o.timeout = d
		} else {
			b.report(in, "InvalidAnnotation", "%s: want a duration such as 90s, not %q", AnnotationTimeout, text)
		}
	}
	return o
}

func (b *builder) backend(in *networkingv1.Ingress, of *networkingv1.IngressBackend, o options) *Backend {
	out := &Backend{Ingress: types.NamespacedName{Namespace: in.Namespace, Name: in.Name}, options: o}
	if of.Service == nil {
		out.problem = "the backend is no Service"
		return out
	}
	out.Service = of.Service.Name + ":" + cmp.Or(of.Service.Port.Name, strconv.Itoa(int(of.Service.Port.Number)))
	svc := b.Service(in.Namespace, of.Service.Name)
	switch {
	case svc == nil:
		out.problem = "the Service does not exist"
		return out
	case svc.Spec.Type == corev1.ServiceTypeExternalName:
		out.problem = "a Service of type ExternalName is not served"
		return out
	}
	i := slices.IndexFunc(svc.Spec.Ports, func(p corev1.ServicePort) bool {
		if name := of.Service.Port.Name; name != "" {
			return p.Name == name
		}
		return p.Port == of.Service.Port.Number
	})
	if i < 0 {
		out.problem = "the Service does not have the port"
		return out
	}
	port := &svc.Spec.Ports[i]
	out.h2c = ptr.Deref(port.AppProtocol, "") == protocolH2C
	out.sticky = svc.Spec.SessionAffinity == corev1.ServiceAffinityClientIP
	out.endpoints = endpoints(b.Slices(in.Namespace, svc.Name), port.Name, b.loopback)
	if len(out.endpoints) == 0 {
		out.problem = "the Service has no ready endpoint"
	}
	return out
}

// endpoints returns the ready endpoints of a port, in the order of their addresses. If there are none, those that
// terminate and still serve, as kube-proxy does.
func endpoints(of []*discoveryv1.EndpointSlice, port string, loopback bool) []netip.AddrPort {
	var ready, leaving []netip.AddrPort
	for _, s := range of {
		i := slices.IndexFunc(s.Ports, func(p discoveryv1.EndpointPort) bool {
			return ptr.Deref(p.Name, "") == port && p.Port != nil && ptr.Deref(p.Protocol, corev1.ProtocolTCP) == corev1.ProtocolTCP
		})
		if i < 0 || s.AddressType == discoveryv1.AddressTypeFQDN {
			continue
		}
		for j := range s.Endpoints {
			e := &s.Endpoints[j]
			if len(e.Addresses) == 0 {
				continue
			}
			// All addresses of an endpoint are the same endpoint.
			addr, err := netip.ParseAddr(e.Addresses[0])
			if err != nil || !addr.IsGlobalUnicast() && !(loopback && addr.IsLoopback()) {
				continue // the API refuses loopback and link-local ones, too
			}
			at := netip.AddrPortFrom(addr.WithZone(""), uint16(*s.Ports[i].Port))
			switch c := &e.Conditions; {
			case ptr.Deref(c.Ready, true):
				ready = append(ready, at)
			case ptr.Deref(c.Serving, false) && ptr.Deref(c.Terminating, false):
				leaving = append(leaving, at)
			}
		}
	}
	if len(ready) == 0 {
		ready = leaving
	}
	slices.SortFunc(ready, netip.AddrPort.Compare)
	return slices.Compact(ready)
}

// tls takes the certificate of an entry for its hosts; an entry without hosts is for those of the rules.
func (b *builder) tls(in *networkingv1.Ingress, t *networkingv1.IngressTLS) {
	if t.SecretName == "" {
		return // the default certificate
	}
	secret := b.Secret(in.Namespace, t.SecretName)
	if secret == nil {
		b.report(in, "TLSSecretNotFound", "Secret %s of type %s does not exist", t.SecretName, corev1.SecretTypeTLS)
		return
	}
	cert, err := b.certs.parse(secret)
	if err != nil {
		b.report(in, "InvalidTLSSecret", "Secret %s: %v", t.SecretName, err)
		return
	}
	hosts := t.Hosts
	if len(hosts) == 0 {
		for i := range in.Spec.Rules {
			hosts = append(hosts, in.Spec.Rules[i].Host)
		}
	}
	for _, name := range hosts {
		if name == "" {
			continue
		}
		if !b.owns(in, name) {
			b.reportHost(in, name)
			continue
		}
		b.table.certs.add(name, cert)
		if !covers(cert, name) {
			b.report(in, "CertificateMismatch", "the certificate in Secret %s is not for host %s", t.SecretName, name)
		}
	}
}
