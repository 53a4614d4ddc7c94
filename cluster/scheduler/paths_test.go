package scheduler

import (
	"fmt"
	"testing"

	v1 "k8s.io/api/core/v1"
)

// BenchmarkDecide places 10,000 pods of ten controllers on 5,000 nodes, without any
// writing: what the decisions alone cost, for each kind of wish apart.
func BenchmarkDecide(b *testing.B) {
	zones := func(p *v1.Pod) {
		p.Spec.Affinity = &v1.Affinity{NodeAffinity: &v1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &v1.NodeSelector{
			NodeSelectorTerms: []v1.NodeSelectorTerm{{MatchExpressions: []v1.NodeSelectorRequirement{{
				Key: v1.LabelTopologyZone, Operator: v1.NodeSelectorOpIn, Values: []string{"zone-1"},
			}}}},
		}}}
	}
	own := func(p *v1.Pod) map[string]string { return map[string]string{"app": p.Labels["app"]} }
	for _, path := range []struct {
		name string
		edit func(*v1.Pod)
	}{
		{"Plain", func(*v1.Pod) {}},
		{"NodeAffinity", zones},
		{"PodAffinity", func(p *v1.Pod) { podAffinity(false, v1.LabelTopologyZone, own(p))(p) }},
		{"AntiAffinity", func(p *v1.Pod) { podAffinity(true, v1.LabelHostname, own(p))(p) }},
		{"TopologySpread", func(p *v1.Pod) {
			spreadBy(v1.LabelTopologyZone, 1, own(p))(p)
			spreadBy(v1.LabelHostname, 1, own(p))(p)
		}},
		{"SpreadAndNodeAffinity", func(p *v1.Pod) { zones(p); spreadBy(v1.LabelHostname, 1, own(p))(p) }},
	} {
		b.Run(path.name, func(b *testing.B) {
			const pods = 10_000
			for b.Loop() {
				b.StopTimer()
				c := makeCluster(manyNodes(5000))
				infos := make([]*v1.Pod, pods)
				for i := range infos {
					infos[i] = makePod(fmt.Sprint("p", i), podLabel("app", fmt.Sprint("app-", i%10)), requests("cpu", "100m"), requests("memory", "100Mi"))
					path.edit(infos[i])
				}
				b.StartTimer()
				for i, p := range infos {
					info := newPodInfo(p)
					n, err := newRequest(c, info, nil, nil).pick()
					if err != nil {
						b.Fatalf("pod %d: %v", i, err)
					}
					c.assume(info, n.name)
				}
			}
			b.ReportMetric(pods*float64(b.N)/b.Elapsed().Seconds(), "pods/s")
		})
	}
}
