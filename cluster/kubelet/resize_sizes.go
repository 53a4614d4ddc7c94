package kubelet

import (
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"wheelhouse/cluster/kubelet/cgroup"
	"wheelhouse/cluster/kubelet/containerspec"
	"wheelhouse/cluster/kubelet/cri"
	"wheelhouse/cluster/kubelet/podspec"
)

// resizable are the resources that a container can get more or less of while it runs.
var resizable = []v1.ResourceName{v1.ResourceCPU, v1.ResourceMemory}

// sizes are the resources of a pod's containers, by name.
type sizes map[string]v1.ResourceRequirements

// sizesOf are those that a pod asks for.
func sizesOf(pod *v1.Pod) sizes {
	out := sizes{}
	for _, list := range [][]v1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range list {
			out[list[i].Name] = *list[i].Resources.DeepCopy()
		}
	}
	return out
}

// on is the pod with cpu and memory of these sizes, where there are some; the pod itself
// if that is no change.
func (s sizes) on(pod *v1.Pod) *v1.Pod {
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

// resized is a list with another's cpu and memory.
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

// sameSize compares cpu and memory.
func sameSize(a, b *v1.ResourceRequirements) bool {
	return sameAmount(a, b, v1.ResourceCPU) && sameAmount(a, b, v1.ResourceMemory)
}

func sameAmount(a, b *v1.ResourceRequirements, name v1.ResourceName) bool {
	return a.Requests[name].Equal(b.Requests[name]) && a.Limits[name].Equal(b.Limits[name])
}

// reported are the sizes that a status shows a pod to have been given: what a kubelet
// before this one has done. It is empty where the status shows none.
func reported(pod *v1.Pod) sizes {
	out := sizes{}
	for _, list := range [][]v1.ContainerStatus{pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses} {
		for i := range list {
			if st := &list[i]; st.Resources != nil {
				out[st.Name] = v1.ResourceRequirements{Requests: st.AllocatedResources, Limits: st.Resources.Limits}
			}
		}
	}
	return out
}

// actualSize is what a container has been made or remade with.
type actualSize struct {
	ID   string                  `json:"id"`
	Size v1.ResourceRequirements `json:"size"`
}

// madeWith is the size of a container of which nothing was noted: its spec's if the
// runtime agrees, else what the runtime shows. Requests of memory it cannot show.
func madeWith(spec *v1.Container, has cri.Resources) v1.ResourceRequirements {
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

// milliOf is the request of cpu that shares stand for.
func milliOf(shares int64) int64 { return (shares*1000 + 1023) / 1024 }

// outgrown tells of a container whose size is to change in a way that takes a new one.
func (s *observed) outgrown(c *cri.Container) bool {
	spec := podspec.Container(s.Pod, c.Name)
	actual, ok := s.actual[c.Name]
	if spec == nil || !ok || actual.ID != c.ID {
		return false
	}
	for _, p := range spec.ResizePolicy {
		if p.RestartPolicy == v1.RestartContainer && !sameAmount(&actual.Size, &spec.Resources, p.ResourceName) {
			return true
		}
	}
	return false
}

// running are the sizes of the pod's containers that run.
func (s *observed) running() sizes {
	out := sizes{}
	for name, actual := range s.actual {
		if c := s.Current(name); c != nil && c.State == cri.Running && c.ID == actual.ID {
			out[name] = actual.Size
		}
	}
	return out
}

// growth is a running container that is to get another size.
type growth struct {
	container cri.Container
	spec      *v1.Container
	from      v1.ResourceRequirements
}

// growths are those of the pod, the ones that get less memory first.
func (s *observed) growths() []growth {
	var less, more []growth
	have := s.running()
	for _, list := range [][]v1.Container{s.Pod.Spec.InitContainers, s.Pod.Spec.Containers} {
		for i := range list {
			spec := &list[i]
			from, ok := have[spec.Name]
			if !ok || sameSize(&from, &spec.Resources) {
				continue
			}
			g := growth{*s.Current(spec.Name), spec, from}
			if g.takesMemory() {
				less = append(less, g)
			} else {
				more = append(more, g)
			}
		}
	}
	return append(less, more...)
}

// takesMemory tells whether the limit of memory becomes lower.
func (g *growth) takesMemory() bool {
	return lower(g.spec.Resources.Limits.Memory().Value(), g.from.Limits.Memory().Value())
}

// lower compares limits, of which zero is none.
func lower(now, before int64) bool { return now > 0 && (before == 0 || now < before) }

// widest are limits within which both fit.
func widest(a, b cgroup.Limits) cgroup.Limits {
	most := func(x, y int64) int64 {
		if x == 0 || y == 0 {
			return 0
		}
		return max(x, y)
	}
	return cgroup.Limits{
		CPUShares: max(a.CPUShares, b.CPUShares), CPUQuota: most(a.CPUQuota, b.CPUQuota), CPUPeriod: max(a.CPUPeriod, b.CPUPeriod),
		Memory: most(a.Memory, b.Memory), Pids: most(a.Pids, b.Pids),
	}
}

// showSize adds to a container's status what it was given, and what it really has.
func (s *observed) showSize(status *v1.ContainerStatus, spec *v1.Container) {
	c := s.Latest(spec.Name)
	if c == nil || c.State == cri.Created {
		return
	}
	given := spec.Resources.DeepCopy()
	status.AllocatedResources, status.Resources = spec.Resources.DeepCopy().Requests, given
	if c.State != cri.Running {
		return
	}
	has := c.Resources
	if given.Limits != nil {
		limit := int64(0)
		if has.CPUQuota > 0 && has.CPUPeriod > 0 {
			limit = has.CPUQuota * 1000 / has.CPUPeriod
		}
		// Below the least that the kernel can do, what was asked for is shown.
		if asked := given.Limits.Cpu().MilliValue(); asked > containerspec.MinQuota*1000/containerspec.CFSPeriod || limit > containerspec.MinQuota*1000/containerspec.CFSPeriod {
			show(given.Limits, v1.ResourceCPU, resource.NewMilliQuantity(limit, resource.DecimalSI))
		}
		show(given.Limits, v1.ResourceMemory, resource.NewQuantity(has.Memory, resource.BinarySI))
	}
	if given.Requests != nil {
		request := milliOf(has.CPUShares)
		if asked := given.Requests.Cpu().MilliValue(); asked > containerspec.MinShares || request > containerspec.MinShares {
			show(given.Requests, v1.ResourceCPU, resource.NewMilliQuantity(request, resource.DecimalSI))
		}
		// Requests of memory stand in no control group.
		if actual, ok := s.actual[spec.Name]; ok && actual.ID == c.ID {
			show(given.Requests, v1.ResourceMemory, actual.Size.Requests.Memory())
		}
	}
}

// show corrects one resource of those that were given. What is nothing is left out.
func show(l v1.ResourceList, name v1.ResourceName, has *resource.Quantity) {
	asked, ok := l[name]
	switch {
	case !ok || asked.Cmp(*has) == 0:
	case has.IsZero():
		delete(l, name)
	default:
		l[name] = has.DeepCopy()
	}
}
