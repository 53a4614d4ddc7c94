package resize

import (
	"fmt"
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"

	"wheelhouse/cluster/api/podfacts"
	"wheelhouse/cluster/kubelet/containerspec"
	"wheelhouse/cluster/kubelet/cri"
	"wheelhouse/cluster/kubelet/podspec"
	"wheelhouse/cluster/kubelet/podstatus"
)

// State is the resize of a pod as its worker applies it.
type State struct {
	Pending, Progress *v1.PodCondition
	Actual            map[string]ActualSize // by container name
	Began             int64                 // the generation whose size the containers are getting
}

// NeedsRestart reports whether the size of a container must change in a way for which its
// resizePolicy requires a restart.
func (s *State) NeedsRestart(pod *v1.Pod, c *cri.Container) bool {
	spec := podspec.Container(pod, c.Name)
	actual, ok := s.Actual[c.Name]
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

// Running returns the sizes of the pod's containers that run.
func (s *State) Running(o *podstatus.Observed) Sizes {
	out := Sizes{}
	for name, actual := range s.Actual {
		if c := o.Current(name); c != nil && c.State == cri.Running && c.ID == actual.ID {
			out[name] = actual.Size
		}
	}
	return out
}

// Change is a running container that is to get another size.
type Change struct {
	Container cri.Container
	Spec      *v1.Container
	from      v1.ResourceRequirements
}

// Changes returns those of the pod, the ones that get less memory first.
func (s *State) Changes(o *podstatus.Observed) []Change {
	var less, more []Change
	have := s.Running(o)
	for _, list := range [][]v1.Container{o.Pod.Spec.InitContainers, o.Pod.Spec.Containers} {
		for i := range list {
			spec := &list[i]
			from, ok := have[spec.Name]
			if !ok || sameSize(&from, &spec.Resources) {
				continue
			}
			g := Change{*o.Current(spec.Name), spec, from}
			if g.takesMemory() {
				less = append(less, g)
			} else {
				more = append(more, g)
			}
		}
	}
	return append(less, more...)
}

// takesMemory reports whether the limit of memory becomes lower.
func (g *Change) takesMemory() bool {
	return lower(g.Spec.Resources.Limits.Memory().Value(), g.from.Limits.Memory().Value())
}

// lower reports whether a limit is lower than another; zero is no limit.
func lower(now, before int64) bool { return now > 0 && (before == 0 || now < before) }

// CheckUsage is an error if a resize takes memory that is in use: the kernel would kill
// processes for it. podUsage and containerUsage return the usage of the control groups;
// false where there is none.
func (s *State) CheckUsage(o *podstatus.Observed, pod *v1.Pod, list []Change, podUsage func() (uint64, bool, error), containerUsage func(id string) (uint64, bool, error)) error {
	var errs []error
	check := func(what string, limit int64, used uint64, ok bool, err error) {
		switch {
		case !ok:
		case err != nil:
			errs = append(errs, fmt.Errorf("missing %s memory usage", what))
		case used >= uint64(limit):
			errs = append(errs, fmt.Errorf("attempting to set %s memory limit (%d) below current usage (%d)", what, limit, used))
		}
	}
	if limit := PodLimits(pod, 0).Memory; lower(limit, PodLimits(s.Running(o).On(pod), 0).Memory) {
		used, ok, err := podUsage()
		check("pod", limit, used, ok, err)
	}
	for i := range list {
		if g := &list[i]; g.takesMemory() {
			used, ok, err := containerUsage(g.Container.ID)
			check(fmt.Sprintf("container %q", g.Spec.Name), g.Spec.Resources.Limits.Memory().Value(), used, ok, err)
		}
	}
	if len(errs) > 0 {
		return fmt.Errorf("cannot decrease memory limits: %w", utilerrors.NewAggregate(errs))
	}
	return nil
}

// SetStatus sets in a pod's status the sizes of its containers and the conditions of a resize.
func (s *State) SetStatus(o *podstatus.Observed, status *v1.PodStatus, now time.Time) {
	for i := range status.InitContainerStatuses {
		s.setResources(o, &status.InitContainerStatuses[i], &o.Pod.Spec.InitContainers[i])
	}
	for i := range status.ContainerStatuses {
		s.setResources(o, &status.ContainerStatuses[i], &o.Pod.Spec.Containers[i])
	}
	s.setConditions(status, now)
}

// setResources sets in a container's status what is allocated to it, and what it really has.
func (s *State) setResources(o *podstatus.Observed, status *v1.ContainerStatus, spec *v1.Container) {
	c := o.Latest(spec.Name)
	if c == nil || c.State == cri.Created {
		return
	}
	allocated := spec.Resources.DeepCopy()
	status.AllocatedResources, status.Resources = spec.Resources.DeepCopy().Requests, allocated
	if c.State != cri.Running {
		return
	}
	has := c.Resources
	if allocated.Limits != nil {
		limit := int64(0)
		if has.CPUQuota > 0 && has.CPUPeriod > 0 {
			limit = has.CPUQuota * 1000 / has.CPUPeriod
		}
		// Below the minimum of the kernel, the status has what was requested.
		if asked := allocated.Limits.Cpu().MilliValue(); asked > containerspec.MinQuota*1000/containerspec.CFSPeriod || limit > containerspec.MinQuota*1000/containerspec.CFSPeriod {
			correct(allocated.Limits, v1.ResourceCPU, resource.NewMilliQuantity(limit, resource.DecimalSI))
		}
		correct(allocated.Limits, v1.ResourceMemory, resource.NewQuantity(has.Memory, resource.BinarySI))
	}
	if allocated.Requests != nil {
		request := milliOf(has.CPUShares)
		if asked := allocated.Requests.Cpu().MilliValue(); asked > containerspec.MinShares || request > containerspec.MinShares {
			correct(allocated.Requests, v1.ResourceCPU, resource.NewMilliQuantity(request, resource.DecimalSI))
		}
		// No control group has requests of memory.
		if actual, ok := s.Actual[spec.Name]; ok && actual.ID == c.ID {
			correct(allocated.Requests, v1.ResourceMemory, actual.Size.Requests.Memory())
		}
	}
}

// correct replaces one of the allocated resources by what a container has. Zero is left out.
func correct(l v1.ResourceList, name v1.ResourceName, has *resource.Quantity) {
	asked, ok := l[name]
	switch {
	case !ok || asked.Cmp(*has) == 0:
	case has.IsZero():
		delete(l, name)
	default:
		l[name] = has.DeepCopy()
	}
}

// setConditions sets the conditions of a resize, and removes those of one that is complete.
func (s *State) setConditions(status *v1.PodStatus, now time.Time) {
	for kind, c := range map[v1.PodConditionType]*v1.PodCondition{v1.PodResizePending: s.Pending, v1.PodResizeInProgress: s.Progress} {
		if c != nil && !podfacts.TerminalPhase(status.Phase) {
			podspec.SetCondition(status, *c, now)
			continue
		}
		status.Conditions = slices.DeleteFunc(status.Conditions, func(o v1.PodCondition) bool { return o.Type == kind })
	}
}
