package kubelet

import (
	"context"
	"fmt"
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"

	"wheelhouse/cluster/kubelet/cgroup"
	"wheelhouse/cluster/kubelet/containerspec"
	"wheelhouse/cluster/kubelet/cri"
	"wheelhouse/cluster/kubelet/resize"
)

// A pod is resized in place: resize.Allocations allocates what it requests when that fits, and
// its worker applies it, container by container within a control group that is wide enough
// for before and after. A container whose resizePolicy requires it is restarted.

const resizeRetry = 5 * time.Second // after an error

// resizing is the kubelet as allocations use it: it implements resize.Node.
type resizing struct{ *Kubelet }

// Allocatable implements resize.Node.
func (k resizing) Allocatable() v1.ResourceList { return k.allocatable() }

// BoundPods implements resize.Node.
func (k resizing) BoundPods() ([]*v1.Pod, bool) { return k.informers.Known(), k.informers.Synced() }

// resizingPod is a worker as allocations use it: it implements resize.Worker.
type resizingPod struct{ *worker }

// Event implements resize.Worker.
func (w resizingPod) Event(kind, reason, message string) { w.PodEvent(kind, reason, message) }

// ResizeChanged implements resize.Worker.
func (w resizingPod) ResizeChanged() {
	w.notifyNow()
	w.notify()
}

// allocate is the stage that gives the pod the size that the node has allocated to it.
func (w *worker) allocate(_ context.Context, step *podStep) error {
	d := w.k.allocations.Allocate(step.pod)
	s := &w.observed
	s.Pod, s.size = d.Pod, d.State
	for _, list := range [][]v1.Container{d.Pod.Spec.InitContainers, d.Pod.Spec.Containers} {
		for i := range list {
			// A container that an earlier kubelet has started has the size from that one.
			if c := s.Current(list[i].Name); c != nil && c.State == cri.Running && s.size.Actual[c.Name].ID != c.ID {
				w.recordSize(c.Name, c.ID, resize.CreatedWith(&list[i], c.Resources))
			}
		}
	}
	step.pod, step.again = d.Pod, soonest(step.again, d.Again)
	return nil
}

// recordSize records the size that a container was created with or changed to.
func (w *worker) recordSize(name, id string, size v1.ResourceRequirements) {
	w.k.allocations.Started(w.podUID(), name, id, &size)
	if w.observed.size.Actual == nil {
		w.observed.size.Actual = map[string]resize.ActualSize{}
	}
	w.observed.size.Actual[name] = resize.ActualSize{ID: id, Size: size}
}

// podLimits are those of the pod's group: until its containers have their allocated sizes,
// wide enough for what they have as well.
func (w *worker) podLimits(pod *v1.Pod) cgroup.Limits {
	pids := w.k.config.PodPids
	return resize.Widest(resize.PodLimits(pod, pids), resize.PodLimits(w.observed.size.Running(&w.observed.Observed).On(pod), pids))
}

// resize gives the pod's running containers their allocated sizes. starting means that others
// are still to be started with theirs, so that the pod's group must be wide enough for them;
// then it is called once more.
func (w *worker) resize(ctx context.Context, pod *v1.Pod, starting bool) time.Duration {
	list := w.observed.size.Changes(&w.observed.Observed)
	if w.observed.size.Began == 0 && len(list) == 0 {
		return 0
	}
	err := w.checkUsage(pod, list)
	if err == nil {
		err = w.applySizes(ctx, pod, list)
	}
	switch {
	case ctx.Err() != nil:
		return 0
	case err != nil:
		w.resizeFailed(pod, err)
		return resizeRetry
	case starting:
		return 0
	}
	w.k.allocations.Completed(w.podUID())
	if w.observed.size.Began != 0 {
		w.PodEvent(v1.EventTypeNormal, "ResizeCompleted", resize.Message("completed", pod, w.observed.size.Began, ""))
	}
	w.observed.size.Began, w.observed.size.Progress = 0, nil
	w.report()
	return 0
}

// checkUsage is an error if a resize takes memory that is in use.
func (w *worker) checkUsage(pod *v1.Pod, list []resize.Change) error {
	running, podGroup := w.published.get()
	usage := func(group string) (uint64, bool, error) {
		if group == "" {
			return 0, false, nil
		}
		u, err := w.k.groups.Usage(group)
		return u.Memory, true, err
	}
	return w.observed.size.CheckUsage(&w.observed.Observed, pod, list, func() (uint64, bool, error) { return usage(podGroup) },
		func(id string) (uint64, bool, error) {
			for _, c := range running {
				if c.ID == id {
					return usage(c.group)
				}
			}
			return usage("")
		})
}

// applySizes widens the pod's group, changes the containers, and narrows the group.
func (w *worker) applySizes(ctx context.Context, pod *v1.Pod, list []resize.Change) error {
	_, group := w.published.get()
	limit := func() error {
		if group == "" {
			return nil
		}
		_, err := w.limitGroup(ctx, pod, group)
		return err
	}
	if err := limit(); err != nil {
		return fmt.Errorf("limit the pod's control group: %w", err)
	}
	for _, g := range list {
		if err := w.k.runtime.Update(ctx, g.Container.ID, containerspec.Resources(g.Spec, w.k.config.PodPids)); err != nil {
			return fmt.Errorf("resize container %q: %w", g.Spec.Name, err)
		}
		w.recordSize(g.Spec.Name, g.Container.ID, g.Spec.Resources)
		if err := w.inspectAgain(ctx, &g.Container); err != nil {
			return err
		}
	}
	if err := limit(); err != nil {
		return fmt.Errorf("limit the pod's control group: %w", err)
	}
	return nil
}

// inspectAgain updates what is observed of a container.
func (w *worker) inspectAgain(ctx context.Context, c *cri.Container) error {
	seen, err := w.k.runtime.Inspect(ctx, c.ID)
	if err != nil {
		return err
	}
	list := w.observed.Containers[c.Name]
	if i := slices.IndexFunc(list, func(o cri.Container) bool { return o.ID == c.ID }); i >= 0 {
		list[i] = seen
	}
	return nil
}

// resizeFailed reports an error of a resize, which is tried again.
func (w *worker) resizeFailed(pod *v1.Pod, err error) {
	w.log.Warn("resize the pod", "err", err)
	if w.k.allocations.Failed(w.podUID(), err.Error()) {
		w.PodEvent(v1.EventTypeWarning, "ResizeError", resize.Message("error", pod, w.observed.size.Began, err.Error()))
	}
	w.observed.size.Progress = &v1.PodCondition{
		Type: v1.PodResizeInProgress, Status: v1.ConditionTrue, Reason: v1.PodReasonError, Message: err.Error(), ObservedGeneration: w.observed.size.Began,
	}
	w.report()
}
