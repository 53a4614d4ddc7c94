package kubelet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"

	"wheelhouse/cluster/api/podfacts"
	"wheelhouse/cluster/kubelet/cri"
	"wheelhouse/cluster/kubelet/nodefs"
	"wheelhouse/cluster/kubelet/podspec"
	"wheelhouse/cluster/kubelet/probe"
	"wheelhouse/cluster/kubelet/source"
	"wheelhouse/cluster/kubelet/withdrawal"
)

const (
	minimumGrace = 2 * time.Second // after a preStop hook that took all the time
	removedGrace = 1               // seconds, for a pod that the API server has dropped already
)

// terminate stops the containers within their grace period, then removes network, volumes and
// directory, and last the object, so that its name stays taken while anything of the pod is
// left. It returns whether all is done.
func (w *worker) terminate(ctx context.Context, pod *v1.Pod, removed bool) (bool, error) {
	w.probes.StopLiveness()
	grace := podspec.GracePeriod(pod)
	if removed {
		grace = min(grace, removedGrace)
	}
	if err := w.stopContainers(ctx, pod, grace); err != nil {
		return false, err
	}
	if err := w.observe(ctx); err != nil {
		return false, err
	}
	w.finished = true
	if !removed {
		w.report()
	}
	// The sandbox comes last: with it the pod's control group goes.
	for _, list := range w.observed.Containers {
		for _, c := range list {
			if err := w.k.runtime.Remove(ctx, c.ID); err != nil {
				return false, err
			}
		}
	}
	if err := w.dropSandboxes(ctx); err != nil {
		return false, err
	}
	if err := w.removeGroups(ctx); err != nil {
		return false, err
	}
	if err := nodefs.UnmountAndRemove(w.dir); err != nil {
		return false, fmt.Errorf("remove the pod's directory: %w", err)
	}
	if removed || podspec.IsStatic(pod) { // whose mirror goes when the worker has gone
		return true, nil
	}
	if err := w.reporter.flush(ctx); err != nil {
		return false, err
	}
	return true, source.Delete(ctx, w.k.config.Client, w.ref)
}

// retire removes what a finished pod does not need: its sandbox and volumes.
// Its dead containers stay for their logs until the pod is deleted.
func (w *worker) retire(ctx context.Context, pod *v1.Pod) error {
	w.finished = true
	w.probes.StopAll()
	if err := w.stopContainers(ctx, pod, podspec.GracePeriod(pod)); err != nil {
		return err
	}
	if err := w.observe(ctx); err != nil {
		return err
	}
	w.report()
	if s := w.observed.Sandbox; s != nil && s.State == cri.Running {
		if err := w.k.runtime.Stop(ctx, s.ID, 0); err != nil {
			return err
		}
		s.State = cri.Exited
	}
	if err := w.closeHostPorts(ctx, pod); err != nil {
		return err
	}
	if err := w.network.Detach(ctx, w.ref.UID); err != nil {
		return err
	}
	if err := w.volumes.TearDown(); err != nil {
		return err
	}
	w.mu.Lock()
	w.retired = true
	w.mu.Unlock()
	w.report()
	return nil
}

// stopContainers stops all running containers: in parallel, but the sidecars after the
// others, and each sidecar after those that were started after it.
func (w *worker) stopContainers(ctx context.Context, pod *v1.Pod, grace int64) error {
	var list []killing
	var ended []<-chan struct{} // of those in the list
	for name, have := range w.observed.Containers {
		if spec := podspec.Container(pod, name); spec != nil && podfacts.Sidecar(spec) {
			continue
		}
		list, ended = stopping(have, nil, list, ended)
	}
	for i := len(pod.Spec.InitContainers) - 1; i >= 0; i-- {
		if spec := &pod.Spec.InitContainers[i]; podfacts.Sidecar(spec) {
			list, ended = stopping(w.observed.Containers[spec.Name], ended, list, ended)
		}
	}
	return w.killEach(ctx, pod, list, grace)
}

// stopping adds the running ones of have, which stop after those of after.
func stopping(have []cri.Container, after []<-chan struct{}, list []killing, ended []<-chan struct{}) ([]killing, []<-chan struct{}) {
	for _, c := range have {
		if c.State == cri.Running {
			done := make(chan struct{})
			list = append(list, killing{container: c, after: after, done: done})
			ended = append(slices.Clip(ended), done)
		}
	}
	return list, ended
}

func (w *worker) killEach(ctx context.Context, pod *v1.Pod, list []killing, grace int64) error {
	errs := make([]error, len(list))
	var wg sync.WaitGroup
	for i, k := range list {
		own := grace
		if k.grace != nil {
			own = *k.grace
		}
		wg.Go(func() {
			errs[i] = w.kill(ctx, pod, k, own)
			w.probes.Stop(k.container.ID)
			if k.done != nil {
				close(k.done)
			}
		})
	}
	killed := make(chan struct{})
	meanwhile, cancel := context.WithCancel(ctx) // a repair must not outlast the containers
	go func() {
		defer close(killed)
		defer cancel()
		wg.Wait()
	}()
	period := time.NewTicker(repairPeriod)
	defer period.Stop()
	for woken := false; ; {
		select {
		case <-period.C:
			w.repairMeanwhile(meanwhile, pod)
		case <-killed:
			if woken { // there may be more to it
				w.notify()
			}
			return errors.Join(errs...)
		case <-w.wake:
			woken = true
			w.report() // one of them may have become unready
		}
	}
}

// kill stops one container: its preStop hook, its endpoints' withdrawal, its turn, SIGTERM, and
// what is left of the grace period until SIGKILL.
func (w *worker) kill(ctx context.Context, pod *v1.Pod, k killing, grace int64) error {
	spec := podspec.Container(pod, k.container.Name)
	if spec == nil { // a pod of which only labels are left
		spec = &v1.Container{Name: k.container.Name}
	}
	message := cmp.Or(k.message, "Stopping container "+spec.Name)
	w.ContainerEvent(spec, v1.EventTypeNormal, "Killing", message)
	left := time.Duration(grace) * time.Second
	withdrawn := withdrawal.Begin(ctx, pod, w.k.informers.Services(), w.k.config.EndpointSlices, left)
	if spec.Lifecycle != nil && spec.Lifecycle.PreStop != nil && left > 0 {
		start := time.Now()
		hookCtx, cancel := context.WithTimeout(ctx, left)
		err := probe.RunHandler(hookCtx, w.k.runtime, spec.Lifecycle.PreStop, probe.Target{ID: k.container.ID, Container: spec, PodIP: w.podIP()}, w.PodEvent)
		cancel()
		if err != nil && ctx.Err() == nil {
			w.ContainerEvent(spec, v1.EventTypeWarning, "FailedPreStopHook", "PreStopHook failed: "+err.Error())
		}
		left = max(left-time.Since(start), minimumGrace)
	}
	start := time.Now()
	<-withdrawn
	left = max(left-time.Since(start), 0) // the engine has no limit for a negative time
	if len(k.after) > 0 && left > 0 {
		start := time.Now()
		awaitTurn(ctx, k.after, left)
		left = max(left-time.Since(start), minimumGrace)
	}
	return w.k.runtime.Stop(ctx, k.container.ID, left)
}

// awaitTurn waits until the others have terminated, at most for limit.
func awaitTurn(ctx context.Context, others []<-chan struct{}, limit time.Duration) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for _, o := range others {
		select {
		case <-o:
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		}
	}
}
