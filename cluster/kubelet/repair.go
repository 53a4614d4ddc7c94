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

// repair is the stage that makes again what another program has removed of a pod that runs:
// its network, the limits of its control group, its files, its volumes. Each has an event.
func (w *worker) repair(ctx context.Context, step *podStep) error {
	s := w.observed.Sandbox
	if s == nil || s.State != cri.Running || w.adopted != s.ID {
		return nil
	}
	step.again = soonest(step.again, repairPeriod)
	if time.Since(w.repaired) < repairPeriod {
		return nil
	}
	w.repaired = time.Now()
	if s.Pid == 0 { // this worker has started it
		c, err := w.k.runtime.Inspect(ctx, s.ID)
		if err != nil || c.State != cri.Running {
			w.markStale()
			return err
		}
		s.Pid = c.Pid
	}
	var errs []error
	for _, part := range []func(context.Context, *v1.Pod, int) (string, error){w.repairNetwork, w.repairLimits, w.repairFiles, w.repairVolumes} {
		what, err := part(ctx, step.pod, s.Pid)
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
	if err != nil || !changed {
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

func (w *worker) repairVolumes(ctx context.Context, pod *v1.Pod, _ int) (string, error) {
	missing, err := w.volumes.Missing()
	if err != nil || len(missing) == 0 {
		return "", err
	}
	if err := w.volumes.SetUpAgain(ctx, pod, w.podIP(), w.k.shared, missing); err != nil {
		w.mountEvents(err)
		return "", err
	}
	return "volumes (" + strings.Join(missing, ", ") + ")", nil
}
