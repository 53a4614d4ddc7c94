package ingress

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"wheelhouse/cluster/client"
)

// object returns an Ingress of our class; the higher the age, the older.
func object(name string, age time.Duration, rules ...networkingv1.IngressRule) *networkingv1.Ingress {
	return &networkingv1.Ingress{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, UID: types.UID("uid-" + name), CreationTimestamp: metav1.NewTime(time.Unix(1e9, 0).Add(-age))},
		Spec:       networkingv1.IngressSpec{Rules: rules, IngressClassName: ptr.To(client.IngressClass)},
	}
}

func rule(host, path string, kind networkingv1.PathType, service string) networkingv1.IngressRule {
	return networkingv1.IngressRule{Host: host, IngressRuleValue: networkingv1.IngressRuleValue{HTTP: &networkingv1.HTTPIngressRuleValue{
		Paths: []networkingv1.HTTPIngressPath{{Path: path, PathType: &kind, Backend: *backendOf(service, networkingv1.ServiceBackendPort{Number: 80})}},
	}}}
}

func backendOf(service string, port networkingv1.ServiceBackendPort) *networkingv1.IngressBackend {
	return &networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{Name: service, Port: port}}
}

func service(name string) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name},
		Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: "http", Port: 80}, {Name: "grpc", Port: 90, AppProtocol: ptr.To("kubernetes.io/h2c")}}},
	}
}

func slice(service string, endpoints ...discoveryv1.Endpoint) *discoveryv1.EndpointSlice {
	return &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Namespace: "ns", Name: service + "-1", Labels: map[string]string{discoveryv1.LabelServiceName: service}},
		AddressType: discoveryv1.AddressTypeIPv4, Endpoints: endpoints,
		Ports: []discoveryv1.EndpointPort{{Name: ptr.To("http"), Port: ptr.To(int32(8080))}, {Name: ptr.To("grpc"), Port: ptr.To(int32(9090))}},
	}
}

func ready(address string) discoveryv1.Endpoint {
	return discoveryv1.Endpoint{Addresses: []string{address}, Conditions: discoveryv1.EndpointConditions{Ready: ptr.To(true), Serving: ptr.To(true)}}
}

func terminating(address string, serving bool) discoveryv1.Endpoint {
	return discoveryv1.Endpoint{Addresses: []string{address}, Conditions: discoveryv1.EndpointConditions{Ready: ptr.To(false), Serving: &serving, Terminating: ptr.To(true)}}
}

// snapshot has services web and other with an endpoint each, one without endpoints, and Secrets.
func snapshot(all ...*networkingv1.Ingress) Snapshot {
	services := map[string]*corev1.Service{"web": service("web"), "other": service("other"), "empty": service("empty"), "outside": service("outside")}
	services["outside"].Spec.Type = corev1.ServiceTypeExternalName
	slices := map[string]*discoveryv1.EndpointSlice{"web": slice("web", ready("10.0.0.1")), "other": slice("other", ready("10.0.0.2"))}
	opaque := tlsSecret("opaque", "a.example")
	opaque.Type = corev1.SecretTypeOpaque
	broken := tlsSecret("broken", "a.example")
	broken.Data[corev1.TLSPrivateKeyKey] = []byte("-----BEGIN PRIVATE KEY-----\nhush\n-----END PRIVATE KEY-----\n")
	secrets := map[string]*corev1.Secret{"a": tlsSecret("a", "a.example"), "wild": tlsSecret("wild", "*.wild.example"), "opaque": opaque, "broken": broken}
	return Snapshot{
		Ingresses: all,
		Service:   func(_, name string) *corev1.Service { return services[name] },
		Slices: func(_, name string) []*discoveryv1.EndpointSlice {
			if s := slices[name]; s != nil {
				return []*discoveryv1.EndpointSlice{s}
			}
			return nil
		},
		Secret: func(_, name string) *corev1.Secret { return secrets[name] },
	}
}

const prefix, exact = networkingv1.PathTypePrefix, networkingv1.PathTypeExact

