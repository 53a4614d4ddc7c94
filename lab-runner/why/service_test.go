package why_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"wheelhouse/lab-runner/why"
)

// A controller that refuses an address has said why; without one nobody gives any.
func TestLoadBalancerRefused(t *testing.T) {
	data, err := os.ReadFile("testdata/facts/load-balancer-pending.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ event, reason, says string }{
		{"", "NoLoadBalancer", "no controller of load balancers gives one"},
		{"no address of the pool 10.245.1.210-10.245.1.213 is free", "LoadBalancerRefused", "could not give it one"},
	} {
		var f why.Facts
		if err := json.Unmarshal(data, &f); err != nil {
			t.Fatal(err)
		}
		if c.event != "" {
			f.Events = append(f.Events, corev1.Event{
				Reason: "SyncLoadBalancerFailed", Message: c.event, Type: corev1.EventTypeWarning,
				InvolvedObject: corev1.ObjectReference{Kind: "Service", Name: "web"},
			})
		}
		got := why.Explain(&f, why.Target{Kind: "Service", Name: "web"})
		last := got.Hops[len(got.Hops)-1]
		if last.Reason != c.reason || !strings.Contains(last.Text, c.says) || c.event != "" && !strings.Contains(strings.Join(last.Details, " "), c.event) {
			t.Errorf("%q: %+v", c.event, last)
		}
	}
}
