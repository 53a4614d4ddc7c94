package admission

import (
	"context"

	corev1 "k8s.io/api/core/v1"
)

// tolerationSeconds is how long a pod stays on a node that fails.
const tolerationSeconds = 300

// DefaultTolerationSeconds keeps pods for a while on a node that is not ready or cannot be
// reached, unless they have tolerations for that.
type DefaultTolerationSeconds struct{}

// Admit implements Mutator.
func (DefaultTolerationSeconds) Admit(_ context.Context, r *Request) error {
	pod, ok := r.Object.(*corev1.Pod)
	if !ok || !r.is("pods", "") || (r.Verb != Create && r.Verb != Update) {
		return nil
	}
	for _, key := range []string{corev1.TaintNodeNotReady, corev1.TaintNodeUnreachable} {
		if toleratesEviction(pod, key) {
			continue
		}
		seconds := int64(tolerationSeconds)
		pod.Spec.Tolerations = append(pod.Spec.Tolerations, corev1.Toleration{
			Key: key, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: &seconds,
		})
	}
	return nil
}

func toleratesEviction(pod *corev1.Pod, key string) bool {
	for _, t := range pod.Spec.Tolerations {
		if (t.Key == key || t.Key == "") && (t.Effect == corev1.TaintEffectNoExecute || t.Effect == "") {
			return true
		}
	}
	return false
}
