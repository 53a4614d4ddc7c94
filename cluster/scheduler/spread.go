package scheduler

import (
	"fmt"
	"math"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
)

var (
	skewed   = &rejection{[]string{"node(s) didn't match pod topology spread constraints"}, false, causePods | causeNode}
	noDomain = &rejection{[]string{"node(s) didn't match pod topology spread constraints (missing required label)"}, true, causeNode}
)

// spreadRule is one topologySpreadConstraint, with the pods that it counts per
// value of the topology key.
type spreadRule struct {
	key     string
	maxSkew int
	count   map[string]int
	sizes   map[string]int // the domains that count: how many nodes each has
	least   int
	self    int  // 1 if the pod itself counts once it is there
	hard    bool // DoNotSchedule; else only a score
	counts  func(*podInfo) bool
	// spansNode reports whether a node belongs to the domains; nil is every node.
	spansNode func(*v1.Node) bool
}

// spreading is what the rules of a pod are computed from.
type spreading struct {
	*index
	pod   *v1.Pod
	nodes *nodeMatch
	all   []v1.TopologySpreadConstraint
}

func newSpreadRules(x *index, p *v1.Pod, nodes *nodeMatch) []spreadRule {
	r := &spreading{x, p, nodes, p.Spec.TopologySpreadConstraints}
	if len(r.all) == 0 {
		return nil
	}
	rules := make([]spreadRule, len(r.all))
	for i := range r.all {
		rules[i] = r.rule(&r.all[i])
	}
	return rules
}

func (r *spreading) rule(c *v1.TopologySpreadConstraint) spreadRule {
	sel := selectorFor(r.pod, c.LabelSelector, c.MatchLabelKeys, nil)
	rule := spreadRule{key: c.TopologyKey, maxSkew: int(c.MaxSkew), hard: c.WhenUnsatisfiable == v1.DoNotSchedule}
	if sel.Matches(labels.Set(r.pod.Labels)) {
		rule.self = 1
	}
	rule.counts = func(i *podInfo) bool {
		return i.pod.Namespace == r.pod.Namespace && i.pod.DeletionTimestamp == nil && sel.Matches(labels.Set(i.pod.Labels))
	}
	pods := r.livePods(r.pod.Namespace, sel)
	rule.count, rule.sizes = pods.by(c.TopologyKey), r.nodesBy(c.TopologyKey)
	if !r.spreadsOverAll(c) {
		rule.spansNode = func(n *v1.Node) bool { return r.spreadsOver(n, c) }
		over := r.spanOf(c, rule.spansNode)
		rule.sizes = over.sizes
		if !over.whole {
			rule.count = over.count(pods.by(byNode))
		}
	}
	if rule.hard {
		rule.findLeast(c.MinDomains)
	}
	return rule
}

// spanOf returns the span of a constraint. Pods of one controller have the same, and it
// stays until a node changes.
func (r *spreading) spanOf(c *v1.TopologySpreadConstraint, belongs func(*v1.Node) bool) *span {
	key := r.spanKey(c)
	if s := r.spans[key]; s != nil {
		return s
	}
	s := &span{sizes: map[string]int{}, whole: true}
	for _, n := range r.list {
		if belongs(n.node) {
			value := n.node.Labels[c.TopologyKey]
			s.nodes, s.values = append(s.nodes, n), append(s.values, value)
			s.sizes[value]++
		}
	}
	domains := r.nodesBy(c.TopologyKey)
	for value, nodes := range s.sizes {
		s.whole = s.whole && domains[value] == nodes
	}
	if len(r.spans) >= mostSpans {
		clear(r.spans)
	}
	r.spans[key] = s
	return s
}

// spanKey is equal for constraints that spread over the same nodes.
func (r *spreading) spanKey(c *v1.TopologySpreadConstraint) string {
	key := c.TopologyKey
	for i := range r.all {
		if r.all[i].WhenUnsatisfiable == c.WhenUnsatisfiable {
			key += "," + r.all[i].TopologyKey
		}
	}
	if r.nodes != nil && honoured(c.NodeAffinityPolicy, v1.NodeInclusionPolicyHonor) {
		key += fmt.Sprint(" affinity ", r.nodes.equal, r.nodes.any, r.nodes.terms)
	}
	if honoured(c.NodeTaintsPolicy, v1.NodeInclusionPolicyIgnore) {
		key += " tolerates"
		for i := range r.pod.Spec.Tolerations {
			key += " " + r.pod.Spec.Tolerations[i].String()
		}
	}
	return key
}

// findLeast sets the number of pods of the domain with the fewest. Domains missing from
// minDomains count as empty.
func (s *spreadRule) findLeast(minDomains *int32) {
	if len(s.count) < len(s.sizes) || len(s.sizes) == 0 || minDomains != nil && len(s.sizes) < int(*minDomains) {
		return
	}
	s.least = math.MaxInt
	for value := range s.sizes {
		s.least = min(s.least, s.count[value])
	}
}

// spreadsOverAll reports whether every node of the cluster belongs to the domains of a
// constraint, so that the cluster's own counts are the answer.
func (r *spreading) spreadsOverAll(c *v1.TopologySpreadConstraint) bool {
	if r.nodes != nil && honoured(c.NodeAffinityPolicy, v1.NodeInclusionPolicyHonor) || honoured(c.NodeTaintsPolicy, v1.NodeInclusionPolicyIgnore) {
		return false
	}
	for i := range r.all {
		if r.all[i].TopologyKey == c.TopologyKey || r.all[i].WhenUnsatisfiable != c.WhenUnsatisfiable {
			continue
		}
		if r.nodesWith(r.all[i].TopologyKey) < len(r.list) {
			return false
		}
	}
	return true
}

func honoured(p *v1.NodeInclusionPolicy, unsaid v1.NodeInclusionPolicy) bool {
	if p == nil {
		p = &unsaid
	}
	return *p == v1.NodeInclusionPolicyHonor
}

// spreadsOver reports whether a node belongs to the domains of a constraint: it has
// all topology keys, and passes the node policies.
func (r *spreading) spreadsOver(node *v1.Node, c *v1.TopologySpreadConstraint) bool {
	for i := range r.all {
		if _, ok := node.Labels[r.all[i].TopologyKey]; !ok && r.all[i].WhenUnsatisfiable == c.WhenUnsatisfiable {
			return false
		}
	}
	if honoured(c.NodeAffinityPolicy, v1.NodeInclusionPolicyHonor) && !r.nodes.matches(node) {
		return false
	}
	if honoured(c.NodeTaintsPolicy, v1.NodeInclusionPolicyIgnore) {
		return untolerated(node, r.pod.Spec.Tolerations) == nil
	}
	return true
}

func (s *spreadRule) filter(n *nodeInfo, d *difference) *rejection {
	if !s.hard {
		return nil
	}
	value, ok := n.domain(s.key)
	if !ok {
		return noDomain
	}
	here, least := s.count[value], s.least
	if d != nil && (s.spansNode == nil || s.spansNode(n.node)) {
		here += d.count(s.counts)
		least = min(least, here)
	}
	if here+s.self-least > s.maxSkew {
		return skewed
	}
	return nil
}

// weight normalizes by the size of the topology: one more pod in one of three zones matters
// more than on one of a thousand hosts.
func (s *spreadRule) weight() float64 { return math.Log(float64(len(s.sizes) + 2)) }

// open returns the domains that may have one more pod.
func (s *spreadRule) open() []string {
	var out []string
	for value := range s.sizes {
		if s.count[value]+s.self-s.least <= s.maxSkew {
			out = append(out, value)
		}
	}
	return out
}