func TestBuildRoutes(t *testing.T) {
	withDefault := object("default", time.Hour, rule("a.example", "/own", prefix, "web"))
	withDefault.Spec.DefaultBackend = backendOf("other", networkingv1.ServiceBackendPort{Name: "http"})
	alone := object("alone", 0)
	alone.Spec.DefaultBackend = backendOf("web", networkingv1.ServiceBackendPort{Name: "http"})
	noPaths := object("none", 0, networkingv1.IngressRule{Host: "a.example"})
	noPaths.Spec.DefaultBackend = backendOf("web", networkingv1.ServiceBackendPort{Number: 80})
	byName := object("named", 0, rule("", "/", prefix, "web"))
	byName.Spec.Rules[0].HTTP.Paths[0].Backend.Service.Port = networkingv1.ServiceBackendPort{Name: "grpc"}
	resource := object("resource", 0, rule("", "/", prefix, "web"))
	resource.Spec.Rules[0].HTTP.Paths[0].Backend = networkingv1.IngressBackend{Resource: &corev1.TypedLocalObjectReference{Kind: "Bucket", Name: "b"}}
	wrongPort := object("port", 0, rule("", "/", prefix, "web"))
	wrongPort.Spec.Rules[0].HTTP.Paths[0].Backend.Service.Port.Number = 81
	for _, c := range []struct {
		name       string
		ingresses  []*networkingv1.Ingress
		host, path string
		want       string // an endpoint, or what the problem contains, or "" for no backend
	}{
		{"nothing", nil, "h", "/", ""},
		{"a path of no type is a prefix", []*networkingv1.Ingress{object("i", 0, rule("h", "/a", networkingv1.PathTypeImplementationSpecific, "web"))}, "h", "/a/b", "10.0.0.1:8080"},
		{"no path is all paths", []*networkingv1.Ingress{object("i", 0, rule("h", "", networkingv1.PathTypeImplementationSpecific, "web"))}, "h", "/a/b", "10.0.0.1:8080"},
		{"the older one has it", []*networkingv1.Ingress{object("young", 0, rule("h", "/", prefix, "web")), object("old", time.Hour, rule("H", "/", prefix, "other"))}, "h", "/", "10.0.0.2:8080"},
		{"the paths of two make one host", []*networkingv1.Ingress{object("a", 0, rule("h", "/a", prefix, "web")), object("b", 0, rule("h", "/b", exact, "other"))}, "h", "/b", "10.0.0.2:8080"},
		{"a default backend", []*networkingv1.Ingress{alone}, "any", "/any", "10.0.0.1:8080"},
		{"a default backend beside rules, for its own host", []*networkingv1.Ingress{alone, withDefault}, "a.example", "/else", "10.0.0.2:8080"},
		{"a default backend beside rules, for others", []*networkingv1.Ingress{alone, withDefault}, "b.example", "/else", "10.0.0.2:8080"},
		{"a rule without paths", []*networkingv1.Ingress{noPaths}, "a.example", "/x", "10.0.0.1:8080"},
		{"a port by name", []*networkingv1.Ingress{byName}, "h", "/", "10.0.0.1:9090"},
		{"no such service", []*networkingv1.Ingress{object("i", 0, rule("", "/", prefix, "nosuch"))}, "h", "/", "does not exist"},
		{"no endpoint", []*networkingv1.Ingress{object("i", 0, rule("", "/", prefix, "empty"))}, "h", "/", "no ready endpoint"},
		{"no such port", []*networkingv1.Ingress{wrongPort}, "h", "/", "does not have the port"},
		{"a name outside", []*networkingv1.Ingress{object("i", 0, rule("", "/", prefix, "outside"))}, "h", "/", "ExternalName"},
		{"a resource", []*networkingv1.Ingress{resource}, "h", "/", "no Service"},
	} {
		table, _ := Build(snapshot(c.ingresses...))
		got := table.Match(c.host, c.path)
		switch {
		case got == nil:
			if c.want != "" {
				t.Errorf("%s: no backend", c.name)
			}
		case got.problem != "":
			if c.want == "" || !strings.Contains(got.problem, c.want) {
				t.Errorf("%s: %q, want %q", c.name, got.problem, c.want)
			}
		case got.endpoints[0].String() != c.want:
			t.Errorf("%s: %v, want %s", c.name, got.endpoints, c.want)
		}
	}
	table, _ := Build(snapshot(byName))
	if !table.Match("h", "/").h2c {
		t.Error("appProtocol kubernetes.io/h2c is not heeded")
	}
}

