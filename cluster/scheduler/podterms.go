package scheduler

import v1 "k8s.io/api/core/v1"

var (
	affinityUnmet = &verdict{[]string{"node(s) didn't match pod affinity rules"}, true, causePods | causeNode}
	antiUnmet     = &verdict{[]string{"node(s) didn't match pod anti-affinity rules"}, false, causePods | causeNode}
	othersAnti    = &verdict{[]string{"node(s) didn't satisfy existing pods anti-affinity rules"}, false, causePods | causeNode}
)

// requiredWeight is what a placed pod's required affinity for the new pod counts
// in scores, next to preferred ones with their own weights.
const requiredWeight = 1

// podTerms is what affinity between pods says about each topology domain (such as
// one host or one zone).
type podTerms struct {
	want    []domains                  // by the pod's required affinity terms: how many pods attract
	first   bool                       // nothing attracts anywhere, but the pod would attract itself
	avoid   []domains                  // by its required anti-affinity terms: how many pods repel
	refused map[string]map[string]bool // by node label and its value
	scores  map[string]map[string]int64
}

type domains struct {
	key   string
	count map[string]int
}

func newPodTerms(r *request) *podTerms {
	t := &podTerms{refused: map[string]map[string]bool{}, scores: map[string]map[string]int64{}}
	t.wanted(r)
	for i := range r.antiAffinity {
		own := &r.antiAffinity[i]
		t.avoid = append(t.avoid, r.countDomains(own.topologyKey, func(g *group) bool {
			return own.matches(g, r.cluster.namespaces)
		}))
	}
	for i := range r.preferred {
		w := &r.preferred[i]
		d := r.countDomains(w.topologyKey, func(g *group) bool { return w.matches(g, r.cluster.namespaces) })
		for value, n := range d.count {
			t.addScore(w.topologyKey, value, w.weight*int64(n))
		}
	}
	if r.cluster.affine > 0 {
		t.others(r)
	}
	return t
}

// wanted counts, per term, the pods that match all terms together, as upstream.
func (t *podTerms) wanted(r *request) {
	if len(r.affinity) == 0 {
		return
	}
	all := func(g *group) bool {
		for i := range r.affinity {
			if !r.affinity[i].matches(g, r.cluster.namespaces) {
				return false
			}
		}
		return true
	}
	t.first = true
	for i := range r.affinity {
		d := r.countDomains(r.affinity[i].topologyKey, all)
		t.first = t.first && len(d.count) == 0
		t.want = append(t.want, d)
	}
	t.first = t.first && all(&group{namespace: r.pod.Namespace, labels: r.pod.Labels})
}

// countDomains counts pods of the kept groups per value of a node label.
func (r *request) countDomains(key string, keep func(*group) bool) domains {
	d := domains{key, map[string]int{}}
	groups := r.cluster.groupsWhere(keep)
	if len(groups) == 0 {
		return d
	}
	for _, n := range r.cluster.list {
		if value, ok := n.node.Labels[key]; ok {
			if k := n.countGroups(groups); k > 0 {
				d.count[value] += k
			}
		}
	}
	return d
}

// others reads the terms that placed pods have on the new one.
func (t *podTerms) others(r *request) {
	for _, n := range r.cluster.list {
		for _, i := range n.affine {
			for k := range i.antiAffinity {
				own := &i.antiAffinity[k]
				if value, ok := own.appliesTo(r, n.node); ok {
					if t.refused[own.topologyKey] == nil {
						t.refused[own.topologyKey] = map[string]bool{}
					}
					t.refused[own.topologyKey][value] = true
				}
			}
			for k := range i.affinity {
				if value, ok := i.affinity[k].appliesTo(r, n.node); ok {
					t.addScore(i.affinity[k].topologyKey, value, requiredWeight)
				}
			}
			for k := range i.preferred {
				if value, ok := i.preferred[k].appliesTo(r, n.node); ok {
					t.addScore(i.preferred[k].topologyKey, value, i.preferred[k].weight)
				}
			}
		}
	}
}

// appliesTo says whether a placed pod's term selects the new pod, and in which
// domain: that of the node where the placed pod is.
func (t *term) appliesTo(r *request, node *v1.Node) (value string, ok bool) {
	value, ok = node.Labels[t.topologyKey]
	return value, ok && t.matchesPod(r.pod.Namespace, r.pod.Labels, r.cluster.namespaces)
}

func (t *podTerms) addScore(key, value string, n int64) {
	if t.scores[key] == nil {
		t.scores[key] = map[string]int64{}
	}
	t.scores[key][value] += n
}

func (t *podTerms) filter(n *nodeInfo) *verdict {
	for i := range t.want {
		value, ok := n.node.Labels[t.want[i].key]
		if !ok || !t.first && t.want[i].count[value] == 0 {
			return affinityUnmet
		}
	}
	for i := range t.avoid {
		if value, ok := n.node.Labels[t.avoid[i].key]; ok && t.avoid[i].count[value] > 0 {
			return antiUnmet
		}
	}
	for key, values := range t.refused {
		if value, ok := n.node.Labels[key]; ok && values[value] {
			return othersAnti
		}
	}
	return nil
}

func (t *podTerms) score(n *nodeInfo) int64 {
	var sum int64
	for key, values := range t.scores {
		if value, ok := n.node.Labels[key]; ok {
			sum += values[value]
		}
	}
	return sum
}
