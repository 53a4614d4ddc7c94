package why_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/lab-runner/why"
)

// The server's own class: an address is missing, not yet there, or there.
func TestIngressAddress(t *testing.T) {
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	class := "wheelhouse"
	pathConflict := corev1.Event{Reason: "PathConflict", Message: `another rule has path "/" of host "shop" already`, InvolvedObject: corev1.ObjectReference{Kind: "Ingress", Name: "shop"}}
	for name, c := range map[string]struct {
		controller string
		age        time.Duration
		address    string
		events     []corev1.Event
		state      why.State
		reason     string // of the last hop
		says       string
	}{
		"served":               {"wheelhouse.dev/ingress", time.Hour, "10.245.1.2", nil, why.Fine, "", "serves it at 10.245.1.2"},
		"not yet":              {"wheelhouse.dev/ingress", time.Second, "", nil, why.Waiting, "NoAddressYet", "yet"},
		"by nobody":            {"wheelhouse.dev/ingress", time.Hour, "", nil, why.Broken, "IngressNotServed", "another program"},
		"by another, silently": {"k8s.io/ingress-nginx", time.Hour, "", nil, why.Fine, "", "some never do"},
		"with a report":        {"wheelhouse.dev/ingress", time.Hour, "10.245.1.2", []corev1.Event{pathConflict}, why.Fine, "", "PathConflict"},
	} {
		in := networkingv1.Ingress{ObjectMeta: metav1.ObjectMeta{Name: "shop", CreationTimestamp: metav1.NewTime(now.Add(-c.age))}}
		in.Spec.IngressClassName = &class
		if c.address != "" {
			in.Status.LoadBalancer.Ingress = []networkingv1.IngressLoadBalancerIngress{{IP: c.address}}
		}
		f := &why.Facts{Taken: now, Namespace: "ns"}
		f.Ingresses = []networkingv1.Ingress{in}
		f.Classes = []networkingv1.IngressClass{{ObjectMeta: metav1.ObjectMeta{Name: class}, Spec: networkingv1.IngressClassSpec{Controller: c.controller}}}
		f.Events = c.events
		got := why.Explain(f, why.Target{Kind: "Ingress", Name: "shop"})
		last := got.Hops[len(got.Hops)-1]
		said := slices.ContainsFunc(got.Hops, func(h why.Hop) bool { return strings.Contains(h.Text, c.says) })
		if got.State != c.state || last.Reason != c.reason || !said {
			t.Errorf("%s: %s, %+v", name, got.State, got.Hops)
		}
	}
}
