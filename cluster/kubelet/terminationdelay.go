package kubelet

import (
	"context"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"wheelhouse/cluster/api/podfacts"
)

// endpointPropagation is how long a removed endpoint takes at most to the rules of all nodes:
// by the API server to the endpoints, from there to each proxy, and into its kernel.
const endpointPropagation = 500 * time.Millisecond

// terminationDelay is how long a container of a pod that is deleted runs until SIGTERM. Where
// a service selects the pod it is endpointPropagation: a program that closes its port at the
// signal would refuse connections that nodes still send. Upstream leaves this to a preStop
// hook, whose time counts here, too; the delay is part of the grace period.
func terminationDelay(pod *v1.Pod, services []*v1.Service, grace time.Duration) time.Duration {
	if pod.DeletionTimestamp == nil || !podfacts.Ready(pod) {
		return 0
	}
	for _, s := range services {
		if s.Namespace == pod.Namespace && len(s.Spec.Selector) > 0 && labels.SelectorFromSet(s.Spec.Selector).Matches(labels.Set(pod.Labels)) {
			return min(endpointPropagation, grace/2)
		}
	}
	return 0
}

// waitFor waits for d, or until ctx ends.
func waitFor(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
