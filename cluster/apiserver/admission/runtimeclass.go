package admission

import (
	"context"
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"wheelhouse/cluster/apiserver/authz"
)

var runtimeClasses = nodev1.Resource("runtimeclasses")

// RuntimeClass gives new pods the overhead and the scheduling constraints of their class.
type RuntimeClass struct{ objects authz.Objects }

// Admit sets the overhead and the scheduling constraints.
func (p *RuntimeClass) Admit(ctx context.Context, r *Request) error {
	pod, ok := r.Object.(*corev1.Pod)
	if !ok || r.Verb != Create || !r.is("pods", "") {
		return nil
	}
	class, err := p.runtimeClassOf(ctx, r, pod)
	if err != nil || class == nil {
		return err
	}
	if class.Overhead != nil || class.Scheduling != nil {
		r.changed("RuntimeClass")
	}
	if class.Overhead != nil {
		if len(pod.Spec.Overhead) > 0 && !apiequality.Semantic.DeepEqual(class.Overhead.PodFixed, pod.Spec.Overhead) {
			return r.forbidden(overheadDiffers)
		}
		pod.Spec.Overhead = class.Overhead.PodFixed.DeepCopy()
	}
	if class.Scheduling != nil {
		return scheduleAs(r, pod, class.Scheduling)
	}
	return nil
}

const overheadDiffers = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"

// runtimeClassOf returns the class of a pod, nil if it has none.
func (p *RuntimeClass) runtimeClassOf(ctx context.Context, r *Request, pod *corev1.Pod) (*nodev1.RuntimeClass, error) {
	if pod.Spec.RuntimeClassName == nil {
		return nil, nil
	}
	class, err := find[*nodev1.RuntimeClass](ctx, p.objects, runtimeClasses, "", *pod.Spec.RuntimeClassName)
	switch {
	case apierrors.IsNotFound(err):
		return nil, r.forbidden("pod rejected: RuntimeClass %q not found", *pod.Spec.RuntimeClassName)
	case err != nil:
		return nil, fmt.Errorf("reading the runtime class: %w", err)
	}
	return class, nil
}

func scheduleAs(r *Request, pod *corev1.Pod, s *nodev1.Scheduling) error {
	for key, value := range s.NodeSelector {
		if own, ok := pod.Spec.NodeSelector[key]; ok && own != value {
			return r.forbidden("conflict: runtimeClass.scheduling.nodeSelector[%s] = %s; pod.spec.nodeSelector[%s] = %s", key, value, key, own)
		}
	}
	if len(s.NodeSelector) > 0 && pod.Spec.NodeSelector == nil {
		pod.Spec.NodeSelector = map[string]string{}
	}
	maps.Copy(pod.Spec.NodeSelector, s.NodeSelector)
	pod.Spec.Tolerations = mergeTolerations(pod.Spec.Tolerations, s.Tolerations)
	return nil
}

// mergeTolerations returns both lists without what another toleration of them includes.
func mergeTolerations(own, more []corev1.Toleration) []corev1.Toleration {
	all := append(append([]corev1.Toleration(nil), own...), more...)
	var out []corev1.Toleration
	for i := range all {
		needed := true
		for k := range all {
			if k == i || !includes(&all[k], &all[i]) {
				continue
			}
			if k < i || !includes(&all[i], &all[k]) { // of two that are the same the first stays
				needed = false
			}
		}
		if needed {
			out = append(out, all[i])
		}
	}
	return out
}

// includes reports whether a tolerates all that b does.
func includes(a, b *corev1.Toleration) bool {
	if a.Key != b.Key && (a.Key != "" || a.Operator != corev1.TolerationOpExists) {
		return false
	}
	if a.Effect != b.Effect && a.Effect != "" {
		return false
	}
	if a.TolerationSeconds != nil && (b.TolerationSeconds == nil || *b.TolerationSeconds > *a.TolerationSeconds) {
		return false
	}
	if a.Operator == corev1.TolerationOpExists {
		return true
	}
	return b.Operator != corev1.TolerationOpExists && a.Value == b.Value
}

// Validate refuses an overhead that is not the class's.
func (p *RuntimeClass) Validate(ctx context.Context, r *Request) error {
	pod, ok := r.Object.(*corev1.Pod)
	if !ok || r.Verb != Create || !r.is("pods", "") {
		return nil
	}
	class, err := p.runtimeClassOf(ctx, r, pod)
	if err != nil {
		return err
	}
	switch {
	case class != nil && class.Overhead != nil:
		if !apiequality.Semantic.DeepEqual(class.Overhead.PodFixed, pod.Spec.Overhead) {
			return r.forbidden(overheadDiffers)
		}
	case pod.Spec.Overhead != nil:
		return r.forbidden("pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead")
	}
	return nil
}
