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

// group is all bound pods with the same namespace and labels. Most pods are in large groups,
// so selectors are matched against groups and not pods.
type group struct {
	key         string
	namespace   string
	labels      labels.Set
	terminating bool
	pods        int
	nodes       map[*nodeInfo]int
	in          []*selection // those that select it
}

// byNode is the topology key under which a selection counts per node: not all nodes
// have a host name label, and no label has an empty key.
const byNode = ""

// selection is the bound pods that one selector selects, counted per domain.
type selection struct {
	key     string
	matches func(*group) bool
	groups  map[*group]bool
	counts  map[string]map[string]int // by topology key and its value; never zero
	used    uint64                    // when it was last asked for
}

// mostSelections bounds the memory of selections that are no longer used.
const mostSelections = 512

// selection returns the bound pods for which matches is true; key identifies it.
func (c *cluster) selection(key string, matches func(*group) bool) *selection {
	c.clock++
	s := c.selections[key]
	if s == nil {
		s = &selection{key: key, matches: matches, groups: map[*group]bool{}, counts: map[string]map[string]int{}}
		for _, g := range c.groups {
			s.join(g)
		}
		if len(c.selections) >= mostSelections {
			c.dropOldest()
		}
		c.selections[key] = s
	}
	s.used = c.clock
	return s
}

func (s *selection) join(g *group) {
	if s.matches(g) {
		s.groups[g] = true
		g.in = append(g.in, s)
	}
}

func (c *cluster) dropOldest() {
	var oldest *selection
	for _, s := range c.selections {
		if oldest == nil || s.used < oldest.used {
			oldest = s
		}
	}
	for g := range oldest.groups {
		g.in = slices.DeleteFunc(g.in, func(s *selection) bool { return s == oldest })
	}
	delete(c.selections, oldest.key)
}

// dropSelections removes all cached selections: the labels of a namespace have changed.
func (c *cluster) dropSelections() {
	clear(c.selections)
	for _, g := range c.groups {
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

// domain returns the node's value of a topology key.
func (n *nodeInfo) domain(key string) (string, bool) {
	if n.node == nil {
		return "", false
	}
	switch key {
	case byNode:
		return n.name, true
	case v1.LabelHostname:
		return n.host.value, n.host.ok
	case v1.LabelTopologyZone:
		return n.zone.value, n.zone.ok
	}
	value, ok := n.node.Labels[key]
	return value, ok
}

// placedTerm is an affinity term of bound pods, with the number of them in each domain.
type placedTerm struct {
	weightedTerm
	kind   termKind
	counts map[string]int
	pods   int
}

type termKind byte

const (
	attracts termKind = 'a' // required affinity
	repels   termKind = 'r' // required anti-affinity
	prefers  termKind = 'p' // preferred, either way
)

// count adds a pod to all selections, or with a negative sign removes it.
func (c *cluster) count(i *podInfo, n *nodeInfo, sign int) {
	for _, s := range i.group.in {
		for key, m := range s.counts {
			if value, ok := n.domain(key); ok {
				add(m, value, sign)
			}
		}
	}
	for _, t := range i.placedTerms {
		if value, ok := n.domain(t.topologyKey); ok {
			add(t.counts, value, sign)
		}
	}
}

func add(m map[string]int, value string, n int) {
	if m[value] += n; m[value] == 0 {
		delete(m, value)
	}
}

// recount removes all pods of a node, calls f, which changes the node's labels, and adds the
// pods again.
func (c *cluster) recount(n *nodeInfo, f func()) {
	c.countDomains(n, -1)
	for _, i := range n.pods {
		c.count(i, n, -1)
	}
	f()
	c.countDomains(n, 1)
	for _, i := range n.pods {
		c.count(i, n, 1)
	}
}

// countDomains keeps how many nodes there are with each value of a topology key.
func (c *cluster) countDomains(n *nodeInfo, sign int) {
	for key, m := range c.domains {
		if value, ok := n.domain(key); ok {
			add(m, value, sign)
		}
	}
}

// nodesBy returns the number of nodes with each value of a node label.
func (c *cluster) nodesBy(key string) map[string]int {
	m := c.domains[key]
	if m == nil {
		m = map[string]int{}
		for _, n := range c.list {
			if value, ok := n.domain(key); ok {
				m[value]++
			}
		}
		c.domains[key] = m
	}
	return m
}

// nodesWith returns how many nodes have a label.
func (c *cluster) nodesWith(key string) int {
	n, known := c.labelled[key]
	if !known {
		for _, nodes := range c.nodesBy(key) {
			n += nodes
		}
		c.labelled[key] = n
	}
	return n
}

// enterTerms adds the terms of a bound pod.
func (c *cluster) enterTerms(i *podInfo) {
	enter := func(kind termKind, t *term, weight int64) {
		key := string(kind) + t.key
		p := c.terms[key]
		if p == nil {
			p = &placedTerm{weightedTerm: weightedTerm{*t, weight}, kind: kind, counts: map[string]int{}}
			c.terms[key] = p
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

func (c *cluster) leaveTerms(i *podInfo) {
	for _, p := range i.placedTerms {
		if p.pods--; p.pods == 0 {
			delete(c.terms, string(p.kind)+p.key)
		}
	}
	i.placedTerms = nil
}

// groupOf returns the group of a pod, which it creates if needed.
func (c *cluster) groupOf(p *v1.Pod) *group {
	key := groupKey(p)
	g := c.groups[key]
	if g == nil {
		g = &group{key: key, namespace: p.Namespace, labels: p.Labels, terminating: p.DeletionTimestamp != nil, nodes: map[*nodeInfo]int{}}
		c.groups[key] = g
		for _, s := range c.selections {
			s.join(g)
		}
	}
	return g
}

func (c *cluster) leaveGroup(i *podInfo, n *nodeInfo) {
	g := i.group
	if g.nodes[n]--; g.nodes[n] == 0 {
		delete(g.nodes, n)
	}
	if g.pods--; g.pods > 0 {
		return
	}
	delete(c.groups, g.key)
	for _, s := range g.in {
		delete(s.groups, g)
	}
}

// livePods selects the pods of a namespace that all selectors select and that are not
// terminating: what spreading counts.
func (c *cluster) livePods(namespace string, selectors ...labels.Selector) *selection {
	var key strings.Builder
	key.WriteString("live " + namespace)
	for _, s := range selectors {
		key.WriteString(" | " + selectorKey(s))
	}
	return c.selection(key.String(), func(g *group) bool {
		return g.namespace == namespace && !g.terminating &&
			!slices.ContainsFunc(selectors, func(s labels.Selector) bool { return !s.Matches(g.labels) })
	})
}

// selectedBy selects the pods that match all terms together.
func (c *cluster) selectedBy(terms ...term) *selection {
	var key strings.Builder
	for i := range terms {
		key.WriteString("term " + terms[i].key)
	}
	return c.selection(key.String(), func(g *group) bool {
		return !slices.ContainsFunc(terms, func(t term) bool { return !t.matches(g, c.namespaces) })
	})
}
