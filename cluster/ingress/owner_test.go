package ingress

import (
	"strings"
	"testing"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
)

// A host belongs to the namespace that has named it first; what others say of it is not served, and they get an event.
func TestAHostHasOneNamespace(t *testing.T) {
	of := func(namespace string, in *networkingv1.Ingress) *networkingv1.Ingress {
		in.Namespace = namespace
		return in
	}
	withCert := func(in *networkingv1.Ingress, hosts ...string) *networkingv1.Ingress {
		in.Spec.TLS = []networkingv1.IngressTLS{{SecretName: "a", Hosts: hosts}}
		return in
	}
	old := of("ann", object("old", time.Hour, rule("a.example", "/", prefix, "web")))
	for _, c := range []struct {
		name       string
		ingresses  []*networkingv1.Ingress
		host, path string
		want       string // the endpoint that answers, or "" for none
		conflicts  int
	}{
		{"the same path", []*networkingv1.Ingress{of("ben", object("young", 0, rule("A.example", "/", prefix, "other"))), old}, "a.example", "/", "10.0.0.1:8080", 1},
		{"a longer path", []*networkingv1.Ingress{of("ben", object("young", 0, rule("a.example", "/login", prefix, "other"))), old}, "a.example", "/login", "10.0.0.1:8080", 1},
		{"its own namespace", []*networkingv1.Ingress{of("ann", object("young", 0, rule("a.example", "/login", prefix, "other"))), old}, "a.example", "/login", "10.0.0.2:8080", 0},
		{"a host below a wildcard", []*networkingv1.Ingress{of("ann", object("old", time.Hour, rule("*.example", "/", prefix, "web"))), of("ben", object("young", 0, rule("b.example", "/", prefix, "other")))}, "b.example", "/", "10.0.0.1:8080", 1},
		{"a host below the own wildcard", []*networkingv1.Ingress{of("ann", object("old", time.Hour, rule("*.example", "/", prefix, "web"))), of("ann", object("young", 0, rule("b.example", "/", prefix, "other")))}, "b.example", "/", "10.0.0.2:8080", 0},
		{"a wildcard above a host", []*networkingv1.Ingress{of("ben", object("young", 0, rule("*.example", "/", prefix, "other"))), old}, "a.example", "/", "10.0.0.1:8080", 0},
		{"a certificate alone", []*networkingv1.Ingress{withCert(of("ben", object("young", 0)), "a.example"), old}, "a.example", "/", "10.0.0.1:8080", 1},
		{"rules without a host", []*networkingv1.Ingress{of("ann", object("old", time.Hour, rule("", "/a", prefix, "web"))), of("ben", object("young", 0, rule("", "/b", prefix, "other")))}, "any", "/b", "10.0.0.2:8080", 0},
	} {
		table, problems := Build(snapshot(c.ingresses...))
		got := ""
		if b := table.Match(c.host, c.path); b != nil && len(b.endpoints) > 0 {
			got = b.endpoints[0].String()
		}
		conflicts := 0
		for _, p := range problems {
			if p.Reason == "HostConflict" {
				conflicts++
				if p.Ingress.Namespace != "ben" || strings.Contains(p.Message, "ann") {
					t.Errorf("%s: an event for %s: %s", c.name, p.Ingress.Namespace, p.Message)
				}
			}
		}
		if got != c.want || conflicts != c.conflicts {
			t.Errorf("%s: %q answers, want %q; %d conflicts, want %d: %v", c.name, got, c.want, conflicts, c.conflicts, problems)
		}
	}
}
