// Package withdrawal waits until the endpoints of a pod that terminates are withdrawn: until its services
// lead to it no more.
package withdrawal

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
	// of a machine with other work: by the API server to the endpoints, from there to each proxy, and
	// into its kernel. After 500 ms a proxy still led clients to a closed port.
	endpointPropagation = 1500 * time.Millisecond
	period              = 50 * time.Millisecond // between two looks at a pod's endpoints
)

// withdrawal is what a container of a deleted pod waits for before SIGTERM: a program that closes
// its port at the signal would refuse connections that nodes still send. Upstream leaves this to
// a preStop hook, whose time counts here, too; the delay is part of the grace period.
type withdrawal struct {
	endpoints listers.EndpointSliceLister // nil: they are not known
	pod       *v1.Pod
	services  []string  // names of those that lead to the pod
	since     time.Time // when the pod began to terminate
	limit     time.Time // half of the grace period is the program's
}

// Begin returns what is closed when the containers of a pod that terminates may get SIGTERM: their preStop hooks run meanwhile. services
// are all that may lead to the pod, endpoints may be nil, and grace is what is left of the pod's grace period. At half of that, or when
// ctx ends, it is closed in any case.
func Begin(ctx context.Context, pod *v1.Pod, services []*v1.Service, endpoints listers.EndpointSliceLister, grace time.Duration) <-chan struct{} {
	done, now := make(chan struct{}), time.Now()
	w := &withdrawal{endpoints: endpoints, pod: pod, services: leadTo(pod, services), since: now, limit: now.Add(grace / 2)}
	if pod.DeletionTimestamp == nil || !podfacts.Ready(pod) || len(w.services) == 0 {
		close(done)
		return done
	}
	go func() {
		defer close(done)
		w.await(ctx)
	}()
	return done
}

// leadTo returns the names of the services that select the pod.
func leadTo(pod *v1.Pod, services []*v1.Service) (names []string) {
	for _, s := range services {
		if s.Namespace == pod.Namespace && len(s.Spec.Selector) > 0 && labels.SelectorFromSet(s.Spec.Selector).Matches(labels.Set(pod.Labels)) {
			names = append(names, s.Name)
		}
	}
	return names
}

// await waits until all endpoints of the pod are seen to terminate, and
// then as long as that took once more, as the nodes' proxies see it no later than this node and
// have their rules to write. It is endpointPropagation at least.
func (w *withdrawal) await(ctx context.Context) {
	for w.endpoints != nil && w.serving() && time.Now().Before(w.limit) && ctx.Err() == nil {
		waitFor(ctx, period)
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

// waitFor waits for d, or until ctx ends.
func waitFor(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(max(d, 0))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
