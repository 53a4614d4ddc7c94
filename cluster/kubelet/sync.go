package kubelet

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"

	"wheelhouse/cluster/kubelet/cri"
	"wheelhouse/cluster/kubelet/podspec"
	"wheelhouse/cluster/kubelet/podstatus"
	"wheelhouse/cluster/kubelet/volume"
)

// sync plans the next step of a pod that shall run, and does it.
func (w *worker) sync(ctx context.Context, step *podStep) error {
	pod := step.pod
	if s := w.observed.Sandbox; s != nil && s.State == cri.Running && w.adopted != s.ID {
		if err := w.adoptSandbox(ctx, pod); err != nil {
			return err
		}
		w.adopted = s.ID
	}
	w.followHealth(pod)
	next := plan(&w.observed, time.Now())
	w.recordBackoffs(next)
	w.report()
	if len(next.kill) > 0 {
		defer w.markStale()
		if next.finished { // all containers, in their order
			return w.stopContainers(ctx, pod, podspec.GracePeriod(pod))
		}
		return w.killEach(ctx, pod, next.kill, podspec.GracePeriod(pod))
	}
	if next.finished {
		w.finished = true
		w.report()
		w.notify()
		step.again = 0
		return nil
	}
	unsized := w.resize(ctx, pod, len(next.start) > 0)
	refresh, err := w.start(ctx, pod, next)
	if len(next.start) > 0 && err == nil {
		unsized = w.resize(ctx, pod, false)
	}
	w.followHealth(pod)
	w.report()
	for _, d := range []time.Duration{next.again, refresh, unsized} {
		step.again = soonest(step.again, d)
	}
	return err
}

// recordBackoffs records the backoffs of the plan. The waiting state of a failed start
// stays until the container runs.
func (w *worker) recordBackoffs(next *step) {
	for name, state := range w.observed.Waiting {
		if c := w.observed.Latest(name); state.Reason == "CrashLoopBackOff" || c != nil && c.State == cri.Running {
			delete(w.observed.Waiting, name)
		}
	}
	for name, state := range next.waiting {
		if c := w.observed.Latest(name); c != nil {
			w.ContainerEvent(podspec.Container(w.observed.Pod, name), v1.EventTypeWarning, "BackOff",
				fmt.Sprintf("Back-off restarting failed container %s in pod %s_%s(%s)", name, w.ref.Name, w.ref.Namespace, w.ref.UID))
		}
		w.observed.Waiting[name] = state
	}
}

// start prepares volumes and sandbox in parallel, and starts what is planned. It returns
// when the volumes are due for a refresh.
func (w *worker) start(ctx context.Context, pod *v1.Pod, next *step) (time.Duration, error) {
	if len(next.start) == 0 && !next.sandbox {
		return w.refreshVolumes(ctx, pod)
	}
	if next.sandbox {
		if err := w.writeFiles(pod, ""); err != nil {
			return 0, err
		}
	}
	var wg sync.WaitGroup
	var volumeErr error
	w.refreshed = refresh{time.Now(), pod}
	needsIP := usesPodIP(pod)
	prepare := func() {
		began := time.Now()
		volumeErr = w.volumes.SetUp(ctx, pod, w.podIP(), w.k.objects)
		w.recordStep(began, volumeErr, "volumes set up")
		w.published.setVolumes(w.volumes)
	}
	if !needsIP {
		wg.Go(prepare)
	}
	var coming *startingSandbox
	var err error
	if next.sandbox {
		coming, err = w.createSandbox(ctx, pod)
	}
	if err == nil && coming != nil && needsIP {
		err = coming.wait()
	}
	if needsIP && err == nil {
		prepare()
	}
	wg.Wait()
	if err == nil && volumeErr == nil {
		err = w.startContainers(ctx, pod, next.start, coming)
	}
	if coming != nil {
		if failed := coming.wait(); failed != nil {
			err = errors.Join(&sandboxError{failed}, err)
		} else {
			w.adopted = w.observed.Sandbox.ID
		}
	} else if next.sandbox && err != nil {
		err = &sandboxError{err}
	}
	return w.startErrors(ctx, pod, volumeErr, err)
}

