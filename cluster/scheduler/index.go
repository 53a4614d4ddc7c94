package scheduler

import (
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// Affinity and spread need the number of pods that a selector selects in each domain (host,
// zone). The counts are kept, and each pod that is added or removed changes them by one, so
// that the thousandth pod of a controller costs as much as the first.

// index finds and counts nodes and bound pods by their labels. It is kept up to date by cluster,
// which embeds it.
type index struct {
	list       []*nodeInfo // those that exist, in order of arrival
	groups     map[string]*group
	selections map[string]*selection
	domains    map[string]map[string]int         // nodes by topology key and value
	spans      map[string]*span                  // valid until a node changes
	members    map[string]map[string][]*nodeInfo // by label and value; valid until a node changes
	labelled   map[string]int                    // nodes by label; valid until a node changes
	terms      map[string]*placedTerm
	namespaces map[string]labels.Set
	clock      uint64
}

func newIndex() index {
	return index{
		groups:     map[string]*group{},
		selections: map[string]*selection{},
		domains:    map[string]map[string]int{},
		spans:      map[string]*span{},
		members:    map[string]map[string][]*nodeInfo{},
		labelled:   map[string]int{},
		terms:      map[string]*placedTerm{},
		namespaces: map[string]labels.Set{},
	}
}

// mostSelections bounds the memory of selections that are no longer used.
const mostSelections = 512

// selection returns the bound pods for which matches is true; key identifies it.
func (x *index) selection(key string, matches func(*group) bool) *selection {
	x.clock++
	s := x.selections[key]
	if s == nil {
		s = &selection{key: key, matches: matches, groups: map[*group]bool{}, counts: map[string]map[string]int{}}
		for _, g := range x.groups {
			s.join(g)
		}
		if len(x.selections) >= mostSelections {
			x.dropOldest()
		}
		x.selections[key] = s
	}
	s.used = x.clock
	return s
}

func (s *selection) join(g *group) {
	if s.matches(g) {
		s.groups[g] = true
		g.in = append(g.in, s)
	}
}

func (x *index) dropOldest() {
	var oldest *selection
	for _, s := range x.selections {
		if oldest == nil || s.used < oldest.used {
			oldest = s
		}
	}
	for g := range oldest.groups {
		g.in = slices.DeleteFunc(g.in, func(s *selection) bool { return s == oldest })
	}
	delete(x.selections, oldest.key)
}

// dropSelections removes all cached selections: the labels of a namespace have changed.
func (x *index) dropSelections() {
	clear(x.selections)
	for _, g := range x.groups {
		g.in = nil
	}
}

// by counts the selected pods per value of a node label.
func (s *selection) by(topologyKey string) map[string]int {
	m := s.counts[topologyKey]
	if m != nil {
		return m
	}
	m = map[string]int{}
	for g := range s.groups {
		for n, pods := range g.nodes {
			if value, ok := n.domain(topologyKey); ok {
				m[value] += pods
			}
		}
	}
	s.counts[topologyKey] = m
	return m
}

// count adds a pod to all selections, or with a negative sign removes it.
func (x *index) count(i *podInfo, n *nodeInfo, sign int) {
	for _, s := range i.group.in {
		for key, m := range s.counts {
			if value, ok := n.domain(key); ok {
				addTo(m, value, sign)
			}
		}
	}
	for _, t := range i.placedTerms {
		if value, ok := n.domain(t.topologyKey); ok {
			addTo(t.counts, value, sign)
		}
	}
}

func addTo(m map[string]int, value string, n int) {
	if m[value] += n; m[value] == 0 {
		delete(m, value)
	}
}

// recount removes all pods of a node, calls f, which changes the node's labels, and adds the
// pods again.
func (x *index) recount(n *nodeInfo, f func()) {
	x.countDomains(n, -1)
	for _, i := range n.pods {
		x.count(i, n, -1)
	}
	f()
	x.countDomains(n, 1)
	for _, i := range n.pods {
		x.count(i, n, 1)
	}
}

// countDomains keeps how many nodes there are with each value of a topology key.
func (x *index) countDomains(n *nodeInfo, sign int) {
	for key, m := range x.domains {
		if value, ok := n.domain(key); ok {
			addTo(m, value, sign)
		}
	}
}

// nodesBy returns the number of nodes with each value of a node label.
func (x *index) nodesBy(key string) map[string]int {
	m := x.domains[key]
	if m == nil {
		m = map[string]int{}
		for _, n := range x.list {
			if value, ok := n.domain(key); ok {
				m[value]++
			}
		}
		x.domains[key] = m
	}
	return m
}

// nodesWith returns how many nodes have a label.
func (x *index) nodesWith(key string) int {
	n, known := x.labelled[key]
	if !known {
		for _, nodes := range x.nodesBy(key) {
			n += nodes
		}
		x.labelled[key] = n
	}
	return n
}

// enterTerms adds the terms of a bound pod.
func (x *index) enterTerms(i *podInfo) {
	enter := func(kind termKind, t *term, weight int64) {
		key := string(kind) + t.key
		p := x.terms[key]
		if p == nil {
			p = &placedTerm{weightedTerm: weightedTerm{*t, weight}, kind: kind, counts: map[string]int{}}
			x.terms[key] = p
		}
		p.pods++
		i.placedTerms = append(i.placedTerms, p)
	}
	i.placedTerms = nil
	for k := range i.affinity {
		enter(attracts, &i.affinity[k], requiredWeight)
	}
	for k := range i.antiAffinity {
		enter(repels, &i.antiAffinity[k], 0)
	}
	for k := range i.preferred {
		enter(prefers, &i.preferred[k].term, i.preferred[k].weight)
	}
}

func (x *index) leaveTerms(i *podInfo) {
	for _, p := range i.placedTerms {
		if p.pods--; p.pods == 0 {
			delete(x.terms, string(p.kind)+p.key)
		}
	}
	i.placedTerms = nil
}

// groupOf returns the group of a pod, which it creates if needed.
func (x *index) groupOf(p *v1.Pod) *group {
	key := groupKey(p)
	g := x.groups[key]
	if g == nil {
		g = &group{key: key, namespace: p.Namespace, labels: p.Labels, terminating: p.DeletionTimestamp != nil, nodes: map[*nodeInfo]int{}}
		x.groups[key] = g
		for _, s := range x.selections {
			s.join(g)
		}
	}
	return g
}

func (x *index) leaveGroup(i *podInfo, n *nodeInfo) {
	g := i.group
	if g.nodes[n]--; g.nodes[n] == 0 {
		delete(g.nodes, n)
	}
	if g.pods--; g.pods > 0 {
		return
	}
	delete(x.groups, g.key)
	for _, s := range g.in {
		delete(s.groups, g)
	}
}

// livePods selects the pods of a namespace that all selectors select and that are not
// terminating: what spreading counts.
func (x *index) livePods(namespace string, selectors ...labels.Selector) *selection {
	var key strings.Builder
	key.WriteString("live " + namespace)
	for _, s := range selectors {
		key.WriteString(" | " + selectorKey(s))
	}
	return x.selection(key.String(), func(g *group) bool {
		return g.namespace == namespace && !g.terminating &&
			!slices.ContainsFunc(selectors, func(s labels.Selector) bool { return !s.Matches(g.labels) })
	})
}

// selectedBy selects the pods that match all terms together.
func (x *index) selectedBy(terms ...term) *selection {
	var key strings.Builder
	for i := range terms {
		key.WriteString("term " + terms[i].key)
	}
	return x.selection(key.String(), func(g *group) bool {
		return !slices.ContainsFunc(terms, func(t term) bool { return !t.matchesPod(g.namespace, g.labels, x.namespaces) })
	})
}

// span is the part of the cluster that a constraint spreads over.
type span struct {
	nodes  []*nodeInfo
	values []string       // of the topology key, for each of the nodes
	sizes  map[string]int // nodes by value
	whole  bool           // of each domain it has all nodes or none
}

// mostSpans bounds the memory that spans take.
const mostSpans = 128

// count sums the pods of the span's nodes per domain.
func (s *span) count(pods map[string]int) map[string]int {
	out := map[string]int{}
	for i, n := range s.nodes {
		if here := pods[n.name]; here > 0 {
			out[s.values[i]] += here
		}
	}
	return out
}

// requiredWeight is what a placed pod's required affinity for the new pod counts
// in scores, next to preferred ones with their own weights.
const requiredWeight = 1

// membersBy returns the nodes with each value of a label; valid until a node changes.
func (x *index) membersBy(key string) map[string][]*nodeInfo {
	m := x.members[key]
	if m == nil {
		m = map[string][]*nodeInfo{}
		for _, n := range x.list {
			if value, ok := n.domain(key); ok {
				m[value] = append(m[value], n)
			}
		}
		x.members[key] = m
	}
	return m
}
