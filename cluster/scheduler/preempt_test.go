package scheduler

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func startedAgo(d time.Duration) func(*v1.Pod) {
	at := metav1.NewTime(time.Now().Add(-d))
	return func(p *v1.Pod) { p.Status.StartTime = &at }
}

func budget(app string, allowed int32) *policyv1.PodDisruptionBudget {
	return &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: app},
		Spec:       policyv1.PodDisruptionBudgetSpec{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": app}}},
		Status:     policyv1.PodDisruptionBudgetStatus{DisruptionsAllowed: allowed},
	}
}

func TestPreempt(t *testing.T) {
	cpu := func(q string) func(*v1.Pod) { return requests("cpu", q) }
	nodes := func(names ...string) (out []*v1.Node) {
		for _, n := range names {
			out = append(out, makeNode(n, nodeLabel(v1.LabelTopologyZone, n)))
		}
		return out
	}
	tests := []struct {
		name    string
		nodes   []*v1.Node
		pods    []*v1.Pod
		pod     *v1.Pod
		budgets []*policyv1.PodDisruptionBudget
		victims []string
		message string
	}{
		{
			name: "as few as must go, and the least important", nodes: nodes("a"),
			pods: []*v1.Pod{
				makePod("high", on("a"), cpu("1"), priority(5)),
				makePod("low", on("a"), cpu("1"), priority(1)),
				makePod("mid", on("a"), cpu("2"), priority(2)),
			},
			pod: makePod("p", cpu("1"), priority(10)), victims: []string{"low"},
		},
		{
			name: "of equals the youngest", nodes: nodes("a"),
			pods: []*v1.Pod{
				makePod("old", on("a"), cpu("2"), startedAgo(time.Hour)),
				makePod("young", on("a"), cpu("2"), startedAgo(time.Minute)),
			},
			pod: makePod("p", cpu("2"), priority(10)), victims: []string{"young"},
		},
		{
			name: "the node whose victims matter least", nodes: nodes("a", "b", "c"),
			pods: []*v1.Pod{
				makePod("a1", on("a"), cpu("4"), priority(3)),
				makePod("b1", on("b"), cpu("2"), priority(1)), makePod("b2", on("b"), cpu("2"), priority(1)),
				makePod("c1", on("c"), cpu("4"), priority(1)),
			},
			pod: makePod("p", cpu("4"), priority(10)), victims: []string{"c1"},
		},
		{
			name: "a budget is kept where it can be", nodes: nodes("a", "b"),
			pods: []*v1.Pod{
				makePod("kept", on("a"), cpu("4"), podLabel("app", "web")),
				makePod("free", on("b"), cpu("4"), priority(4)),
			},
			budgets: []*policyv1.PodDisruptionBudget{budget("web", 0)},
			pod:     makePod("p", cpu("4"), priority(10)), victims: []string{"free"},
		},
		{
			name: "and is broken where it cannot", nodes: nodes("a"),
			pods:    []*v1.Pod{makePod("kept", on("a"), cpu("4"), podLabel("app", "web"))},
			budgets: []*policyv1.PodDisruptionBudget{budget("web", 0)},
			pod:     makePod("p", cpu("4"), priority(10)), victims: []string{"kept"},
		},
		{
			name: "for a host port", nodes: nodes("a"),
			pods: []*v1.Pod{makePod("x", on("a"), port(80)), makePod("y", on("a"))},
			pod:  makePod("p", port(80), priority(1)), victims: []string{"x"},
		},
		{
			name: "a placed pod's anti-affinity", nodes: nodes("a"),
			pods: []*v1.Pod{
				makePod("x", on("a"), podAffinity(true, v1.LabelHostname, map[string]string{"app": "web"})), makePod("y", on("a")),
			},
			pod: makePod("p", podLabel("app", "web"), priority(1)), victims: []string{"x"},
		},
		{
			name: "the pod's own anti-affinity", nodes: nodes("a"),
			pods: []*v1.Pod{makePod("x", on("a"), podLabel("app", "db")), makePod("y", on("a"))},
			pod:  makePod("p", podAffinity(true, v1.LabelHostname, map[string]string{"app": "db"}), priority(1)), victims: []string{"x"},
		},
		{
			name: "for an even spread", nodes: nodes("a"),
			pods: []*v1.Pod{makePod("x", on("a"), podLabel("app", "web")), makePod("y", on("a"))},
			pod: makePod("p", podLabel("app", "web"), priority(1), func(p *v1.Pod) {
				spreadBy(v1.LabelTopologyZone, 1, map[string]string{"app": "web"})(p)
				two := int32(2)
				p.Spec.TopologySpreadConstraints[0].MinDomains = &two
			}),
			victims: []string{"x"},
		},
		{
			name: "nobody is less important", nodes: nodes("a"),
			pods: []*v1.Pod{makePod("x", on("a"), cpu("4"), priority(10))},
			pod:  makePod("p", cpu("1"), priority(10)),
			message: "0/1 nodes are available: 1 Insufficient cpu. " +
				"preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod.",
		},
		{
			name: "not enough would go", nodes: nodes("a"),
			pods: []*v1.Pod{makePod("x", on("a"), cpu("3"), priority(10)), makePod("y", on("a"), cpu("1"))},
			pod:  makePod("p", cpu("2"), priority(5)),
			message: "0/1 nodes are available: 1 Insufficient cpu. " +
				"preemption: 0/1 nodes are available: 1 Insufficient cpu.",
		},
		{
			name: "never", nodes: nodes("a"),
			pods: []*v1.Pod{makePod("x", on("a"), cpu("4"))},
			pod: makePod("p", cpu("1"), priority(10), func(p *v1.Pod) {
				never := v1.PreemptNever
				p.Spec.PreemptionPolicy = &never
			}),
			message: "0/1 nodes are available: 1 Insufficient cpu. preemption: not eligible due to preemptionPolicy=Never.",
		},
		{
			name:  "it would not help",
			nodes: []*v1.Node{makeNode("a", taint("k", "v", v1.TaintEffectNoSchedule)), makeNode("b")},
			pods:  []*v1.Pod{makePod("x", on("a"), cpu("4")), makePod("y", on("b"), cpu("4"), priority(20))},
			pod:   makePod("p", cpu("1"), priority(10)),
			message: "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint {k: v}. " +
				"preemption: 0/2 nodes are available: 1 No preemption victims found for incoming pod, 1 Preemption is not helpful for scheduling.",
		},
		{
			name: "a daemon's one node", nodes: nodes("a", "b"),
			pods: []*v1.Pod{makePod("x", on("a"), cpu("4"), priority(20))},
			pod:  makePod("p", cpu("1"), priority(10), onlyNode("a")),
			message: "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) didn't satisfy plugin(s) [NodeAffinity]. " +
				"preemption: 0/2 nodes are available: 1 No preemption victims found for incoming pod, 1 Preemption is not helpful for scheduling.",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRequest(makeCluster(tt.nodes, tt.pods...), newPodInfo(tt.pod), nil, nil)
			n, err := r.pick()
			var m *fitError
			if !errors.As(err, &m) {
				t.Fatalf("fits on %v, %v", n, err)
			}
			p := r.preempt(m, tt.budgets)
			if tt.victims == nil {
				if got := m.message(); p != nil || got != tt.message {
					t.Errorf("plan %v, message %s\nwant %s", p, got, tt.message)
				}
				return
			}
			if p == nil {
				t.Fatalf("no plan: %s", m.message())
			}
			var names []string
			for _, i := range p.victims {
				names = append(names, i.pod.Name)
			}
			if !slices.Equal(names, tt.victims) {
				t.Errorf("victims %v, want %v", names, tt.victims)
			}
		})
	}
}

