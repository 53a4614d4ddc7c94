package kubelet

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"wheelhouse/cluster/api/podfacts"
	"wheelhouse/cluster/kubelet/cri"
)

const (
	relistPeriod = time.Minute
	watchRetry   = time.Second
)

// runtimeFollower notifies the workers of what changes in the runtime.
type runtimeFollower struct {
	k        *Kubelet
	watching atomic.Bool
	relisted atomic.Int64 // start of the last relist, unix nanoseconds
}

// Watching reports whether the events of the runtime are followed.
func (r *runtimeFollower) Watching() bool { return r.watching.Load() }

// run notifies a worker of each event, and all workers when the stream is opened, as events
// may have been missed before.
func (r *runtimeFollower) run(ctx context.Context) {
	k := r.k
	for ctx.Err() == nil {
		err := k.runtime.Watch(ctx, func(e cri.Event) {
			k.mu.Lock()
			defer k.mu.Unlock()
			if e.PodUID != "" {
				if w := k.workers[types.UID(e.PodUID)]; w != nil {
					w.observeEvent(e)
				}
				return
			}
			r.watching.Store(true)
			for _, w := range k.workers {
				w.markStale()
				w.notifyNow()
			}
		})
		r.watching.Store(false)
		if ctx.Err() != nil {
			return
		}
		k.log.Warn("the stream of runtime events has ended", "err", err)
		select {
		case <-ctx.Done():
		case <-time.After(watchRetry):
		}
	}
}

// relistLoop relists once a period, for events that were lost, and cleans up after pods that
// do not exist any more.
func (r *runtimeFollower) relistLoop(ctx context.Context) {
	wait := 100 * time.Millisecond // until the pods are known
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		if !r.k.informers.Synced() {
			continue
		}
		wait = relistPeriod
		if err := r.relist(ctx); err != nil && ctx.Err() == nil {
			r.k.log.Warn("relist the containers", "err", err)
			wait = watchRetry
		}
	}
}

// relist compares what the runtime has with what the workers have published, and notifies
// those that differ.
func (r *runtimeFollower) relist(ctx context.Context) error {
	k, start := r.k, time.Now()
	defer func() { relistDuration.Observe(time.Since(start).Seconds()) }()
	if before := r.relisted.Swap(start.UnixNano()); before != 0 {
		relistInterval.Observe(start.Sub(time.Unix(0, before)).Seconds())
	}
	all, err := k.runtime.Glance(ctx)
	if err != nil {
		return err
	}
	states := map[types.UID]map[string]cri.State{}
	for _, c := range all {
		uid := types.UID(c.Pod.UID)
		if states[uid] == nil {
			states[uid] = map[string]cri.State{}
		}
		states[uid][c.ID] = c.State
	}
	k.mu.Lock()
	for uid, w := range k.workers {
		if w.published.differs(states[uid]) {
			w.markStale()
		}
	}
	k.mu.Unlock()
	return errors.Join(r.terminateOrphans(all), k.removeDead(ctx, all, k.config.GC.DeadContainers))
}

// terminateOrphans starts a worker for each pod that has containers, a directory or a control group here but
// no object at the API server. The worker removes what is left.
func (r *runtimeFollower) terminateOrphans(all []cri.Container) error {
	k := r.k
	orphans := map[types.UID]*v1.Pod{}
	for _, c := range all {
		pod := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: c.Pod.Namespace, Name: c.Pod.Name, UID: types.UID(c.Pod.UID)}}
		if grace, err := strconv.ParseInt(c.Labels[labelGrace], 10, 64); err == nil {
			pod.Spec.TerminationGracePeriodSeconds = &grace
		}
		orphans[pod.UID] = pod
	}
	dirs, err := os.ReadDir(k.podsDir())
	if err != nil {
		return err
	}
	for _, d := range dirs {
		if uid := types.UID(d.Name()); orphans[uid] == nil {
			orphans[uid] = &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: filepath.Base(d.Name()), UID: uid}}
		}
	}
	for uid := range k.podGroups() {
		if orphans[uid] == nil {
			orphans[uid] = &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: string(uid), UID: uid}}
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for uid, pod := range orphans {
		if k.workers[uid] == nil && !k.informers.Has(string(uid)) {
			k.startWorker(pod, true)
		}
	}
	return nil
}

// collecting is the kubelet as the garbage collection of images uses it: it implements
// images.Node.
type collecting struct{ *Kubelet }

// ImagesChanged implements images.Node.
func (k collecting) ImagesChanged() { k.node.ImagesChanged() }

// ImagesInUse implements images.Node.
func (k collecting) ImagesInUse() (map[string]bool, bool) {
	out := map[string]bool{}
	for _, w := range k.allWorkers() {
		pod := w.latest()
		if podfacts.Terminal(pod) {
			continue
		}
		for i := range pod.Spec.InitContainers {
			out[pod.Spec.InitContainers[i].Image] = true
		}
		for i := range pod.Spec.Containers {
			out[pod.Spec.Containers[i].Image] = true
		}
		for i := range pod.Spec.Volumes {
			if v := pod.Spec.Volumes[i].Image; v != nil {
				out[v.Reference] = true
			}
		}
		for i := range pod.Spec.EphemeralContainers {
			out[pod.Spec.EphemeralContainers[i].Image] = true
		}
	}
	return out, k.informers.Synced()
}

// removeDead removes the dead containers of terminated pods, the oldest first, until so many
// are left. Those of other pods belong to their workers: a restart counts from them.
func (k *Kubelet) removeDead(ctx context.Context, all []cri.Container, keep int) error {
	if keep < 0 {
		return nil
	}
	ended := map[string]bool{}
	for _, w := range k.allWorkers() {
		w.mu.Lock()
		ended[w.ref.UID] = podfacts.Terminal(w.pod)
		w.mu.Unlock()
	}
	all = slices.DeleteFunc(slices.Clone(all), func(c cri.Container) bool { return c.State != cri.Exited || !ended[c.Pod.UID] })
	slices.SortStableFunc(all, func(a, b cri.Container) int { return a.CreatedAt.Compare(b.CreatedAt) })
	var errs []error
	for _, c := range all[:max(0, len(all)-keep)] {
		errs = append(errs, k.runtime.Remove(ctx, c.ID))
	}
	return errors.Join(errs...)
}
