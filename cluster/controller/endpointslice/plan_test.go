package endpointslice

import (
	"fmt"
	"testing"

	v1 "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func service(edit ...func(*v1.Service)) *v1.Service {
	s := &v1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "web"},
		Spec: v1.ServiceSpec{
			Selector: map[string]string{"app": "web"}, ClusterIP: "10.0.0.1",
			Ports: []v1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromString("www")}},
		},
	}
	for _, e := range edit {
		e(s)
	}
	return s
}

func pod(i int, edit ...func(*v1.Pod)) *v1.Pod {
	p := &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: fmt.Sprint("p", i), UID: types.UID(fmt.Sprint("u", i)), Labels: map[string]string{"app": "web"}},
		Spec:       v1.PodSpec{NodeName: "n1", Containers: []v1.Container{{Ports: []v1.ContainerPort{{Name: "www", ContainerPort: 8080}}}}},
		Status: v1.PodStatus{
			Phase: v1.PodRunning, PodIP: fmt.Sprintf("10.1.%d.%d", i/250, i%250+2),
			Conditions: []v1.PodCondition{{Type: v1.PodReady, Status: v1.ConditionTrue}},
		},
	}
	for _, e := range edit {
		e(p)
	}
	return p
}

func pods(n int) []*v1.Pod {
	out := make([]*v1.Pod, n)
	for i := range out {
		out[i] = pod(i)
	}
	return out
}

func noZone(string) string { return "" }

var src = source{namespace: "ns", name: "web", manager: manager}

// apply plays the API server.
func apply(have []*discovery.EndpointSlice, p sliceWrites) []*discovery.EndpointSlice {
	byName := map[string]*discovery.EndpointSlice{}
	for _, s := range have {
		byName[s.Name] = s
	}
	for _, s := range p.remove {
		delete(byName, s.Name)
	}
	for _, s := range append(p.update, p.create...) {
		byName[s.Name] = s
	}
	var out []*discovery.EndpointSlice
	for _, s := range byName {
		out = append(out, s)
	}
	return out
}

func count(slices []*discovery.EndpointSlice) (n int) {
	for _, s := range slices {
		n += len(s.Endpoints)
	}
	return n
}

func TestPlanGrowsAndShrinks(t *testing.T) {
	svc := service()
	var have []*discovery.EndpointSlice
	step := func(what string, ps []*v1.Pod, creates, updates, removes, slices int) {
		t.Helper()
		p := planSlices(src, groupsOfPods(svc, ps, noZone), have)
		if len(p.create) != creates || len(p.update) != updates || len(p.remove) != removes {
			t.Errorf("%s: %d creates, %d updates, %d removes; want %d, %d, %d",
				what, len(p.create), len(p.update), len(p.remove), creates, updates, removes)
		}
		have = apply(have, p)
		if len(have) != slices || count(have) != len(ps) {
			t.Errorf("%s: %d slices with %d endpoints, want %d with %d", what, len(have), count(have), slices, len(ps))
		}
	}
	all := pods(251)
	step("nothing", nil, 1, 0, 0, 1)
	step("nothing again", nil, 0, 0, 0, 1)
	step("250 pods", all[:250], 3, 0, 1, 3)
	step("the same", all[:250], 0, 0, 0, 3)
	step("one more", all, 0, 1, 0, 3)
	changed := append([]*v1.Pod{pod(0, func(p *v1.Pod) { p.Status.Conditions = nil })}, all[1:]...)
	step("one not ready", changed, 0, 1, 0, 3)
	step("all gone", nil, 1, 0, 3, 1)
}

