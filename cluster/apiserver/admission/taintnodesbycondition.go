package admission

import (
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// TaintNodesByCondition taints a new node as not ready, until it reports that it is.
type TaintNodesByCondition struct{}

// Admit implements Mutator.
func (TaintNodesByCondition) Admit(_ context.Context, r *Request) error {
	node, ok := r.Object.(*corev1.Node)
	if !ok || r.Verb != Create || !r.is("nodes", "") {
		return nil
	}
	notReady := corev1.Taint{Key: corev1.TaintNodeNotReady, Effect: corev1.TaintEffectNoSchedule}
	if !slices.ContainsFunc(node.Spec.Taints, func(t corev1.Taint) bool { return t.MatchTaint(&notReady) }) {
		node.Spec.Taints = append(node.Spec.Taints, notReady)
	}
	return nil
}
