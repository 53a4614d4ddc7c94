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
)

var nodesResource = schema.GroupResource{Resource: "nodes"}

// What a client can tell a refused resize by, as upstream's plugin PodResizeValidator.
const (
	causeNodeCapacity metav1.CauseType = "NodeCapacity"
	causePlatform     metav1.CauseType = "UnsupportedPlatform"
)

// resizeFits refuses what a placed pod's node could never give it, were it empty.
func (c *Chain) resizeFits(ctx context.Context, r *Request) error {
	if r.Verb != Update || !r.is("", "pods", "resize") {
		return nil
	}
	pod, ok1 := r.Object.(*corev1.Pod)
	old, ok2 := r.Old.(*corev1.Pod)
	if !ok1 || !ok2 || pod.Spec.NodeName == "" || pod.Generation == old.Generation {
		return nil
	}
	o, err := c.objects.Get(ctx, nodesResource, "", pod.Spec.NodeName, false)
	if apierrors.IsNotFound(err) {
		return r.forbidden("node %q not found", pod.Spec.NodeName)
	}
	if err != nil {
		return fmt.Errorf("reading node %s: %w", pod.Spec.NodeName, err)
	}
	node, ok := o.(*corev1.Node)
	if !ok {
		return fmt.Errorf("node %s is a %T", pod.Spec.NodeName, o)
	}
	if system, ok := node.Labels[corev1.LabelOSStable]; ok && system != "linux" {
		return because(causePlatform, r.forbidden("pod resize is only supported on linux nodes, node %q is %q", node.Name, system))
	}
	if over := overAllocatable(pod, node.Status.Allocatable); over != "" {
		return because(causeNodeCapacity, r.forbidden("node didn't have enough allocatable resources: %s", over))
	}
	return nil
}

// overAllocatable names what a pod requests more of than the node has for pods.
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

func because(cause metav1.CauseType, err *apierrors.StatusError) error {
	err.ErrStatus.Details.Causes = append(err.ErrStatus.Details.Causes, metav1.StatusCause{Type: cause})
	return err
}
