package scheduler

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
)

func TestNarrow(t *testing.T) {
	web := map[string]string{"app": "web"}
	c := makeCluster(manyNodes(9), makePod("x", on("node-0"), podLabel("app", "web")), makePod("y", on("node-1"), podLabel("app", "web")))
	zone := func(values ...string) func(*v1.Pod) {
		return func(p *v1.Pod) {
			p.Spec.Affinity = &v1.Affinity{NodeAffinity: &v1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &v1.NodeSelector{
				NodeSelectorTerms: []v1.NodeSelectorTerm{{MatchExpressions: []v1.NodeSelectorRequirement{{
					Key: v1.LabelTopologyZone, Operator: v1.NodeSelectorOpIn, Values: values,
				}}}},
			}}}
		}
	}
	for _, tt := range []struct {
		name string
		pod  *v1.Pod
		want []string // nil is all
	}{
		{"anything", makePod("p"), nil},
		{"a node selector", makePod("p", func(p *v1.Pod) { p.Spec.NodeSelector = map[string]string{v1.LabelHostname: "node-7"} }), []string{"node-7"}},
		{"zones, in turn", makePod("p", zone("zone-2", "zone-0")), []string{"node-2", "node-0", "node-5", "node-3", "node-8", "node-6"}},
		{"no such zone", makePod("p", zone("zone-9")), []string{}},
		{"the zone that is not full", makePod("p", podLabel("app", "web"), spreadBy(v1.LabelTopologyZone, 1, web)), []string{"node-2", "node-5", "node-8"}},
		{"where others are", makePod("p", podAffinity(false, v1.LabelHostname, web)), []string{"node-0", "node-1"}},
		{
			"where others of its kind are", makePod("p", podLabel("app", "web"), podAffinity(false, v1.LabelTopologyZone, map[string]string{"app": "web"})),
			[]string{"node-0", "node-1", "node-3", "node-4", "node-6", "node-7"},
		},
		{"the first of its kind", makePod("p", podLabel("app", "new"), podAffinity(false, v1.LabelHostname, map[string]string{"app": "new"})), nil},
		{"where others are not", makePod("p", podAffinity(true, v1.LabelHostname, web)), nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRequest(c, newPodInfo(tt.pod), nil, nil)
			got := []string{}
			for _, n := range r.prefilter() {
				got = append(got, n.name)
			}
			if tt.want == nil {
				if len(got) != 9 {
					t.Errorf("got %v, want all", got)
				}
				return
			}
			if r.pods != nil {
				slices.Sort(got) // of the domains where others are the order does not matter
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
	c.setNode(makeNode("node-7", nodeLabel(v1.LabelTopologyZone, "zone-9")))
	expectPick(t, newRequest(c, newPodInfo(makePod("p", zone("zone-9"))), nil, nil), "node-7")
}

// TestNarrowLeavesOutNoNodeThatFits asks every node, for pods and clusters at random.
func TestNarrowLeavesOutNoNodeThatFits(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	chance := func(n int) bool { return rnd.IntN(n) == 0 }
	app := func() map[string]string { return map[string]string{"app": fmt.Sprint("app-", rnd.IntN(3))} }
	key := func() string { return []string{v1.LabelTopologyZone, v1.LabelHostname, "rack"}[rnd.IntN(3)] }
	policy := func() *v1.NodeInclusionPolicy {
		return []*v1.NodeInclusionPolicy{nil, ptr.To(v1.NodeInclusionPolicyHonor), ptr.To(v1.NodeInclusionPolicyIgnore)}[rnd.IntN(3)]
	}
	pod := func(name string) *v1.Pod {
		p := makePod(name, podLabel("app", app()["app"]))
		if chance(2) {
			podAffinity(chance(2), key(), app())(p)
		}
		for range rnd.IntN(3) {
			spreadBy(key(), 1, app())(p)
			c := &p.Spec.TopologySpreadConstraints[len(p.Spec.TopologySpreadConstraints)-1]
			c.NodeTaintsPolicy, c.NodeAffinityPolicy = policy(), policy()
		}
		if chance(3) {
			p.Spec.NodeSelector = map[string]string{v1.LabelTopologyZone: fmt.Sprint("zone-", rnd.IntN(3))}
		}
		return p
	}
	fitting, narrowed := 0, 0
	for range 500 {
		c := newCluster()
		for i := range 9 {
			n := makeNode(fmt.Sprint("n", i), nodeLabel(v1.LabelTopologyZone, fmt.Sprint("zone-", i%3)))
			if chance(2) {
				nodeLabel("rack", fmt.Sprint(i%2))(n)
			}
			if chance(4) {
				taint("k", "", v1.TaintEffectNoSchedule)(n)
			}
			c.setNode(n)
		}
		for i := range 12 {
			p := pod(fmt.Sprint("x", i))
			p.Spec.NodeName = fmt.Sprint("n", rnd.IntN(9))
			c.setPod(p)
		}
		r := newRequest(c, newPodInfo(pod("p")), nil, nil)
		few := r.prefilter()
		if len(few) < len(c.list) {
			narrowed++
		}
		for _, n := range c.list {
			if r.filter(n) != nil {
				continue
			}
			fitting++
			if !slices.Contains(few, n) {
				t.Fatalf("%s fits, but was left out for %+v", n.name, r.pod.Spec)
			}
		}
	}
	if fitting < 100 || narrowed < 100 {
		t.Errorf("%d nodes fitted, %d searches were narrowed: the test says little", fitting, narrowed)
	}
}
