package kubelet

import (
	"context"
	"errors"
	"os"
	"time"

	v1 "k8s.io/api/core/v1"

	"wheelhouse/cluster/kubelet/cri"
	"wheelhouse/cluster/kubelet/podspec"
	"wheelhouse/cluster/kubelet/podstatus"
	"wheelhouse/cluster/kubelet/probe"
)

// startContainers starts containers in order. One that cannot be started holds
// up only itself; an init container is alone in the list.
func (w *worker) startContainers(ctx context.Context, pod *v1.Pod, list []containerStart, coming *startingSandbox) error {
	var errs []error
	for _, st := range list {
		err := w.startContainer(ctx, pod, st, coming)
		if err == nil {
			delete(w.observed.Waiting, st.container.Name)
			continue
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		errs = append(errs, err)
		var waiting *podstatus.WaitingError
		if !errors.As(err, &waiting) {
			continue
		}
		w.observed.Waiting[st.container.Name] = v1.ContainerStateWaiting{Reason: waiting.Reason, Message: waiting.Error()}
		if waiting.Reason == "CreateContainerConfigError" || waiting.Reason == "CreateContainerError" {
			w.ContainerEvent(st.container, v1.EventTypeWarning, "Failed", "Error: "+waiting.Error())
		}
	}
	return errors.Join(errs...)
}

// startContainer takes one container from its image to its postStart hook.
func (w *worker) startContainer(ctx context.Context, pod *v1.Pod, st containerStart, coming *startingSandbox) error {
	c := st.container
	if err := w.permit(pod, c); err != nil {
		return err
	}
	if err := w.imageVolumes(ctx, pod, c); err != nil {
		return err
	}
	began := time.Now()
	var image cri.Image
	var err error
	w.repairWhile(ctx, pod, func() { image, err = w.images.Image(ctx, pod, c) })
	w.recordStep(began, err, "image of container "+c.Name+" is present")
	if err != nil {
		return err
	}
	last := w.observed.Latest(c.Name)
	spec, err := w.containerSpec(ctx, pod, st, image)
	if err != nil {
		return err
	}
	began = time.Now()
	id, err := w.k.runtime.Create(ctx, spec)
	w.recordStep(began, err, "container "+c.Name+" created")
	if err != nil {
		return podstatus.NewWaitingError("CreateContainerError", err)
	}
	w.selfStarted.add(id)
	w.ContainerEvent(c, v1.EventTypeNormal, "Created", "Created container: "+c.Name)
	if coming != nil {
		if err := coming.wait(); err != nil {
			return err
		}
		w.adopted = w.observed.Sandbox.ID
	}
	if last != nil && last.State == cri.Exited && w.observed.backsOff(last) {
		b := w.observed.backoff[c.Name]
		if b == nil {
			b = &backoff{}
			w.observed.backoff[c.Name] = b
		}
		b.restarted(last.Finished, time.Now())
	}
	began = time.Now()
	startErr := w.k.runtime.Start(ctx, id)
	w.recordStep(began, startErr, "container "+c.Name+" started")
	if startErr != nil {
		w.ContainerEvent(c, v1.EventTypeWarning, "Failed", "Error: failed to start container "+c.Name+": "+startErr.Error())
	}
	seen, err := w.k.runtime.Inspect(ctx, id)
	if err != nil {
		return errors.Join(startErr, err)
	}
	if seen.State == cri.Created { // the start did not even leave a trace
		return errors.Join(startErr, w.k.runtime.Remove(ctx, id))
	}
	w.prune(ctx, c.Name, st.attempt)
	if seen.State == cri.Exited && startErr == nil { // it has terminated already
		w.recordTerminationMessage(ctx, seen)
	}
	w.observed.Containers[c.Name] = append(w.observed.Containers[c.Name], seen)
	w.recordSize(c.Name, id, c.Resources)
	if startErr != nil {
		w.observed.Messages[id] = startErr.Error()
		w.markStale()
		return nil //nolint:nilerr // it has terminated at once: the plan backs off
	}
	w.ContainerEvent(c, v1.EventTypeNormal, "Started", "Started container "+c.Name)
	return w.postStart(ctx, pod, c, seen)
}

// imageVolumes sets up the image volumes of a container, each pulled by its pull policy.
func (w *worker) imageVolumes(ctx context.Context, pod *v1.Pod, c *v1.Container) error {
	var errs []error
	for _, v := range w.volumes.PendingImages(pod, c) {
		wanted := &v1.Container{Image: v.Image.Reference, ImagePullPolicy: v.Image.PullPolicy}
		var err error
		w.repairWhile(ctx, pod, func() { _, err = w.images.Fetch(ctx, pod, "volume "+v.Name, wanted, w.PodEvent) })
		if err != nil {
			errs = append(errs, err)
		} else if err := w.volumes.SetUpImage(ctx, v); err != nil {
			errs = append(errs, podstatus.NewWaitingError("CreateContainerError", err))
		}
	}
	return errors.Join(errs...)
}

// prune removes the containers before the last dead one, which keeps the log for
// `logs --previous`.
func (w *worker) prune(ctx context.Context, name string, attempt int) {
	var keep []cri.Container
	for _, c := range w.observed.Containers[name] {
		if c.Attempt >= attempt-1 && c.Attempt != attempt {
			keep = append(keep, c)
			continue
		}
		if err := w.k.runtime.Remove(ctx, c.ID); err != nil {
			w.log.Warn("remove a dead container", "container", c.ID, "err", err)
		}
		delete(w.observed.Messages, c.ID)
		delete(w.hooked, c.ID)
		if c.Attempt != attempt { // a container that was never started has left its number
			_ = os.Remove(w.messagePath(name, c.Attempt))
		}
	}
	w.observed.Containers[name] = keep
}

// postStart runs the container's hook; where it fails the container is killed.
func (w *worker) postStart(ctx context.Context, pod *v1.Pod, c *v1.Container, seen cri.Container) error {
	if c.Lifecycle == nil || c.Lifecycle.PostStart == nil {
		return nil
	}
	w.hooked[seen.ID] = true
	w.followHealth(pod)
	w.report()
	target := probe.Target{ID: seen.ID, Container: c, PodIP: w.podIP()}
	var err error
	w.repairWhile(ctx, pod, func() { err = probe.RunHandler(ctx, w.k.runtime, c.Lifecycle.PostStart, target, w.PodEvent) })
	if err == nil || ctx.Err() != nil {
		delete(w.hooked, seen.ID)
		return ctx.Err()
	}
	w.ContainerEvent(c, v1.EventTypeWarning, "FailedPostStartHook", "PostStartHook failed: "+err.Error())
	err = w.kill(ctx, pod, killing{container: seen, message: "FailedPostStartHook"}, podspec.GracePeriod(pod))
	w.markStale()
	return err
}
