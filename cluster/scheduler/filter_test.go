package scheduler

import (
	"errors"
	"testing"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestPickFilters(t *testing.T) {
	unschedulableNode := func(n *v1.Node) { n.Spec.Unschedulable = true }
	zone := func(z string) func(*v1.Node) { return nodeLabel(v1.LabelTopologyZone, z) }
	app := map[string]string{"app": "web"}
	web := podLabel("app", "web")
	tests := []struct {
		name  string
		nodes []*v1.Node
		pods  []*v1.Pod
		pod   *v1.Pod
		pvs   []*v1.PersistentVolume
		want  []string // any of these nodes
		err   string   // or this message
	}{
		{
			name: "no nodes", pod: makePod("p"), err: "no nodes available to schedule pods",
		},
		{
			name:  "mixed reasons are counted and sorted",
			nodes: []*v1.Node{makeNode("a", taint("k", "v", v1.TaintEffectNoSchedule)), makeNode("b"), makeNode("c")},
			pods:  []*v1.Pod{makePod("x", on("b"), requests("cpu", "3")), makePod("y", on("c"), requests("cpu", "3"))},
			pod:   makePod("p", requests("cpu", "2")),
			err: "0/3 nodes are available: 1 node(s) had untolerated taint {k: v}, 2 Insufficient cpu. " +
				"preemption: 0/3 nodes are available: 1 Preemption is not helpful for scheduling, 2 No preemption victims found for incoming pod.",
		},
		{
			name:  "more than the node can ever give",
			nodes: []*v1.Node{makeNode("a")},
			pod:   makePod("p", requests("cpu", "100"), requests("memory", "100Gi")),
			err: "0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient memory. " +
				"preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.",
		},
		{
			name:  "cordoned",
			nodes: []*v1.Node{makeNode("a", unschedulableNode), makeNode("b")},
			pod:   makePod("p"), want: []string{"b"},
		},
		{
			name:  "toleration",
			nodes: []*v1.Node{makeNode("a", taint("k", "v", v1.TaintEffectNoSchedule))},
			pod: makePod("p", func(p *v1.Pod) {
				p.Spec.Tolerations = []v1.Toleration{{Key: "k", Operator: v1.TolerationOpExists}}
			}),
			want: []string{"a"},
		},
		{
			name:  "node selector",
			nodes: []*v1.Node{makeNode("a"), makeNode("b", nodeLabel("disk", "ssd"))},
			pod:   makePod("p", func(p *v1.Pod) { p.Spec.NodeSelector = map[string]string{"disk": "ssd"} }),
			want:  []string{"b"},
		},
		{
			name:  "node selector without a match",
			nodes: []*v1.Node{makeNode("a")},
			pod:   makePod("p", func(p *v1.Pod) { p.Spec.NodeSelector = map[string]string{"disk": "ssd"} }),
			err: "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector. " +
				"preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.",
		},
		{
			name:  "host port",
			nodes: []*v1.Node{makeNode("a"), makeNode("b")},
			pods:  []*v1.Pod{makePod("x", on("a"), port(80))},
			pod:   makePod("p", port(80)), want: []string{"b"},
		},
		{
			name:  "number of pods",
			nodes: []*v1.Node{makeNode("a", func(n *v1.Node) { n.Status.Allocatable[v1.ResourcePods] = *quantity("1") })},
			pods:  []*v1.Pod{makePod("x", on("a"))},
			pod:   makePod("p"),
			err: "0/1 nodes are available: 1 Too many pods. " +
				"preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod.",
		},
		{
			name:  "extended resource",
			nodes: []*v1.Node{makeNode("a"), makeNode("b", func(n *v1.Node) { n.Status.Allocatable["example.com/gpu"] = *quantity("1") })},
			pod:   makePod("p", requests("example.com/gpu", "1")), want: []string{"b"},
		},
		{
			name:  "affinity to pods of a zone",
			nodes: []*v1.Node{makeNode("a", zone("1")), makeNode("b", zone("2")), makeNode("c", zone("2"))},
			pods:  []*v1.Pod{makePod("x", on("b"), web)},
			pod:   makePod("p", podAffinity(false, v1.LabelTopologyZone, app)), want: []string{"b", "c"},
		},
		{
			name:  "the first of pods that want each other",
			nodes: []*v1.Node{makeNode("a", zone("1"))},
			pod:   makePod("p", web, podAffinity(false, v1.LabelTopologyZone, app)), want: []string{"a"},
		},
		{
			name:  "affinity to nobody",
			nodes: []*v1.Node{makeNode("a", zone("1"))},
			pod:   makePod("p", podAffinity(false, v1.LabelTopologyZone, app)),
			err: "0/1 nodes are available: 1 node(s) didn't match pod affinity rules. " +
				"preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.",
		},
		{
			name:  "anti-affinity of the new pod",
			nodes: []*v1.Node{makeNode("a"), makeNode("b")},
			pods:  []*v1.Pod{makePod("x", on("a"), web)},
			pod:   makePod("p", podAffinity(true, v1.LabelHostname, app)), want: []string{"b"},
		},
		{
			name:  "anti-affinity of a placed pod",
			nodes: []*v1.Node{makeNode("a"), makeNode("b")},
			pods:  []*v1.Pod{makePod("x", on("a"), podAffinity(true, v1.LabelHostname, app))},
			pod:   makePod("p", web), want: []string{"b"},
		},
		{
			name:  "topology spread",
			nodes: []*v1.Node{makeNode("a", zone("1")), makeNode("b", zone("2")), makeNode("c")},
			pods:  []*v1.Pod{makePod("x", on("a"), web)},
			pod:   makePod("p", web, spreadBy(v1.LabelTopologyZone, 1, app)), want: []string{"b"},
		},
		{
			name:  "volume on another node",
			nodes: []*v1.Node{makeNode("a"), makeNode("b")},
			pvs:   []*v1.PersistentVolume{localVolume("b")},
			pod:   makePod("p"), want: []string{"b"},
		},
		{
			name:  "volume on no node",
			nodes: []*v1.Node{makeNode("a")},
			pvs:   []*v1.PersistentVolume{localVolume("b")},
			pod:   makePod("p"),
			err: "0/1 nodes are available: 1 node(s) didn't match PersistentVolume's node affinity. " +
				"preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := makeCluster(tt.nodes, tt.pods...)
			var claims *podClaims
			if tt.pvs != nil {
				claims = &podClaims{bound: tt.pvs}
			}
			r := newRequest(c, newPodInfo(tt.pod), claims, nil)
			n, err := r.pick()
			if err != nil {
				var m *fitError
				if errors.As(err, &m) {
					if p := r.preempt(m, nil); p != nil {
						t.Fatalf("would preempt on %s", p.node.name)
					}
				}
				_, _, message := explain(err)
				if message != tt.err {
					t.Fatalf("got  %s\nwant %s", message, tt.err)
				}
				return
			}
			for _, w := range tt.want {
				if n.name == w {
					return
				}
			}
			t.Fatalf("got node %s, want one of %v, error %q", n.name, tt.want, tt.err)
		})
	}
}

