package podspec

import (
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"wheelhouse/cluster/api/podfacts"
)

// Resources are the requests and limits of a pod as a whole. It has a limit only where all
// of its containers have one.
func Resources(pod *v1.Pod) (requests, limits v1.ResourceList) {
	requests, limits = v1.ResourceList{}, v1.ResourceList{}
	for _, name := range []v1.ResourceName{v1.ResourceCPU, v1.ResourceMemory, v1.ResourceEphemeralStorage} {
		request, _ := together(pod, func(r *v1.ResourceRequirements) (resource.Quantity, bool) {
			q, ok := r.Requests[name]
			if !ok {
				q, ok = r.Limits[name]
			}
			return q, ok
		})
		if !request.IsZero() {
			requests[name] = request
		}
		limit, all := together(pod, func(r *v1.ResourceRequirements) (resource.Quantity, bool) {
			q, ok := r.Limits[name]
			return q, ok && !q.IsZero()
		})
		if all {
			limits[name] = limit
		}
		if own := pod.Spec.Resources; own != nil {
			if q, ok := own.Requests[name]; ok {
				requests[name] = q
			}
			if q, ok := own.Limits[name]; ok {
				limits[name] = q
			}
		}
	}
	return requests, limits
}

// together is the most that the pod needs at one time: its containers and sidecars, or before
// them each init container with the sidecars that have started by then.
func together(pod *v1.Pod, of func(*v1.ResourceRequirements) (resource.Quantity, bool)) (sum resource.Quantity, all bool) {
	all = true
	var sidecars, first resource.Quantity
	for i := range pod.Spec.InitContainers {
		c := &pod.Spec.InitContainers[i]
		q, ok := of(&c.Resources)
		all = all && ok
		if podfacts.Sidecar(c) {
			sidecars.Add(q)
			q = resource.Quantity{}
		}
		q.Add(sidecars)
		if q.Cmp(first) > 0 {
			first = q
		}
	}
	for i := range pod.Spec.Containers {
		q, ok := of(&pod.Spec.Containers[i].Resources)
		all = all && ok
		sum.Add(q)
	}
	sum.Add(sidecars)
	if first.Cmp(sum) > 0 {
		sum = first
	}
	for name, q := range pod.Spec.Overhead {
		if over, ok := of(&v1.ResourceRequirements{Requests: v1.ResourceList{name: q}, Limits: v1.ResourceList{name: q}}); ok {
			sum.Add(over)
		}
	}
	return sum, all
}
