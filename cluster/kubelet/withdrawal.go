package kubelet

import (
	"context"
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/labels"
	listers "k8s.io/client-go/listers/discovery/v1"

	"wheelhouse/cluster/api/podfacts"
)

const (
	// endpointPropagation is how long a removed endpoint takes at most to the rules of all nodes
	// where machines are not busy: by the API server to the endpoints, from there to each proxy,
	// and into its kernel.
	endpointPropagation = 500 * time.Millisecond
	withdrawalPeriod    = 50 * time.Millisecond // between two looks at a pod's endpoints
)

// withdrawal is what a container of a deleted pod waits for before SIGTERM: a program that closes
// its port at the signal would refuse connections that nodes still send. Upstream leaves this to
// a preStop hook, whose time counts here, too; the delay is part of the grace period.
type withdrawal struct {
	endpoints listers.EndpointSliceLister // nil: they are not known
	pod       *v1.Pod
	services  []string  // names of those that lead to the pod; none: there is nothing to wait for
	since     time.Time // when the pod began to terminate
	limit     time.Time // half of the grace period is the program's
}

func withdrawalOf(pod *v1.Pod, services []*v1.Service, endpoints listers.EndpointSliceLister, grace time.Duration) *withdrawal {
	now := time.Now()
	w := &withdrawal{endpoints: endpoints, pod: pod, since: now, limit: now.Add(grace / 2)}
	if pod.DeletionTimestamp == nil || !podfacts.Ready(pod) {
		return w
	}
	for _, s := range services {
		if s.Namespace == pod.Namespace && len(s.Spec.Selector) > 0 && labels.SelectorFromSet(s.Spec.Selector).Matches(labels.Set(pod.Labels)) {
			w.services = append(w.services, s.Name)
		}
	}
	return w
}

// begin returns what is closed when the containers may get SIGTERM: their preStop hooks run meanwhile.
func (w *withdrawal) begin(ctx context.Context) <-chan struct{} {
	done := make(chan struct{})
	if len(w.services) == 0 {
		close(done)
		return done
	}
	go func() { // ends with ctx, or at the limit
		defer close(done)
		w.await(ctx)
	}()
	return done
}

// await waits until all endpoints of the pod are seen to terminate, and
// then as long as that took once more, as the nodes' proxies see it no later than this node and
// have their rules to write. It is endpointPropagation at least.
func (w *withdrawal) await(ctx context.Context) {
	for w.endpoints != nil && w.serving() && time.Now().Before(w.limit) && ctx.Err() == nil {
		waitFor(ctx, withdrawalPeriod)
	}
	end := w.since.Add(max(endpointPropagation, 2*time.Since(w.since)))
	if end.After(w.limit) {
		end = w.limit
	}
	waitFor(ctx, time.Until(end))
}

// serving reports whether an endpoint of the pod is not marked as terminating.
func (w *withdrawal) serving() bool {
	for _, name := range w.services {
		all, err := w.endpoints.EndpointSlices(w.pod.Namespace).List(labels.SelectorFromSet(labels.Set{discovery.LabelServiceName: name}))
		if err != nil { // a cache's lister does not fail
			return false
		}
		if slices.ContainsFunc(all, func(s *discovery.EndpointSlice) bool { return slices.ContainsFunc(s.Endpoints, w.isServing) }) {
			return true
		}
	}
	return false
}

func (w *withdrawal) isServing(e discovery.Endpoint) bool {
	return e.TargetRef != nil && e.TargetRef.UID == w.pod.UID && (e.Conditions.Terminating == nil || !*e.Conditions.Terminating)
}
