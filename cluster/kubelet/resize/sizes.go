package resize

import (
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"wheelhouse/cluster/kubelet/containerspec"
	"wheelhouse/cluster/kubelet/cri"
)

// resizable are the resources of a container that can change while it runs.
var resizable = []v1.ResourceName{v1.ResourceCPU, v1.ResourceMemory}

// Sizes are the resources of a pod's containers, by name.
type Sizes map[string]v1.ResourceRequirements

// sizesOf returns those that a pod requests.
func sizesOf(pod *v1.Pod) Sizes {
	out := Sizes{}
	for _, list := range [][]v1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range list {
			out[list[i].Name] = *list[i].Resources.DeepCopy()
		}
	}
	return out
}

// On returns the pod with the cpu and memory of these sizes, where there are some; the pod
// itself if that is no change.
func (s Sizes) On(pod *v1.Pod) *v1.Pod {
	out := pod
	for _, of := range []func(*v1.PodSpec) []v1.Container{
		func(p *v1.PodSpec) []v1.Container { return p.InitContainers },
		func(p *v1.PodSpec) []v1.Container { return p.Containers },
	} {
		for i, c := range of(&pod.Spec) {
			size, ok := s[c.Name]
			if !ok || sameSize(&size, &c.Resources) {
				continue
			}
			if out == pod {
				out = pod.DeepCopy()
			}
			r := &of(&out.Spec)[i].Resources
			r.Requests, r.Limits = resized(r.Requests, size.Requests), resized(r.Limits, size.Limits)
		}
	}
	return out
}

// resized returns a list with another's cpu and memory.
func resized(l, size v1.ResourceList) v1.ResourceList {
	out := v1.ResourceList{}
	for name, q := range l {
		out[name] = q
	}
	for _, name := range resizable {
		delete(out, name)
		if q, ok := size[name]; ok {
			out[name] = q.DeepCopy()
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// sameSize reports whether cpu and memory are equal.
func sameSize(a, b *v1.ResourceRequirements) bool {
	return sameAmount(a, b, v1.ResourceCPU) && sameAmount(a, b, v1.ResourceMemory)
}

func sameAmount(a, b *v1.ResourceRequirements, name v1.ResourceName) bool {
	return a.Requests[name].Equal(b.Requests[name]) && a.Limits[name].Equal(b.Limits[name])
}

// reported returns the sizes that a status has as allocated, by an earlier kubelet. It is
// empty where the status has none.
func reported(pod *v1.Pod) Sizes {
	out := Sizes{}
	for _, list := range [][]v1.ContainerStatus{pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses} {
		for i := range list {
			if st := &list[i]; st.Resources != nil {
				out[st.Name] = v1.ResourceRequirements{Requests: st.AllocatedResources, Limits: st.Resources.Limits}
			}
		}
	}
	return out
}

// ActualSize is the size that a container was created with or changed to.
type ActualSize struct {
	ID   string                  `json:"id"`
	Size v1.ResourceRequirements `json:"size"`
}

// CreatedWith returns the size of a container of which none is recorded: its spec's if the
// runtime agrees, else what the runtime reports, which has no requests of memory.
func CreatedWith(spec *v1.Container, has cri.Resources) v1.ResourceRequirements {
	want := containerspec.Resources(spec, 0)
	out := *spec.Resources.DeepCopy()
	if want.CPUShares == has.CPUShares && want.CPUQuota == has.CPUQuota && want.Memory == has.Memory {
		return out
	}
	requests, limits := v1.ResourceList{}, v1.ResourceList{}
	if q, ok := out.Requests[v1.ResourceMemory]; ok {
		requests[v1.ResourceMemory] = q
	}
	if has.CPUShares > containerspec.MinShares {
		requests[v1.ResourceCPU] = *resource.NewMilliQuantity(milliOf(has.CPUShares), resource.DecimalSI)
	}
	if has.CPUQuota > 0 && has.CPUPeriod > 0 {
		limits[v1.ResourceCPU] = *resource.NewMilliQuantity(has.CPUQuota*1000/has.CPUPeriod, resource.DecimalSI)
	}
	if has.Memory > 0 {
		limits[v1.ResourceMemory] = *resource.NewQuantity(has.Memory, resource.BinarySI)
	}
	out.Requests, out.Limits = resized(out.Requests, requests), resized(out.Limits, limits)
	return out
}

// milliOf returns the request of cpu of a weight.
func milliOf(shares int64) int64 { return (shares*1000 + 1023) / 1024 }
