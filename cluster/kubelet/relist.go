package kubelet

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
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

// followRuntime wakes the workers by the runtime's events, and all of them when
// the stream is new: something may have happened before.
func (k *Kubelet) followRuntime(ctx context.Context) {
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
			k.watched = true
			for _, w := range k.workers {
				w.markStale()
				w.notifyNow()
			}
		})
		k.mu.Lock()
		k.watched = false
		k.mu.Unlock()
		if ctx.Err() != nil {
			return
		}
		k.log.Warn("the runtime's events have stopped", "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(watchRetry):
		}
	}
}

// housekeeping is the net under the events: it relists, and clears away what
// belongs to pods that do not exist any more.
func (k *Kubelet) housekeeping(ctx context.Context) {
	wait := 100 * time.Millisecond // until the pods are known
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		if !k.informers.synced() {
			continue
		}
		wait = relistPeriod
		if err := k.relist(ctx); err != nil && ctx.Err() == nil {
			k.log.Warn("look for what the runtime's events did not tell", "error", err)
			wait = watchRetry
		}
	}
}

// relist compares what the runtime has with what the workers know, and wakes those that
// know something else.
func (k *Kubelet) relist(ctx context.Context) error {
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
		if w.shown.differs(states[uid]) {
			w.markStale()
		}
	}
	k.mu.Unlock()
	return errors.Join(k.clearOrphans(all), k.removeDead(ctx, all, k.config.GC.DeadContainers))
}

// clearOrphans starts a worker for each pod that has containers or a folder here
// but no object at the API server; it ends what is left.
func (k *Kubelet) clearOrphans(all []cri.Container) error {
	orphans := map[types.UID]*v1.Pod{}
	for _, c := range all {
		pod := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: c.Pod.Namespace, Name: c.Pod.Name, UID: types.UID(c.Pod.UID)}}
		if grace, err := strconv.ParseInt(c.Labels[labelGrace], 10, 64); err == nil {
			pod.Spec.TerminationGracePeriodSeconds = &grace
		}
		orphans[pod.UID] = pod
	}
	folders, err := os.ReadDir(k.podsDir())
	if err != nil {
		return err
	}
	for _, f := range folders {
		if uid := types.UID(f.Name()); orphans[uid] == nil {
			orphans[uid] = &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: filepath.Base(f.Name()), UID: uid}}
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
