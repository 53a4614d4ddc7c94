package proxy

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestCrowdedService: a service whose ports, addresses and endpoints multiply to too many
// rules gets none, and the others theirs.
func TestCrowdedService(t *testing.T) {
	service := func(name string, ports, addresses int) *v1.Service {
		s := &v1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name}, Spec: v1.ServiceSpec{Type: v1.ServiceTypeClusterIP, ClusterIP: "10.0.0.1"}}
		for i := range ports {
			s.Spec.Ports = append(s.Spec.Ports, v1.ServicePort{Name: fmt.Sprint("p", i), Protocol: v1.ProtocolTCP, Port: int32(i + 1)})
		}
		for i := range addresses {
			s.Spec.ExternalIPs = append(s.Spec.ExternalIPs, fmt.Sprintf("203.0.%d.%d", i/250, i%250))
		}
		return s
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	rules := Rules(Node{}, Snapshot{Services: []*v1.Service{service("crowded", 2000, 4000), service("usual", 2, 1)}})
	runtime.ReadMemStats(&after)
	if len(rules.Refused) != 1 || rules.Refused[0].Service.Name != "crowded" || !strings.Contains(rules.Refused[0].Why, "8002000 rules") {
		t.Errorf("refused: %+v", rules.Refused)
	}
	if filter := rules.Filter.Chains()[servicesChain]; !strings.Contains(filter, "ns/usual:p1") || strings.Contains(filter, "ns/crowded") {
		t.Errorf("the rules: %.500s", filter)
	}
	if used := (after.TotalAlloc - before.TotalAlloc) >> 20; used > 16 {
		t.Errorf("it took %d MB", used)
	}
}