func TestBuildEndpoints(t *testing.T) {
	for name, c := range map[string]struct {
		of   []discoveryv1.Endpoint
		want []string
	}{
		"ready ones alone":                           {[]discoveryv1.Endpoint{ready("10.0.0.2"), ready("10.0.0.1"), terminating("10.0.0.3", true)}, []string{"10.0.0.1:8080", "10.0.0.2:8080"}},
		"those that terminate, if no other is there": {[]discoveryv1.Endpoint{terminating("10.0.0.3", true), terminating("10.0.0.4", false)}, []string{"10.0.0.3:8080"}},
		"once":                 {[]discoveryv1.Endpoint{ready("10.0.0.1"), ready("10.0.0.1")}, []string{"10.0.0.1:8080"}},
		"no special addresses": {[]discoveryv1.Endpoint{ready("127.0.0.1"), ready("169.254.169.254"), ready("0.0.0.0"), ready("224.0.0.1"), ready("fish"), {}}, nil},
		"unknown is ready":     {[]discoveryv1.Endpoint{{Addresses: []string{"10.0.0.1"}}}, []string{"10.0.0.1:8080"}},
	} {
		var got []string
		for _, e := range endpoints([]*discoveryv1.EndpointSlice{slice("web", c.of...)}, "http", false) {
			got = append(got, e.String())
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestBuildProblems(t *testing.T) {
	withTLS := func(secret string, hosts ...string) *networkingv1.Ingress {
		in := object(secret, 0, rule("a.example", "/", prefix, "web"))
		in.Spec.TLS = []networkingv1.IngressTLS{{Hosts: hosts, SecretName: secret}}
		return in
	}
	annotated := object("annotated", 0)
	annotated.Annotations = map[string]string{AnnotationMaxBody: "much", AnnotationTimeout: "-1s"}
	for _, c := range []struct {
		name      string
		ingresses []*networkingv1.Ingress
		want      []string // reasons
		cert      bool     // of a.example
	}{
		{"a certificate", []*networkingv1.Ingress{withTLS("a", "a.example")}, nil, true},
		{"a certificate for the hosts of the rules", []*networkingv1.Ingress{withTLS("a")}, nil, true},
		{"a certificate of another host", []*networkingv1.Ingress{withTLS("wild", "a.example")}, []string{"CertificateMismatch"}, true},
		{"no Secret", []*networkingv1.Ingress{withTLS("nosuch", "a.example")}, []string{"TLSSecretNotFound"}, false},
		{"a Secret of another type", []*networkingv1.Ingress{withTLS("opaque", "a.example")}, []string{"InvalidTLSSecret"}, false},
		{"a Secret without a key", []*networkingv1.Ingress{withTLS("broken", "a.example")}, []string{"InvalidTLSSecret"}, false},
		{"the default certificate", []*networkingv1.Ingress{withTLS("", "a.example")}, nil, false},
		{"two claim a path", []*networkingv1.Ingress{object("x", 0, rule("h", "/a", prefix, "web")), object("y", 0, rule("h", "/a/", prefix, "web"))}, []string{"PathConflict"}, false},
		{"annotations", []*networkingv1.Ingress{annotated}, []string{"InvalidAnnotation", "InvalidAnnotation"}, false},
	} {
		table, problems := Build(snapshot(c.ingresses...))
		var got []string
		for _, p := range problems {
			got = append(got, p.Reason)
			if strings.Contains(p.Message, "hush") {
				t.Errorf("%s: the message shows the key: %s", c.name, p.Message)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, problems, c.want)
		}
		if (table.certs.find("a.example") != nil) != c.cert {
			t.Errorf("%s: the certificate is %v", c.name, table.certs.find("a.example"))
		}
	}
}

func TestBuildOptions(t *testing.T) {
	in := object("i", 0, rule("h", "/", prefix, "web"))
	table, _ := Build(snapshot(in))
	if got := table.Match("h", "/").options; got != (options{64 << 20, time.Minute}) {
		t.Errorf("by default %v", got)
	}
	in.Annotations = map[string]string{AnnotationMaxBody: "8Mi", AnnotationTimeout: "90s"}
	table, _ = Build(snapshot(in))
	if got := table.Match("h", "/").options; got != (options{8 << 20, 90 * time.Second}) {
		t.Errorf("annotated %v", got)
	}
}

// Each endpoint in turn; a client of a sticky Service has one, and keeps it when another goes.
func TestBackendOrder(t *testing.T) {
	var all []netip.AddrPort
	for i := range 8 {
		all = append(all, netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), 80))
	}
	b := to(all...)
	var avoid avoided
	first := map[netip.AddrPort]int{}
	for range 80 {
		order := b.order(netip.Addr{}, &avoid)
		if len(order) != maxTries {
			t.Fatalf("%d endpoints are tried", len(order))
		}
		first[order[0]]++
	}
	for _, e := range all {
		if first[e] != 10 {
			t.Errorf("%s had %d of 80", e, first[e])
		}
	}
	avoid.add(all[3])
	for range 8 {
		if got := b.order(netip.Addr{}, &avoid)[0]; got == all[3] {
			t.Error("an endpoint that failed comes first")
		}
	}
	b.sticky = true
	owners := map[netip.AddrPort]int{}
	for i := range 200 {
		from := netip.AddrFrom4([4]byte{192, 168, 0, byte(i)})
		owner := b.order(from, &avoided{})[0]
		owners[owner]++
		rest := to(slices.DeleteFunc(slices.Clone(all), func(e netip.AddrPort) bool { return e == all[0] })...)
		rest.sticky = true
		if again := rest.order(from, &avoided{})[0]; owner != all[0] && again != owner {
			t.Errorf("%s moved from %s to %s", from, owner, again)
		}
	}
	if len(owners) != len(all) {
		t.Errorf("200 clients have %d of 8 endpoints", len(owners))
	}
}
