package scheduler

import (
	"slices"

	v1 "k8s.io/api/core/v1"
)

// fewDomains is the number of domains up to which nodes are excluded by domain: with as many
// domains as nodes that costs as much as filtering each node.
const fewDomains = 100

// membersBy returns the nodes with each value of a label; valid until a node changes.
func (c *cluster) membersBy(key string) map[string][]*nodeInfo {
	m := c.members[key]
	if m == nil {
		m = map[string][]*nodeInfo{}
		for _, n := range c.list {
			if value, ok := n.domain(key); ok {
				m[value] = append(m[value], n)
			}
		}
		c.members[key] = m
	}
	return m
}

// prefilter excludes nodes that are infeasible without filtering each: by a required label, by
// domains at their maximum, or without a pod of a required affinity. It returns the nodes
// of the domains in turn, so that the first of them are of all domains.
func (r *request) prefilter() []*nodeInfo {
	best := r.cluster.list
	less := func(key string, values []string) {
		members := r.cluster.membersBy(key)
		sum := 0
		for _, value := range values {
			sum += len(members[value])
		}
		if sum < len(best) {
			best = interleave(members, values, sum)
		}
	}
	for key, value := range r.nodes.equals() {
		less(key, []string{value})
	}
	if e := r.nodes.oneOf(); e != nil {
		less(e.Key, e.Values)
	}
	for i := range r.spread {
		if s := &r.spread[i]; s.hard && len(s.sizes) <= fewDomains {
			less(s.key, s.open())
		}
	}
	if r.pods != nil && r.pods.some() {
		for i := range r.pods.want {
			if w := &r.pods.want[i]; len(w.count) <= fewDomains {
				less(w.key, keysOf(w.count))
			}
		}
	}
	return best
}

// equals returns the pod's node selector.
func (m *nodeMatch) equals() map[string]string {
	if m == nil {
		return nil
	}
	return m.equal
}

// oneOf returns a requirement with values of the only term; nil if there is none.
func (m *nodeMatch) oneOf() *v1.NodeSelectorRequirement {
	if m == nil || len(m.terms) != 1 {
		return nil
	}
	for i := range m.terms[0].MatchExpressions {
		if e := &m.terms[0].MatchExpressions[i]; e.Operator == v1.NodeSelectorOpIn {
			return e
		}
	}
	return nil
}

// some reports whether any pod matches this one's affinity: then it is not the first.
func (t *podTerms) some() bool {
	return !t.self || slices.ContainsFunc(t.want, func(w domains) bool { return len(w.count) > 0 })
}

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

func keysOf(m map[string]int) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	return out
}

func interleave(members map[string][]*nodeInfo, values []string, sum int) []*nodeInfo {
	if len(values) == 1 {
		return members[values[0]]
	}
	out := make([]*nodeInfo, 0, sum)
	for i := 0; len(out) < sum; i++ {
		for _, value := range values {
			if list := members[value]; i < len(list) {
				out = append(out, list[i])
			}
		}
	}
	return out
}
