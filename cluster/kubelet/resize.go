package kubelet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"

	"wheelhouse/cluster/api/podfacts"
	"wheelhouse/cluster/kubelet/cgroup"
	"wheelhouse/cluster/kubelet/containerspec"
	"wheelhouse/cluster/kubelet/cri"
	"wheelhouse/cluster/kubelet/podspec"
)

// A pod is resized in place: allotments decides when it gets what it asks for, and its
// worker makes it so, container by container within a group that is wide enough for
// before and after. A container whose resizePolicy says so is ended and started anew.

const resizeRetry = 5 * time.Second // after what could not be done

// decideSize is the pod with the size that the node has given it, and when to ask again.
func (w *worker) decideSize(pod *v1.Pod) (*v1.Pod, time.Duration) {
	d := w.k.allotments.decide(pod)
	s := &w.observed
	s.Pod, s.pending, s.progress, s.actual, s.began = d.pod, d.pending, d.progress, d.actual, d.began
	for _, list := range [][]v1.Container{d.pod.Spec.InitContainers, d.pod.Spec.Containers} {
		for i := range list {
			// What an earlier kubelet has started has what that one gave it.
			if c := s.Current(list[i].Name); c != nil && c.State == cri.Running && s.actual[c.Name].ID != c.ID {
				w.noteSize(c.Name, c.ID, madeWith(&list[i], c.Resources))
			}
		}
	}
	return d.pod, d.again
}

// noteSize notes what a container was made with.
func (w *worker) noteSize(name, id string, size v1.ResourceRequirements) {
	w.k.allotments.started(w.podUID(), name, id, &size)
	if w.observed.actual == nil {
		w.observed.actual = map[string]actualSize{}
	}
	w.observed.actual[name] = actualSize{id, size}
}

// podLimits are those of the pod's group: until its containers have what it was given,
// wide enough for what they have as well.
func (w *worker) podLimits(pod *v1.Pod) cgroup.Limits {
	pids := w.k.config.PodPids
	return widest(podLimits(pod, pids), podLimits(w.observed.running().on(pod), pids))
}

