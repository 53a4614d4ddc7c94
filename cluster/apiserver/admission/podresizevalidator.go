package admission

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	helper "k8s.io/component-helpers/resource"

	"wheelhouse/cluster/apiserver/authz"
)

var nodesResource = schema.GroupResource{Resource: "nodes"}

// The causes of a refused resize, as upstream's.
const (
	causeNodeCapacity metav1.CauseType = "NodeCapacity"
	causePlatform     metav1.CauseType = "UnsupportedPlatform"
)

// PodResizeValidator refuses a resize that the pod's node could not allocate if it were empty.
type PodResizeValidator struct{ objects authz.Objects }

// Validate implements Validator.
func (p *PodResizeValidator) Validate(ctx context.Context, r *Request) error {
	if r.Verb != Update || !r.is("pods", "resize") {
		return nil
	}
	pod, ok1 := r.Object.(*corev1.Pod)
	old, ok2 := r.Old.(*corev1.Pod)
	if !ok1 || !ok2 || pod.Spec.NodeName == "" || pod.Generation == old.Generation {
		return nil
	}
	node, err := get[*corev1.Node](ctx, p.objects, nodesResource, "", pod.Spec.NodeName, false)
	if apierrors.IsNotFound(err) {
		return r.forbidden("node %q not found", pod.Spec.NodeName)
	}
	if err != nil {
		return fmt.Errorf("reading node %s: %w", pod.Spec.NodeName, err)
	}
	if system, ok := node.Labels[corev1.LabelOSStable]; ok && system != "linux" {
		return withCause(causePlatform, r.forbidden("pod resize is only supported on linux nodes, node %q is %q", node.Name, system))
	}
	if over := overAllocatable(pod, node.Status.Allocatable); over != "" {
		return withCause(causeNodeCapacity, r.forbidden("node didn't have enough allocatable resources: %s", over))
	}
	return nil
}

// overAllocatable returns the resources of which a pod requests more than is allocatable.
func overAllocatable(pod *corev1.Pod, allocatable corev1.ResourceList) string {
	requests := helper.PodRequests(pod, helper.PodResourcesOptions{})
	var over []string
	if asked, have := requests.Cpu(), allocatable.Cpu(); asked.Cmp(*have) > 0 {
		over = append(over, fmt.Sprintf("cpu, requested: %d, allocatable: %d", asked.MilliValue(), have.MilliValue()))
	}
	if asked, have := requests.Memory(), allocatable.Memory(); asked.Cmp(*have) > 0 {
		over = append(over, fmt.Sprintf("memory, requested: %d, allocatable: %d", asked.Value(), have.Value()))
	}
	return strings.Join(over, "; ")
}

func withCause(cause metav1.CauseType, err *apierrors.StatusError) error {
	err.ErrStatus.Details.Causes = append(err.ErrStatus.Details.Causes, metav1.StatusCause{Type: cause})
	return err
}
