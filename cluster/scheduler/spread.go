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

func newSpreadRules(r *request) []spreadRule {
	constraints := r.pod.Spec.TopologySpreadConstraints
	if len(constraints) == 0 {
		return nil
	}
	rules := make([]spreadRule, len(constraints))
	for i := range constraints {
		rules[i] = newSpreadRule(r, constraints, &constraints[i])
	}
	return rules
}

func newSpreadRule(r *request, all []v1.TopologySpreadConstraint, c *v1.TopologySpreadConstraint) spreadRule {
	sel := r.selector(c.LabelSelector, c.MatchLabelKeys, nil)
	rule := spreadRule{key: c.TopologyKey, maxSkew: int(c.MaxSkew), hard: c.WhenUnsatisfiable == v1.DoNotSchedule}
	if sel.Matches(labels.Set(r.pod.Labels)) {
		rule.self = 1
	}
	rule.counts = func(i *podInfo) bool {
		return i.pod.Namespace == r.pod.Namespace && i.pod.DeletionTimestamp == nil && sel.Matches(labels.Set(i.pod.Labels))
	}
	pods := r.cluster.livePods(r.pod.Namespace, sel)
	rule.count, rule.sizes = pods.by(c.TopologyKey), r.cluster.nodesBy(c.TopologyKey)
	if !r.spreadsOverAll(all, c) {
		rule.spansNode = func(n *v1.Node) bool { return r.spreadsOver(n, all, c) }
		over := r.spanOf(all, c, rule.spansNode)
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

// span is the part of the cluster that a constraint spreads over.
type span struct {
	nodes  []*nodeInfo
	values []string       // of the topology key, for each of the nodes
	sizes  map[string]int // nodes by value
	whole  bool           // of each domain it has all nodes or none
}

// mostSpans bounds the memory that spans take.
const mostSpans = 128

// spanOf returns the span of a constraint. Pods of one controller have the same, and it
// stays until a node changes.
func (r *request) spanOf(all []v1.TopologySpreadConstraint, c *v1.TopologySpreadConstraint, belongs func(*v1.Node) bool) *span {
	key := r.spanKey(all, c)
	if s := r.cluster.spans[key]; s != nil {
		return s
	}
	s := &span{sizes: map[string]int{}, whole: true}
	for _, n := range r.cluster.list {
		if belongs(n.node) {
			value := n.node.Labels[c.TopologyKey]
			s.nodes, s.values = append(s.nodes, n), append(s.values, value)
			s.sizes[value]++
		}
	}
	domains := r.cluster.nodesBy(c.TopologyKey)
	for value, nodes := range s.sizes {
		s.whole = s.whole && domains[value] == nodes
	}
	if len(r.cluster.spans) >= mostSpans {
		clear(r.cluster.spans)
	}
	r.cluster.spans[key] = s
	return s
}

// spanKey is equal for constraints that spread over the same nodes.
func (r *request) spanKey(all []v1.TopologySpreadConstraint, c *v1.TopologySpreadConstraint) string {
	key := c.TopologyKey
	for i := range all {
		if all[i].WhenUnsatisfiable == c.WhenUnsatisfiable {
			key += "," + all[i].TopologyKey
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
func (r *request) spreadsOverAll(all []v1.TopologySpreadConstraint, c *v1.TopologySpreadConstraint) bool {
	if r.nodes != nil && honoured(c.NodeAffinityPolicy, v1.NodeInclusionPolicyHonor) || honoured(c.NodeTaintsPolicy, v1.NodeInclusionPolicyIgnore) {
		return false
	}
	for i := range all {
		if all[i].TopologyKey == c.TopologyKey || all[i].WhenUnsatisfiable != c.WhenUnsatisfiable {
			continue
		}
		if r.cluster.nodesWith(all[i].TopologyKey) < len(r.cluster.list) {
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
func (r *request) spreadsOver(node *v1.Node, all []v1.TopologySpreadConstraint, c *v1.TopologySpreadConstraint) bool {
	for i := range all {
		if _, ok := node.Labels[all[i].TopologyKey]; !ok && all[i].WhenUnsatisfiable == c.WhenUnsatisfiable {
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

// scoreSoftSpread prefers domains with fewer pods, by all soft constraints together.
// A node without one of the labels comes last.
func (r *request) scoreSoftSpread(nodes []*nodeInfo, out []int64) {
	const outside = -1
	lo, hi := int64(math.MaxInt64), int64(0)
	for i, n := range nodes {
		var sum float64
		for k := range r.spread {
			s := &r.spread[k]
			if s.hard {
				continue
			}
			value, ok := n.domain(s.key)
			if !ok {
				sum = outside
				break
			}
			sum += float64(s.count[value])*s.weight() + float64(s.maxSkew-1)
		}
		if out[i] = int64(math.Round(sum)); out[i] >= 0 {
			lo, hi = min(lo, out[i]), max(hi, out[i])
		}
	}
	for i := range out {
		switch {
		case out[i] < 0:
			out[i] = 0
		case hi == 0:
			out[i] = maxScore
		default:
			out[i] = maxScore * (hi + lo - out[i]) / hi
		}
	}
}

func (r *request) softSpread() bool {
	for i := range r.spread {
		if !r.spread[i].hard {
			return true
		}
	}
	return false
}