// resize gives the pod's running containers the size that it was given. starting tells
// that others are still to be started with theirs, and so the pod's group to be wide
// enough for them; then it is called once more.
func (w *worker) resize(ctx context.Context, pod *v1.Pod, starting bool) time.Duration {
	list := w.observed.growths()
	if w.observed.began == 0 && len(list) == 0 {
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
	w.k.allotments.finished(w.podUID())
	if w.observed.began != 0 {
		w.podEvent(v1.EventTypeNormal, "ResizeCompleted", resizeMessage("completed", pod, w.observed.began, ""))
	}
	w.observed.began, w.observed.progress = 0, nil
	w.report()
	return 0
}

// applySizes widens the pod's group, changes the containers, and narrows the group.
func (w *worker) applySizes(ctx context.Context, pod *v1.Pod, list []growth) error {
	_, group := w.shown.get()
	limit := func() error {
		if group == "" {
			return nil
		}
		return w.limitGroup(pod, group)
	}
	if err := limit(); err != nil {
		return fmt.Errorf("limit the pod's control group: %w", err)
	}
	for _, g := range list {
		if err := w.k.runtime.Update(ctx, g.container.ID, containerspec.Resources(g.spec, w.k.config.PodPids)); err != nil {
			return fmt.Errorf("resize container %q: %w", g.spec.Name, err)
		}
		w.noteSize(g.spec.Name, g.container.ID, g.spec.Resources)
		if err := w.lookAgain(ctx, &g.container); err != nil {
			return err
		}
	}
	if err := limit(); err != nil {
		return fmt.Errorf("limit the pod's control group: %w", err)
	}
	return nil
}

// lookAgain has the sight show what a container has now.
func (w *worker) lookAgain(ctx context.Context, c *cri.Container) error {
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

// checkUsage refuses to take memory that is in use: the kernel would end processes for it.
func (w *worker) checkUsage(pod *v1.Pod, list []growth) error {
	shown, group := w.shown.get()
	var errs []error
	limit := podLimits(pod, 0).Memory
	if group != "" && lower(limit, podLimits(w.observed.running().on(pod), 0).Memory) {
		if u, err := w.k.groups.Usage(group); err != nil {
			errs = append(errs, errors.New("missing pod memory usage"))
		} else if u.Memory >= uint64(limit) {
			errs = append(errs, fmt.Errorf("attempting to set pod memory limit (%d) below current usage (%d)", limit, u.Memory))
		}
	}
	for i := range list {
		g := &list[i]
		if !g.takesMemory() {
			continue
		}
		at := slices.IndexFunc(shown, func(r running) bool { return r.ID == g.container.ID })
		if at < 0 {
			continue
		}
		limit := g.spec.Resources.Limits.Memory().Value()
		if u, err := w.k.groups.Usage(shown[at].group); err != nil {
			errs = append(errs, fmt.Errorf("missing container %q memory usage", g.spec.Name))
		} else if u.Memory >= uint64(limit) {
			errs = append(errs, fmt.Errorf("attempting to set container %q memory limit (%d) below current usage (%d)", g.spec.Name, limit, u.Memory))
		}
	}
	if len(errs) > 0 {
		return fmt.Errorf("cannot decrease memory limits: %w", utilerrors.NewAggregate(errs))
	}
	return nil
}

// resizeFailed shows what went wrong; it is tried again.
func (w *worker) resizeFailed(pod *v1.Pod, err error) {
	w.log.Warn("resize the pod", "error", err)
	if w.k.allotments.failed(w.podUID(), err.Error()) {
		w.podEvent(v1.EventTypeWarning, "ResizeError", resizeMessage("error", pod, w.observed.began, err.Error()))
	}
	w.observed.progress = &v1.PodCondition{
		Type: v1.PodResizeInProgress, Status: v1.ConditionTrue, Reason: v1.PodReasonError, Message: err.Error(), ObservedGeneration: w.observed.began,
	}
	w.report()
}

// showResize sets the conditions that tell of a resize, and takes away those of one that
// is over.
func (s *observed) showResize(status *v1.PodStatus, now time.Time) {
	for kind, c := range map[v1.PodConditionType]*v1.PodCondition{v1.PodResizePending: s.pending, v1.PodResizeInProgress: s.progress} {
		if c != nil && !podfacts.TerminalPhase(status.Phase) {
			podspec.SetCondition(status, *c, now)
			continue
		}
		status.Conditions = slices.DeleteFunc(status.Conditions, func(o v1.PodCondition) bool { return o.Type == kind })
	}
}

// resizeMessage says what happens to a pod's size, and what size it is about.
func resizeMessage(what string, pod *v1.Pod, generation int64, fault string) string {
	type container struct {
		Name      string                  `json:"name"`
		Resources v1.ResourceRequirements `json:"resources"`
	}
	of := func(list []v1.Container) (out []container) {
		for i := range list {
			out = append(out, container{list[i].Name, list[i].Resources})
		}
		return out
	}
	text, err := json.Marshal(struct {
		Init       []container `json:"initContainers,omitempty"`
		Containers []container `json:"containers,omitempty"`
		Generation int64       `json:"generation"`
		Error      string      `json:"error,omitempty"`
	}{of(pod.Spec.InitContainers), of(pod.Spec.Containers), generation, fault})
	if err != nil {
		return "Pod resize " + what
	}
	return "Pod resize " + what + ": " + string(text)
}

// resizeUnits are those in which a resource is counted to people.
func resizeUnits(name v1.ResourceName) func(resource.Quantity) int64 {
	if name == v1.ResourceCPU {
		return func(q resource.Quantity) int64 { return q.MilliValue() }
	}
	return func(q resource.Quantity) int64 { return q.Value() }
}