func localVolume(node string) *v1.PersistentVolume {
	return &v1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: "pv"},
		Spec: v1.PersistentVolumeSpec{NodeAffinity: &v1.VolumeNodeAffinity{Required: &v1.NodeSelector{
			NodeSelectorTerms: []v1.NodeSelectorTerm{{MatchExpressions: []v1.NodeSelectorRequirement{{
				Key: v1.LabelHostname, Operator: v1.NodeSelectorOpIn, Values: []string{node},
			}}}},
		}}},
	}
}

func TestClusterSumsReturnToZero(t *testing.T) {
	c := makeCluster(manyNodes(2))
	p := makePod("p", on("node-0"), requests("cpu", "1"), port(80), podLabel("a", "b"), podAffinity(true, v1.LabelHostname, nil))
	c.setPod(p)
	n := c.nodes["node-0"]
	if n.used.milliCPU != 1000 || len(n.ports) != 1 || len(c.groups) != 1 || len(c.terms) != 1 {
		t.Fatalf("after setPod: %+v", n)
	}
	terminating := p.DeepCopy()
	terminating.DeletionTimestamp = &metav1.Time{}
	c.setPod(terminating)
	if n.used.milliCPU != 1000 || len(c.groups) != 1 {
		t.Fatalf("after the pod began to end: %+v, %d groups", n, len(c.groups))
	}
	c.removePod(p.UID)
	if n.used.milliCPU != 0 || n.nonzeroMem != 0 || n.podCount != 0 || len(n.ports)+len(c.terms)+len(c.groups)+len(c.priorities) != 0 {
		t.Fatalf("after removePod: %+v", n)
	}
}

func TestUpfrontReason(t *testing.T) {
	m := &fitError{nodes: 2, upfront: "pod has unbound immediate PersistentVolumeClaims"}
	want := "0/2 nodes are available: pod has unbound immediate PersistentVolumeClaims. " +
		"preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling."
	(&request{podInfo: newPodInfo(makePod("p")), cluster: makeCluster(manyNodes(2))}).preempt(m, nil)
	if got := m.message(); got != want {
		t.Errorf("got %s", got)
	}
	if !errors.As(error(m), new(*fitError)) {
		t.Error("a fitError must be found by errors.As")
	}
}
