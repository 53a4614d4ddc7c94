package scheduler

import (
	"fmt"
	"testing"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

func TestScorePrefers(t *testing.T) {
	image := func(name string, size int64) func(*v1.Node) {
		return func(n *v1.Node) {
			n.Status.Images = append(n.Status.Images, v1.ContainerImage{Names: []string{name}, SizeBytes: size})
		}
	}
	tests := []struct {
		name  string
		nodes []*v1.Node
		pods  []*v1.Pod
		pod   *v1.Pod
		peers []labels.Selector
		want  string
	}{
		{
			name:  "the emptier node",
			nodes: []*v1.Node{makeNode("a"), makeNode("b")},
			pods:  []*v1.Pod{makePod("x", on("a"), requests("cpu", "2"), requests("memory", "4Gi"))},
			pod:   makePod("p"), want: "b",
		},
		{
			name:  "the node with fewer of its kind, though it is fuller",
			nodes: []*v1.Node{makeNode("a"), makeNode("b")},
			pods: []*v1.Pod{
				makePod("x", on("a"), podLabel("app", "web")),
				makePod("y", on("b"), requests("cpu", "1"), requests("memory", "2Gi")),
			},
			pod:   makePod("p", podLabel("app", "web")),
			peers: []labels.Selector{labels.SelectorFromSet(labels.Set{"app": "web"})},
			want:  "b",
		},
		{
			name:  "the preferred label",
			nodes: []*v1.Node{makeNode("a"), makeNode("b", nodeLabel("disk", "ssd"))},
			pod: makePod("p", func(p *v1.Pod) {
				p.Spec.Affinity = &v1.Affinity{NodeAffinity: &v1.NodeAffinity{
					PreferredDuringSchedulingIgnoredDuringExecution: []v1.PreferredSchedulingTerm{{
						Weight: 1, Preference: v1.NodeSelectorTerm{MatchExpressions: []v1.NodeSelectorRequirement{{
							Key: "disk", Operator: v1.NodeSelectorOpIn, Values: []string{"ssd"},
						}}},
					}},
				}}
			}),
			want: "b",
		},
		{
			name:  "the node without a PreferNoSchedule taint",
			nodes: []*v1.Node{makeNode("a", taint("k", "", v1.TaintEffectPreferNoSchedule)), makeNode("b")},
			pod:   makePod("p"), want: "b",
		},
		{
			name:  "the node with the image",
			nodes: []*v1.Node{makeNode("a"), makeNode("b", image("nginx:latest", 900<<20))},
			pod:   makePod("p"), want: "b",
		},
		{
			name:  "the pods that it likes",
			nodes: []*v1.Node{makeNode("a"), makeNode("b")},
			pods:  []*v1.Pod{makePod("x", on("b"), podLabel("app", "db"))},
			pod: makePod("p", func(p *v1.Pod) {
				p.Spec.Affinity = &v1.Affinity{PodAffinity: &v1.PodAffinity{
					PreferredDuringSchedulingIgnoredDuringExecution: []v1.WeightedPodAffinityTerm{{
						Weight: 100, PodAffinityTerm: v1.PodAffinityTerm{
							TopologyKey: v1.LabelHostname, LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "db"}},
						},
					}},
				}}
			}),
			want: "b",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := makeCluster(tt.nodes, tt.pods...)
			r := newRequest(c, newPodInfo(tt.pod), nil, tt.peers)
			scores := r.score(c.list)
			if got := best(c.list, scores).name; got != tt.want {
				t.Errorf("got %s with %v", got, scores)
			}
		})
	}
}

func TestEqualNodesShare(t *testing.T) {
	c := makeCluster(manyNodes(4))
	seen := map[string]int{}
	for range 400 {
		n, err := newRequest(c, newPodInfo(makePod("p")), nil, nil).pick()
		if err != nil {
			t.Fatal(err)
		}
		seen[n.name]++
	}
	for _, n := range c.list {
		if seen[n.name] < 40 {
			t.Errorf("node %s was picked %d times of 400: %v", n.name, seen[n.name], seen)
		}
	}
}

func TestReplicasSpreadEvenly(t *testing.T) {
	c := makeCluster(manyNodes(3))
	peers := []labels.Selector{labels.SelectorFromSet(labels.Set{"app": "web"})}
	for i := range 9 {
		info := newPodInfo(makePod(fmt.Sprint("p", i), podLabel("app", "web")))
		n, err := newRequest(c, info, nil, peers).pick()
		if err != nil {
			t.Fatal(err)
		}
		c.assume(info, n.name)
	}
	for _, n := range c.list {
		if len(n.pods) != 3 {
			t.Errorf("%s has %d pods, want 3", n.name, len(n.pods))
		}
	}
}

// BenchmarkPick is filter and score for one pod of a large controller, its
// placement included.
func BenchmarkPick(b *testing.B) {
	for _, size := range []struct{ nodes, pods int }{{20, 1000}, {1000, 10000}, {5000, 10000}} {
		b.Run(fmt.Sprintf("nodes=%d", size.nodes), func(b *testing.B) {
			c := makeCluster(manyNodes(size.nodes))
			for i := range size.pods {
				c.setPod(makePod(fmt.Sprint("old", i), on(fmt.Sprintf("node-%d", i%size.nodes)), podLabel("app", fmt.Sprint("app-", i%50))))
			}
			peers := []labels.Selector{labels.SelectorFromSet(labels.Set{"app": "app-1"})}
			pod := makePod("p", podLabel("app", "app-1"), requests("cpu", "10m"), requests("memory", "10Mi"))
			b.ReportAllocs()
			for b.Loop() {
				info := newPodInfo(pod)
				n, err := newRequest(c, info, nil, peers).pick()
				if err != nil {
					b.Fatal(err)
				}
				c.assume(info, n.name)
				c.removePod(pod.UID)
			}
		})
	}
}
