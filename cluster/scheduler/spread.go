package scheduler

import (
	"math"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
)

var (
	skewed   = &verdict{[]string{"node(s) didn't match pod topology spread constraints"}, false, causePods | causeNode}
	noDomain = &verdict{[]string{"node(s) didn't match pod topology spread constraints (missing required label)"}, true, causeNode}
)

// spreadRule is one topologySpreadConstraint, with the pods that it counts per
// value of the topology key.
type spreadRule struct {
	key     string
	maxSkew int
	count   map[string]int
	least   int
	self    int  // 1 if the pod itself counts once it is there
	hard    bool // DoNotSchedule; else only a score
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
	rule := spreadRule{
		key: c.TopologyKey, maxSkew: int(c.MaxSkew), count: map[string]int{},
		hard: c.WhenUnsatisfiable == v1.DoNotSchedule,
	}
	if sel.Matches(labels.Set(r.pod.Labels)) {
		rule.self = 1
	}
	groups := r.cluster.groupsWhere(func(g *group) bool {
		return g.namespace == r.pod.Namespace && !g.terminating && sel.Matches(g.labels)
	})
	for _, n := range r.cluster.list {
		if value, ok := n.node.Labels[c.TopologyKey]; ok && r.spreadsOver(n.node, all, c) {
			rule.count[value] += n.countGroups(groups)
		}
	}
	rule.least = math.MaxInt
	for _, n := range rule.count {
		rule.least = min(rule.least, n)
	}
	// Too few domains: the missing ones count as empty.
	if len(rule.count) == 0 || c.MinDomains != nil && len(rule.count) < int(*c.MinDomains) {
		rule.least = 0
	}
	return rule
}

// spreadsOver says whether a node belongs to the domains of a constraint: it has
// all topology keys, and passes the node policies.
func (r *request) spreadsOver(node *v1.Node, all []v1.TopologySpreadConstraint, c *v1.TopologySpreadConstraint) bool {
	for i := range all {
		if _, ok := node.Labels[all[i].TopologyKey]; !ok && all[i].WhenUnsatisfiable == c.WhenUnsatisfiable {
			return false
		}
	}
	if p := c.NodeAffinityPolicy; (p == nil || *p == v1.NodeInclusionPolicyHonor) && !r.anyNode {
		if ok, err := r.nodeAffinity.Match(node); err != nil || !ok {
			return false
		}
	}
	if p := c.NodeTaintsPolicy; p != nil && *p == v1.NodeInclusionPolicyHonor {
		return untolerated(node, r.pod.Spec.Tolerations) == nil
	}
	return true
}

func (s *spreadRule) filter(n *nodeInfo) *verdict {
	if !s.hard {
		return nil
	}
	value, ok := n.node.Labels[s.key]
	if !ok {
		return noDomain
	}
	if s.count[value]+s.self-s.least > s.maxSkew {
		return skewed
	}
	return nil
}
