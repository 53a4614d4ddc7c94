package scheduler

import "slices"

var (
	affinityUnmet = &rejection{[]string{"node(s) didn't match pod affinity rules"}, true, causePods | causeNode}
	antiUnmet     = &rejection{[]string{"node(s) didn't match pod anti-affinity rules"}, false, causePods | causeNode}
	othersAnti    = &rejection{[]string{"node(s) didn't satisfy existing pods anti-affinity rules"}, false, causePods | causeNode}
)

// podTerms is the pod affinity per topology domain (such as a host or a zone). The counts are
// the cluster's own.
type podTerms struct {
	pod   *podInfo
	index *index
	want  []domains // by the pod's required affinity terms: how many pods attract
	self  bool      // the pod matches its own affinity terms, so it may be the first
	avoid []domains // by its required anti-affinity terms: how many pods repel
	// repelled are the placed pods' anti-affinity terms that select the pod.
	repelled []*placedTerm
	scores   []scoredDomains
}

type domains struct {
	key    string
	count  map[string]int
	counts func(*podInfo) bool // whether a placed pod is counted
}

type scoredDomains struct {
	key    string
	count  map[string]int
	weight int64
}

// newPodTerms returns nil if no term matters.
func newPodTerms(x *index, r *podInfo) *podTerms {
	if !r.hasTerms() && len(x.terms) == 0 {
		return nil
	}
	t := &podTerms{pod: r, index: x}
	if len(r.affinity) > 0 {
		s := x.selectedBy(r.affinity...) // one pod must match all terms together, as upstream
		all := func(i *podInfo) bool {
			for k := range r.affinity {
				if !r.affinity[k].matchesPod(i.pod.Namespace, i.pod.Labels, x.namespaces) {
					return false
				}
			}
			return true
		}
		for i := range r.affinity {
			key := r.affinity[i].topologyKey
			t.want = append(t.want, domains{key, s.by(key), all})
		}
		t.self = all(r)
	}
	for i := range r.antiAffinity {
		own := &r.antiAffinity[i]
		t.avoid = append(t.avoid, domains{own.topologyKey, x.selectedBy(*own).by(own.topologyKey), func(i *podInfo) bool {
			return own.matchesPod(i.pod.Namespace, i.pod.Labels, x.namespaces)
		}})
	}
	for i := range r.preferred {
		w := &r.preferred[i]
		if count := x.selectedBy(w.term).by(w.topologyKey); len(count) > 0 {
			t.scores = append(t.scores, scoredDomains{w.topologyKey, count, w.weight})
		}
	}
	t.others()
	if len(t.want)+len(t.avoid)+len(t.repelled)+len(t.scores) == 0 {
		return nil
	}
	return t
}

// others reads the terms of bound pods that select the new one.
func (t *podTerms) others() {
	for _, p := range t.index.terms {
		if !p.matchesPod(t.pod.pod.Namespace, t.pod.pod.Labels, t.index.namespaces) {
			continue
		}
		if p.kind == repels {
			t.repelled = append(t.repelled, p)
		} else {
			t.scores = append(t.scores, scoredDomains{p.topologyKey, p.counts, p.weight})
		}
	}
}

func (t *podTerms) filter(n *nodeInfo, d *difference) *rejection {
	if !t.attracted(n, d) {
		return affinityUnmet
	}
	for i := range t.avoid {
		a := &t.avoid[i]
		if value, ok := n.domain(a.key); ok && a.count[value]+d.count(a.counts) > 0 {
			return antiUnmet
		}
	}
	for _, p := range t.repelled {
		value, ok := n.domain(p.topologyKey)
		if ok && p.counts[value]+d.count(func(i *podInfo) bool { return i.hasTerm(p) }) > 0 {
			return othersAnti
		}
	}
	// A nominated pod's terms are not among those of bound pods.
	if d != nil {
		for _, i := range d.with {
			if t.repelledBy(i, n) {
				return othersAnti
			}
		}
	}
	return nil
}

func (t *podTerms) repelledBy(i *podInfo, n *nodeInfo) bool {
	for k := range i.antiAffinity {
		own := &i.antiAffinity[k]
		if _, ok := n.domain(own.topologyKey); ok && own.matchesPod(t.pod.pod.Namespace, t.pod.pod.Labels, t.index.namespaces) {
			return true
		}
	}
	return false
}

// attracted reports whether each required affinity term matches a pod in the node's domain. The
// first of pods with affinity to each other matches none, and may be scheduled to any
// domain.
func (t *podTerms) attracted(n *nodeInfo, d *difference) bool {
	met, none := true, true
	for i := range t.want {
		w := &t.want[i]
		value, ok := n.domain(w.key)
		if !ok {
			return false
		}
		here := w.count[value] + d.count(w.counts)
		met = met && here > 0
		_, counted := w.count[value]
		elsewhere := len(w.count)
		if counted {
			elsewhere--
		}
		none = none && here <= 0 && elsewhere == 0
	}
	return met || none && t.self
}

// hasTerm reports whether a bound pod has a term.
func (i *podInfo) hasTerm(p *placedTerm) bool {
	for _, own := range i.placedTerms {
		if own == p {
			return true
		}
	}
	return false
}

func (t *podTerms) score(n *nodeInfo) int64 {
	var sum int64
	for i := range t.scores {
		s := &t.scores[i]
		if value, ok := n.domain(s.key); ok {
			sum += int64(s.count[value]) * s.weight
		}
	}
	return sum
}

// some reports whether any pod matches this one's affinity: then it is not the first.
func (t *podTerms) some() bool {
	return !t.self || slices.ContainsFunc(t.want, func(w domains) bool { return len(w.count) > 0 })
}