func onlyNode(name string) func(*v1.Pod) {
	return func(p *v1.Pod) {
		p.Spec.Affinity = &v1.Affinity{NodeAffinity: &v1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &v1.NodeSelector{
			NodeSelectorTerms: []v1.NodeSelectorTerm{{MatchFields: []v1.NodeSelectorRequirement{{
				Key: metav1.ObjectNameField, Operator: v1.NodeSelectorOpIn, Values: []string{name},
			}}}},
		}}}
	}
}

func TestKeptPlace(t *testing.T) {
	c := makeCluster([]*v1.Node{makeNode("a")}, makePod("x", on("a"), requests("cpu", "3")))
	c.nominate(newPodInfo(makePod("important", requests("cpu", "1"), priority(10))), "a")
	pick := func(p *v1.Pod) string {
		n, err := newRequest(c, newPodInfo(p), nil, nil).pick()
		if err != nil {
			return err.Error()
		}
		return n.name
	}
	for _, tt := range []struct {
		pod  *v1.Pod
		want string
	}{
		{makePod("low", requests("cpu", "1")), "0/1 nodes are available: 1 Insufficient cpu."},
		{makePod("equal", requests("cpu", "1"), priority(10)), "0/1 nodes are available: 1 Insufficient cpu."},
		{makePod("higher", requests("cpu", "1"), priority(11)), "a"},
		{makePod("small", requests("memory", "1Mi")), "a"},
		{makePod("important", requests("cpu", "1"), priority(10)), "a"},
	} {
		if got := pick(tt.pod); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.pod.Name, got, tt.want)
		}
	}
	c.unnominate("important")
	if got := pick(makePod("low", requests("cpu", "1"))); got != "a" {
		t.Errorf("after the place is free: %s", got)
	}
}

func TestCandidatesAreBounded(t *testing.T) {
	for nodes, want := range map[int]int{1: 1, 50: 50, 100: 100, 500: 100, 5000: 500} {
		if got := candidates(nodes); got != want {
			t.Errorf("%d nodes: %d candidates, want %d", nodes, got, want)
		}
	}
	c := makeCluster(manyNodes(2000))
	for i := range 2000 {
		c.setPod(makePod(fmt.Sprint("x", i), on(fmt.Sprint("node-", i)), requests("cpu", "4")))
	}
	r := newRequest(c, newPodInfo(makePod("p", requests("cpu", "1"), priority(1))), nil, nil)
	_, err := r.pick()
	var m *fitError
	if !errors.As(err, &m) {
		t.Fatal(err)
	}
	plans, _ := r.findPreemptions(m.maybe, nil, candidates(m.nodes))
	if n := len(plans); n < 200 || n > 210 { // the other workers may end what they began
		t.Errorf("%d plans were made", n)
	}
}
