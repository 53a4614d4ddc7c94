package scheduler

import (
	"slices"
	"strconv"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"
)

// A pod's node affinity is evaluated for thousands of nodes per scheduling cycle, so it is
// compiled to be evaluated without allocations.

// nodeMatch is what a pod requires of a node's labels; nil requires nothing.
type nodeMatch struct {
	equal map[string]string // the node selector
	terms []v1.NodeSelectorTerm
	any   bool // no terms
}

func newNodeMatch(p *v1.Pod) *nodeMatch {
	m := &nodeMatch{equal: p.Spec.NodeSelector, any: true}
	if a := p.Spec.Affinity; a != nil && a.NodeAffinity != nil {
		if required := a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution; required != nil {
			m.terms, m.any = required.NodeSelectorTerms, false
		}
	}
	if len(m.equal) == 0 && m.any {
		return nil
	}
	return m
}

func (m *nodeMatch) matches(n *v1.Node) bool {
	if m == nil {
		return true
	}
	for k, v := range m.equal {
		if have, ok := n.Labels[k]; !ok || have != v {
			return false
		}
	}
	if m.any {
		return true
	}
	for i := range m.terms {
		if termMatches(&m.terms[i], n) {
			return true
		}
	}
	return false
}

// termMatches reports whether a node meets all requirements of a term; one without any
// selects nothing.
func termMatches(t *v1.NodeSelectorTerm, n *v1.Node) bool {
	for i := range t.MatchExpressions {
		have, ok := n.Labels[t.MatchExpressions[i].Key]
		if !requirementMet(&t.MatchExpressions[i], have, ok) {
			return false
		}
	}
	for i := range t.MatchFields {
		f := &t.MatchFields[i]
		if f.Key != metav1.ObjectNameField || !requirementMet(f, n.Name, true) {
			return false
		}
	}
	return len(t.MatchExpressions)+len(t.MatchFields) > 0
}

func requirementMet(r *v1.NodeSelectorRequirement, have string, ok bool) bool {
	switch r.Operator {
	case v1.NodeSelectorOpIn:
		return ok && slices.Contains(r.Values, have)
	case v1.NodeSelectorOpNotIn:
		return !ok || !slices.Contains(r.Values, have)
	case v1.NodeSelectorOpExists:
		return ok
	case v1.NodeSelectorOpDoesNotExist:
		return !ok
	case v1.NodeSelectorOpGt, v1.NodeSelectorOpLt:
		return ok && len(r.Values) == 1 && beyond(r.Operator, have, r.Values[0])
	}
	return false
}

func beyond(op v1.NodeSelectorOperator, have, bound string) bool {
	a, errA := strconv.ParseInt(have, 10, 64)
	b, errB := strconv.ParseInt(bound, 10, 64)
	if errA != nil || errB != nil {
		return false
	}
	if op == v1.NodeSelectorOpGt {
		return a > b
	}
	return a < b
}

// preferredNodes returns the sum of the weights of the pod's preferred terms that a node meets.
func preferredNodes(terms []v1.PreferredSchedulingTerm, n *v1.Node) int64 {
	var sum int64
	for i := range terms {
		if termMatches(&terms[i].Preference, n) {
			sum += int64(terms[i].Weight)
		}
	}
	return sum
}

// untolerated returns the first taint that the pod does not tolerate.
func untolerated(node *v1.Node, tolerations []v1.Toleration) *v1.Taint {
	for i := range node.Spec.Taints {
		t := &node.Spec.Taints[i]
		if t.Effect != v1.TaintEffectPreferNoSchedule && !tolerates(tolerations, t) {
			return t
		}
	}
	return nil
}

func tolerates(tolerations []v1.Toleration, t *v1.Taint) bool {
	for i := range tolerations {
		if tolerations[i].ToleratesTaint(klog.Background(), t, false) {
			return true
		}
	}
	return false
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