// sandboxError is an error of the sandbox, not of one container.
type sandboxError struct{ error }

func (e *sandboxError) Unwrap() error { return e.error }

// startErrors records events of what has failed, and returns when the next step is due.
func (w *worker) startErrors(ctx context.Context, pod *v1.Pod, volumeErr, err error) (time.Duration, error) {
	if ctx.Err() != nil {
		return 0, ctx.Err()
	}
	w.mountEvents(volumeErr)
	var sandbox *sandboxError
	if errors.As(err, &sandbox) {
		w.PodEvent(v1.EventTypeWarning, "FailedCreatePodSandBox", "Failed to create pod sandbox: "+sandbox.Error())
		// A sandbox that is not completely set up is recreated.
		if w.observed.Sandbox != nil {
			w.observed.Sandbox.State = cri.Exited
		}
		if dropErr := w.dropSandboxes(ctx); dropErr != nil {
			err = errors.Join(err, dropErr)
		}
		return 0, errors.Join(volumeErr, err)
	}
	var waiting *podstatus.WaitingError
	if errors.As(err, &waiting) && volumeErr == nil {
		return w.images.PullRetry(), nil
	}
	if err := errors.Join(volumeErr, err); err != nil {
		return 0, err
	}
	return refreshAfter(pod), nil
}

// mountEvents records an event of each volume that could not be mounted.
func (w *worker) mountEvents(err error) {
	if err == nil {
		return
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok { //nolint:errorlint // as SetUp joins them
		for _, one := range joined.Unwrap() {
			w.mountEvents(one)
		}
		return
	}
	w.PodEvent(v1.EventTypeWarning, "FailedMount", err.Error())
}

func refreshAfter(pod *v1.Pod) time.Duration {
	if volume.NeedsRefresh(pod) {
		return untilRefresh(time.Now(), time.Now())
	}
	return 0
}

// refreshVolumes updates the content of mounted volumes: after a change of the pod, for the
// downward API, and once a period. Those that an earlier kubelet has set up are so from then on.
func (w *worker) refreshVolumes(ctx context.Context, pod *v1.Pod) (time.Duration, error) {
	if !volume.NeedsRefresh(pod) && w.volumes.Complete(pod) {
		return 0, nil
	}
	wait := untilRefresh(w.refreshed.at, time.Now())
	if wait > 0 && w.refreshed.pod != nil && w.refreshed.pod.Generation == pod.Generation &&
		podspec.FormatMap(w.refreshed.pod.Labels) == podspec.FormatMap(pod.Labels) && podspec.FormatMap(w.refreshed.pod.Annotations) == podspec.FormatMap(pod.Annotations) {
		return wait, nil
	}
	w.refreshed = refresh{time.Now(), pod}
	if err := w.volumes.SetUp(ctx, pod, w.podIP(), w.k.shared); err != nil {
		w.mountEvents(err)
	}
	w.published.setVolumes(w.volumes)
	return untilRefresh(w.refreshed.at, time.Now()), nil
}

// untilRefresh is when volumes that were updated at a time are due: those of all pods at the
// same time, so that the pods share what they read; now if the clock was set back since.
func untilRefresh(last, now time.Time) time.Duration {
	wait := last.Truncate(volumeRefresh).Add(volumeRefresh).Sub(now)
	if wait > volumeRefresh {
		return 0
	}
	return wait
}

// usesPodIP reports whether the environment refers to the address of the pod, which must
// then be known before containers are created.
func usesPodIP(pod *v1.Pod) bool {
	names := func(f *v1.ObjectFieldSelector) bool {
		return f != nil && (f.FieldPath == "status.podIP" || f.FieldPath == "status.podIPs")
	}
	for _, list := range [][]v1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range list {
			for _, e := range list[i].Env {
				if e.ValueFrom != nil && names(e.ValueFrom.FieldRef) {
					return true
				}
			}
		}
	}
	return false
}
