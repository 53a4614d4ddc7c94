package scheduler

import (
	v1 "k8s.io/api/core/v1"
	podresource "k8s.io/component-helpers/resource"
)

// effectiveRequests returns the maximum of what a pod requests, was allocated and still has; the
// three differ during a resize.
func effectiveRequests(p *v1.Pod) v1.ResourceList {
	return podresource.PodRequests(p, podresource.PodResourcesOptions{UseStatusResources: true})
}

// sameSize reports whether the effective requests of two states of a bound pod are equal. It
// is called for every change of a status, so it computes nothing while no container is
// resized.
func sameSize(a, b *v1.Pod) bool {
	if a.Generation == b.Generation && sameStatusSizes(a.Status.ContainerStatuses, b.Status.ContainerStatuses) &&
		sameStatusSizes(a.Status.InitContainerStatuses, b.Status.InitContainerStatuses) &&
		podresource.IsPodResizeInfeasible(a) == podresource.IsPodResizeInfeasible(b) {
		return true
	}
	x, y := effectiveRequests(a), effectiveRequests(b)
	return covers(x, y) && covers(y, x)
}

// covers reports whether x is at least y in all resources.
func covers(x, y v1.ResourceList) bool {
	for name, q := range y {
		if have := x[name]; have.Cmp(q) < 0 {
			return false
		}
	}
	return true
}

func sameStatusSizes(a, b []v1.ContainerStatus) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !sameList(a[i].AllocatedResources, b[i].AllocatedResources) || !sameList(requestsIn(&a[i]), requestsIn(&b[i])) {
			return false
		}
	}
	return true
}

func requestsIn(s *v1.ContainerStatus) v1.ResourceList {
	if s.Resources == nil {
		return nil
	}
	return s.Resources.Requests
}

func sameList(a, b v1.ResourceList) bool {
	if len(a) != len(b) {
		return false
	}
	for name, q := range a {
		if o, ok := b[name]; !ok || q.Cmp(o) != 0 {
			return false
		}
	}
	return true
}

// shrank reports whether the effective requests of a bound pod decreased in any resource.
func shrank(old, now *v1.Pod) bool {
	return !sameSize(old, now) && !covers(effectiveRequests(now), effectiveRequests(old))
}
