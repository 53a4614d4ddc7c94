package kubelet

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

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
		if !r.k.informers.synced() {
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
	k := r.k
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

// terminateOrphans starts a worker for each pod that has containers or a directory here but
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
	k.mu.Lock()
	defer k.mu.Unlock()
	for uid, pod := range orphans {
		if k.workers[uid] == nil && !k.informers.has(string(uid)) {
			k.startWorker(pod, true)
		}
	}
	return nil
}
