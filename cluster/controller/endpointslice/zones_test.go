package endpointslice

import (
	"fmt"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func node(name, zone, cpu string, edit ...func(*v1.Node)) *v1.Node {
	n := &v1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{v1.LabelTopologyZone: zone}},
		Status: v1.NodeStatus{
			Allocatable: v1.ResourceList{v1.ResourceCPU: resource.MustParse(cpu)},
			Conditions:  []v1.NodeCondition{{Type: v1.NodeReady, Status: v1.ConditionTrue}},
		},
	}
	for _, e := range edit {
		e(n)
	}
	return n
}

func TestShares(t *testing.T) {
	master := func(n *v1.Node) { n.Labels = map[string]string{"node-role.kubernetes.io/control-plane": ""} }
	closed := func(n *v1.Node) { n.Spec.Unschedulable = true }
	down := func(n *v1.Node) { n.Status.Conditions = nil }
	for _, tt := range []struct {
		what  string
		nodes []*v1.Node
		want  string
	}{
		{"two zones", []*v1.Node{node("1", "a", "1"), node("2", "a", "2"), node("3", "b", "1")}, "map[a:0.75 b:0.25]"},
		{"one zone", []*v1.Node{node("1", "a", "1"), node("2", "a", "2")}, "map[]"},
		{"a node without a zone", []*v1.Node{node("1", "a", "1"), node("2", "b", "1"), node("3", "", "1")}, "map[]"},
		{"a node without processors", []*v1.Node{node("1", "a", "1"), node("2", "b", "0")}, "map[]"},
		{"the master does not count", []*v1.Node{node("1", "a", "1"), node("2", "b", "1"), node("3", "", "1", master)}, "map[a:0.5 b:0.5]"},
		{"nor one that is closed", []*v1.Node{node("1", "a", "1"), node("2", "b", "1"), node("3", "", "1", closed)}, "map[a:0.5 b:0.5]"},
		{"nor does one that is down", []*v1.Node{node("1", "a", "1"), node("2", "b", "1"), node("3", "b", "8", down)}, "map[a:0.5 b:0.5]"},
	} {
		if got := fmt.Sprint(shares(tt.nodes)); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.what, got, tt.want)
		}
	}
}

func TestSpreadOverZones(t *testing.T) {
	for _, tt := range []struct {
		what  string
		in    string // zones of the endpoints
		share map[string]float64
		want  string // zones that they are for
	}{
		{"even", "a a b b", map[string]float64{"a": .5, "b": .5}, "a a b b"},
		{"one gives", "a a a b", map[string]float64{"a": .5, "b": .5}, "b a a b"},
		{"a small zone has few", "a a a b", map[string]float64{"a": .75, "b": .25}, "a a a b"},
		{"all in one zone", "a a a a", map[string]float64{"a": .5, "b": .5}, "b b a a"},
		{"a zone without nodes", "a b c c", map[string]float64{"a": .5, "b": .5}, "a b a b"},
		{"three zones", "a a a a b c", map[string]float64{"a": 1. / 3, "b": 1. / 3, "c": 1. / 3}, "b c a a b c"},
		{"fewer than zones", "a b", map[string]float64{"a": 1. / 3, "b": 1. / 3, "c": 1. / 3}, "- -"},
		{"nothing known of the zones", "a b", nil, "- -"},
		{"one without a zone", "a b ?", map[string]float64{"a": .5, "b": .5}, "- - -"},
		{"too uneven", "a b c", map[string]float64{"a": .5, "b": .25, "c": .25}, "- - -"},
	} {
		svc := service(func(s *v1.Service) { s.Annotations = map[string]string{v1.AnnotationTopologyMode: "Auto"} })
		var all []*v1.Pod
		zones := map[string]string{}
		for i, z := range strings.Fields(tt.in) {
			p := pod(i, func(p *v1.Pod) { p.Spec.NodeName = fmt.Sprint("n", i) })
			all = append(all, p)
			if z != "?" {
				zones[p.Spec.NodeName] = z
			}
		}
		all = append(all, pod(7, func(p *v1.Pod) { p.Status.Conditions = nil })) // not ready: no hint, and not counted
		groups := groupsOfPods(svc, all, func(n string) string { return zones[n] })
		spread(groups, tt.share)
		var got []string
		for _, e := range groups[0].endpoints[:len(all)-1] {
			if e.Hints == nil {
				got = append(got, "-")
			} else {
				got = append(got, e.Hints.ForZones[0].Name)
			}
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%s: %v, want %s", tt.what, got, tt.want)
		}
		if groups[0].endpoints[len(all)-1].Hints != nil {
			t.Errorf("%s: an endpoint that is not ready has a hint", tt.what)
		}
	}
}
