package scheduler

import (
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// term is one (anti-)affinity term of a pod, compiled.
type term struct {
	key         string // equal for equal terms
	namespaces  []string
	nsSelector  labels.Selector // nil: only namespaces
	selector    labels.Selector
	topologyKey string
}

type weightedTerm struct {
	term
	weight int64
}

// newTerm compiles a term of a pod.
func newTerm(p *v1.Pod, t *v1.PodAffinityTerm) term {
	out := term{topologyKey: t.TopologyKey, selector: selectorFor(p, t.LabelSelector, t.MatchLabelKeys, t.MismatchLabelKeys)}
	out.namespaces = t.Namespaces
	if t.NamespaceSelector != nil {
		out.nsSelector = selectorOf(t.NamespaceSelector)
	} else if len(t.Namespaces) == 0 {
		out.namespaces = []string{p.Namespace}
	}
	out.key = out.topologyKey + " in " + strings.Join(out.namespaces, ",") + " "
	if out.nsSelector != nil {
		out.key += "(" + out.nsSelector.String() + ")"
	}
	out.key += ": " + selectorKey(out.selector)
	return out
}

// selectorKey is equal for selectors that select the same. All and none have no text.
func selectorKey(s labels.Selector) string {
	if _, selectable := s.Requirements(); !selectable {
		return "none"
	}
	return s.String()
}

// selectorFor compiles a label selector with the keys whose values come from the pod itself.
func selectorFor(p *v1.Pod, s *metav1.LabelSelector, match, mismatch []string) labels.Selector {
	sel := selectorOf(s)
	add := func(keys []string, not bool) {
		for _, k := range keys {
			v, ok := p.Labels[k]
			if !ok || s == nil {
				continue
			}
			op := metav1.LabelSelectorOpIn
			if not {
				op = metav1.LabelSelectorOpNotIn
			}
			more := selectorOf(&metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: k, Operator: op, Values: []string{v}}}})
			reqs, _ := more.Requirements()
			sel = sel.Add(reqs...)
		}
	}
	add(match, false)
	add(mismatch, true)
	return sel
}

// selectorOf compiles a selector; the API server has validated it, so one that
// does not compile matches nothing.
func selectorOf(s *metav1.LabelSelector) labels.Selector {
	sel, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		return labels.Nothing()
	}
	return sel
}

func (t *term) matchesPod(ns string, set labels.Set, namespaces map[string]labels.Set) bool {
	in := slices.Contains(t.namespaces, ns) || t.nsSelector != nil && t.nsSelector.Matches(namespaces[ns])
	return in && t.selector.Matches(set)
}