func TestConditions(t *testing.T) {
	now := metav1.Now()
	tests := []struct {
		name                        string
		svc                         *v1.Service
		pod                         *v1.Pod
		ready, serving, terminating bool
	}{
		{"ready", service(), pod(1), true, true, false},
		{"not ready", service(), pod(1, func(p *v1.Pod) { p.Status.Conditions = nil }), false, false, false},
		{"terminating", service(), pod(1, func(p *v1.Pod) { p.DeletionTimestamp = &now }), false, true, true},
		{
			"published though not ready", service(func(s *v1.Service) { s.Spec.PublishNotReadyAddresses = true }),
			pod(1, func(p *v1.Pod) { p.Status.Conditions = nil }), true, false, false,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := groupsOfPods(tt.svc, []*v1.Pod{tt.pod}, noZone)
			c := g[0].endpoints[0].Conditions
			if *c.Ready != tt.ready || *c.Serving != tt.serving || *c.Terminating != tt.terminating {
				t.Errorf("got ready %v serving %v terminating %v", *c.Ready, *c.Serving, *c.Terminating)
			}
			if *g[0].ports[0].Port != 8080 || *g[0].ports[0].Name != "http" {
				t.Errorf("got port %+v", g[0].ports[0])
			}
		})
	}
}

func TestGroupsByPort(t *testing.T) {
	other := pod(2, func(p *v1.Pod) { p.Spec.Containers[0].Ports[0].ContainerPort = 9090 })
	without := pod(3, func(p *v1.Pod) { p.Spec.Containers[0].Ports = nil })
	g := groupsOfPods(service(), []*v1.Pod{pod(1), other, without}, noZone)
	if len(g) != 2 || len(g[0].endpoints) != 1 || len(g[1].endpoints) != 1 {
		t.Errorf("got %+v", g)
	}
}

func TestMirror(t *testing.T) {
	ep := &v1.Endpoints{Subsets: []v1.EndpointSubset{{
		Addresses:         []v1.EndpointAddress{{IP: "192.168.0.1"}},
		NotReadyAddresses: []v1.EndpointAddress{{IP: "192.168.0.2"}},
		Ports:             []v1.EndpointPort{{Port: 6379}},
	}}}
	g := groupsOfEndpoints(ep)
	if len(g) != 1 || len(g[0].endpoints) != 2 || !*g[0].endpoints[0].Conditions.Ready || *g[0].endpoints[1].Conditions.Ready {
		t.Fatalf("got %+v", g)
	}
	p := planSlices(source{namespace: "ns", name: "redis", manager: mirror}, g, nil)
	if len(p.create) != 1 || p.create[0].Labels[discovery.LabelManagedBy] != mirror || *p.create[0].Ports[0].Port != 6379 {
		t.Errorf("got %+v", p.create)
	}
	if len(planSlices(source{}, nil, p.create).remove) != 1 {
		t.Error("a mirror without its original must go")
	}
}

func TestHints(t *testing.T) {
	zone := func(string) string { return "z" }
	for _, tt := range []struct {
		distribution, zones, nodes string
		zone                       func(string) string
		edit                       func(*v1.Pod)
	}{
		{distribution: "", zone: zone},
		{distribution: v1.ServiceTrafficDistributionPreferClose, zone: zone, zones: "z"},
		{distribution: v1.ServiceTrafficDistributionPreferSameZone, zone: zone, zones: "z"},
		{distribution: v1.ServiceTrafficDistributionPreferSameZone, zone: noZone},
		{distribution: v1.ServiceTrafficDistributionPreferSameNode, zone: zone, zones: "z", nodes: "n1"},
		{distribution: v1.ServiceTrafficDistributionPreferSameNode, zone: noZone, nodes: "n1"},
		{distribution: v1.ServiceTrafficDistributionPreferSameNode, zone: zone, edit: func(p *v1.Pod) { p.Status.Conditions = nil }}, // not ready
	} {
		svc := service()
		if tt.distribution != "" {
			svc.Spec.TrafficDistribution = &tt.distribution
		}
		if tt.edit == nil {
			tt.edit = func(*v1.Pod) {}
		}
		var zones, nodes string
		if h := groupsOfPods(svc, []*v1.Pod{pod(1, tt.edit)}, tt.zone)[0].endpoints[0].Hints; h != nil {
			for _, z := range h.ForZones {
				zones += z.Name
			}
			for _, n := range h.ForNodes {
				nodes += n.Name
			}
		}
		if zones != tt.zones || nodes != tt.nodes {
			t.Errorf("%q: hints for zones %q and nodes %q, want %q and %q", tt.distribution, zones, nodes, tt.zones, tt.nodes)
		}
	}
}
