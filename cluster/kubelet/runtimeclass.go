package kubelet

import (
	"context"
	"fmt"
	"slices"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/cluster/kubelet/objects"
)

// handlers are the ways in which the node can run a pod, as runtime classes name them.
// The empty one is that of pods without a class.
var handlers = []string{"", "runc"}

// checkHandler rejects a pod whose runtime class names a handler that the node does not have,
// and one that requests a user namespace, which no handler supports. PodSecurity allows such a
// pod more, as its root is no user of the node: without the namespace it would be root.
func (w *worker) checkHandler(ctx context.Context, pod *v1.Pod) error {
	if own := pod.Spec.HostUsers; own != nil && !*own {
		handler := ""
		if pod.Spec.RuntimeClassName != nil {
			handler = *pod.Spec.RuntimeClassName
		}
		return fmt.Errorf("RuntimeClass handler %q does not support user namespaces", handler)
	}
	if pod.Spec.RuntimeClassName == nil || *pod.Spec.RuntimeClassName == "" {
		return nil
	}
	name := *pod.Spec.RuntimeClassName
	ctx, cancel := context.WithTimeout(ctx, objects.Timeout)
	defer cancel()
	class, err := w.k.config.Client.NodeV1().RuntimeClasses().Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return err
	}
	if err != nil {
		return fmt.Errorf("failed to lookup RuntimeClass %s: %w", name, err)
	}
	if !slices.Contains(handlers, class.Handler) {
		return fmt.Errorf("failed to get sandbox runtime: no runtime for %q is configured", class.Handler)
	}
	return nil
}
