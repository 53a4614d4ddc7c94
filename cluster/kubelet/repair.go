package kubelet

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"

	"wheelhouse/cluster/kubelet/cri"
)

// repairPeriod is how often what the kubelet has made for a pod is checked and made again.
// Containers and sandboxes are not part of it: events of the runtime report their end.
const repairPeriod = 5 * time.Second

// repair is the stage that makes again what another program has removed of a pod that runs.
func (w *worker) repair(ctx context.Context, step *podStep) error {
	if !w.repairable() {
		return nil
	}
	step.again = soonest(step.again, repairPeriod)
	if time.Since(w.repaired) < repairPeriod {
		return nil
	}
	return w.repairPod(ctx, step.pod)
}

// repairWhile repairs the pod while work runs, which may take long: a pull, a hook. The work uses nothing that only the
// worker's goroutine may use.
func (w *worker) repairWhile(ctx context.Context, pod *v1.Pod, work func()) {
	done := make(chan struct{})
	ctx, cancel := context.WithCancel(ctx) // a repair must not outlast the work
	go func() {
		defer close(done)
		defer cancel()
		work()
	}()
	period := time.NewTicker(repairPeriod)
	defer period.Stop()
	for {
		select {
		case <-done:
			return
		case <-period.C:
			w.repairMeanwhile(ctx, pod)
		}
	}
}

// repairMeanwhile repairs the pod during a step, or between two attempts of one that fails. What the worker has of the
// sandbox may be out of date, so the runtime is asked; and the pod may not have its allocated size yet.
func (w *worker) repairMeanwhile(ctx context.Context, pod *v1.Pod) {
	if ctx.Err() != nil || !w.repairable() || time.Since(w.repaired) < repairPeriod/2 {
		return
	}
	w.observed.Sandbox.Pid = 0
	if err := w.repairPod(ctx, w.k.allocations.Allocated(pod)); err != nil && ctx.Err() == nil {
		w.log.Warn("pod not repaired", "err", err)
	}
}

// repairable reports whether the pod has a sandbox that runs, with its network.
func (w *worker) repairable() bool {
	s := w.observed.Sandbox
	return s != nil && s.State == cri.Running && w.adopted == s.ID
}

// repairPod makes again what another program has removed of the pod: its network, the limits of its control group and of its
// containers', its files, its volumes. Each has an event. What containers may write to, such as the content of /etc/hosts, stays as it is.
func (w *worker) repairPod(ctx context.Context, pod *v1.Pod) error {
	w.repaired = time.Now()
	s := w.observed.Sandbox
	if s.Pid == 0 { // this worker has started it, or it may have changed
		c, err := w.k.runtime.Inspect(ctx, s.ID)
		if err != nil || c.State != cri.Running {
			w.markStale()
			return err
		}
		s.Pid = c.Pid
	}
	var errs []error
	parts := []func(context.Context, *v1.Pod, int) (string, error){w.repairNetwork, w.repairLimits, w.repairContainerLimits, w.repairFiles, w.repairVolumes}
	for _, part := range parts {
		what, err := part(ctx, pod, s.Pid)
		if err != nil && ctx.Err() == nil {
			errs = append(errs, fmt.Errorf("repair the pod: %w", err))
		} else if what != "" {
			w.PodEvent(v1.EventTypeWarning, "Repaired", "Another program has removed or changed "+what+" of the pod, which the kubelet has made again")
		}
	}
	return errors.Join(errs...)
}

func (w *worker) repairNetwork(ctx context.Context, pod *v1.Pod, pid int) (string, error) {
	ip, err := netip.ParseAddr(w.podIP())
	if pod.Spec.HostNetwork || err != nil {
		return "", nil //nolint:nilerr // it has no address of its own
	}
	what, err := w.network.Missing(ctx, w.ref.UID, pid, ip)
	if err != nil || what == "" {
		return "", err
	}
	_, err = w.network.Attach(ctx, w.ref.UID, pid, ip)
	return what, err
}

func (w *worker) repairLimits(ctx context.Context, pod *v1.Pod, pid int) (string, error) {
	changed, err := w.limitGroups(ctx, pod, pid)
	// During a resize the limits are others than before by the kubelet's own work.
	if size := &w.observed.size; err != nil || !changed || size.Began != 0 || len(size.Changes(&w.observed.Observed)) > 0 {
		return "", err
	}
	return "the limits of the control group", nil
}

func (w *worker) repairFiles(_ context.Context, pod *v1.Pod, _ int) (string, error) {
	for _, name := range podFiles {
		if _, err := os.Stat(w.file(name)); errors.Is(err, os.ErrNotExist) {
			return "files in the directory", w.writeFiles(pod, w.podIP())
		}
	}
	return "", nil
}

// repairVolumes sets up again what is missing. What cannot be set up, such as the directory of another program that is gone,
// is tried once in volumeRefresh, and does not keep the pod from its next step. A pod that ends needs no volumes.
func (w *worker) repairVolumes(ctx context.Context, pod *v1.Pod, _ int) (string, error) {
	if pod.DeletionTimestamp != nil || w.finished {
		return "", nil
	}
	missing, failed, err := w.volumes.Missing()
	if err != nil {
		return "", err
	}
	if time.Since(w.volumesFailed) >= volumeRefresh {
		missing = append(missing, failed...)
	}
	if len(missing) == 0 {
		return "", nil
	}
	if err := w.volumes.SetUpAgain(ctx, pod, w.podIP(), w.k.shared, missing); err != nil {
		w.volumesFailed = time.Now()
		if ctx.Err() == nil {
			w.mountEvents(err)
		}
		return "", nil //nolint:nilerr // the events have it
	}
	return "volumes (" + strings.Join(missing, ", ") + ")", nil
}
