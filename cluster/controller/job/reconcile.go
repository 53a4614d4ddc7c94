package job

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"

	batch "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"wheelhouse/cluster/controller/loop"
	"wheelhouse/cluster/controller/replication"
)

// reconcile brings one job nearer to its end, and counts its pods.
func (c *Controller) reconcile(ctx context.Context, key string) error {
	namespace, name := loop.Split(key)
	j, err := c.jobs.Jobs(namespace).Get(name)
	if apierrors.IsNotFound(err) {
		return c.gone(ctx, key)
	}
	if err != nil {
		return err
	}
	switch {
	case c.behind(key, j):
		return nil // the job's event wakes it
	case j.Spec.ManagedBy != nil && *j.Spec.ManagedBy != managedByUs:
		return nil
	}
	settled := c.expect.Met(key)
	pods, err := c.claim(ctx, j)
	if err != nil {
		return err
	}
	if finished(j) {
		return c.free(ctx, slices.DeleteFunc(pods, func(p *v1.Pod) bool { return !tracked(p) }))
	}
	s := newState(j, pods, settled, c.now())
	d := s.decide()
	if d.wait > 0 {
		c.AddAfter(key, d.wait)
	}
	active, ready, failed := c.apply(ctx, key, s, &d)
	next, free := s.track(&d, active, ready)
	if err := c.writeStatus(ctx, key, j, next); err != nil {
		return errors.Join(failed, err)
	}
	return errors.Join(failed, c.free(ctx, free))
}

// claim gives the job's pods, adopting and releasing on the way.
func (c *Controller) claim(ctx context.Context, j *batch.Job) ([]*v1.Pod, error) {
	selector, err := metav1.LabelSelectorAsSelector(j.Spec.Selector)
	if err != nil {
		return nil, fmt.Errorf("selector: %w", err)
	}
	all, err := c.pods.Pods(j.Namespace).List(labels.Everything())
	if err != nil {
		return nil, fmt.Errorf("list pods: %w", err)
	}
	// Pods of an earlier job of the name are waited for by nobody else.
	if err := c.free(ctx, heldFor(j.Name, all, func(uid types.UID) bool { return uid != j.UID })); err != nil {
		return nil, err
	}
	return replication.Claim(ctx, &replication.Owner{
		Object: j, Kind: kind, Selector: selector, Finalizer: batch.JobTrackingFinalizer, Patch: replication.PatchPods(c.client),
		May: func(metav1.Object) bool { return !finished(j) },
		Live: func(ctx context.Context) (metav1.Object, error) {
			return c.client.BatchV1().Jobs(j.Namespace).Get(ctx, j.Name, metav1.GetOptions{})
		},
	}, all)
}

// apply creates and deletes pods, and says how many are active and ready then. Pods
// of a job that ends count as failed, and keep their finalizer for that. Those that
// are merely too many do not count: they lose it before they are deleted.
func (c *Controller) apply(ctx context.Context, key string, s *state, d *decision) (active, ready int, err error) {
	active, ready = len(s.active), s.ready
	if len(d.create) == 0 && len(d.delete) == 0 {
		return active, ready, nil
	}
	c.expect.Expect(key, len(d.create), replication.UIDs(d.delete))
	pods := replication.Pods{Client: c.client, Recorder: c.recorder}
	made, failed := replication.SlowStart(len(d.create), func(i int) error {
		return pods.Create(ctx, s.job, podFor(s.job, d.create[i]))
	})
	c.expect.Created(key, len(d.create)-made)
	if apierrors.HasStatusCause(failed, v1.NamespaceTerminatingCause) {
		failed = nil
	}
	deleted, gone := replication.Together(len(d.delete), func(i int) error {
		var err error
		if d.end == nil && tracked(d.delete[i]) {
			err = c.free(ctx, d.delete[i:i+1])
		}
		if err == nil {
			err = pods.Delete(ctx, s.job, d.delete[i])
		}
		if err != nil {
			c.expect.Deleted(key, d.delete[i].UID)
		}
		if apierrors.IsNotFound(err) {
			return nil
		}
		return err
	})
	active += made - deleted
	return active, min(ready, active), errors.Join(failed, gone)
}

// writeStatus writes the status if it changed, and tells what is new in it.
func (c *Controller) writeStatus(ctx context.Context, key string, j *batch.Job, next *batch.JobStatus) error {
	if equality.Semantic.DeepEqual(next, &j.Status) {
		return nil
	}
	update := j.DeepCopy()
	update.Status = *next
	made, err := c.client.BatchV1().Jobs(j.Namespace).UpdateStatus(ctx, update, metav1.UpdateOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.written[key] = made.ResourceVersion
	c.mu.Unlock()
	c.tell(j, next)
	return nil
}

// behind says whether the cache does not show our own last write yet.
func (c *Controller) behind(key string, j *batch.Job) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	last, err1 := strconv.ParseUint(c.written[key], 10, 64)
	is, err2 := strconv.ParseUint(j.ResourceVersion, 10, 64)
	return err1 == nil && err2 == nil && is < last
}

func (c *Controller) tell(j *batch.Job, next *batch.JobStatus) {
	for _, cond := range next.Conditions {
		was := slices.IndexFunc(j.Status.Conditions, func(o batch.JobCondition) bool { return o.Type == cond.Type })
		if was >= 0 && j.Status.Conditions[was].Status == cond.Status {
			continue
		}
		switch {
		case cond.Type == batch.JobSuspended && cond.Status == v1.ConditionTrue:
			c.recorder.Event(j, v1.EventTypeNormal, "Suspended", cond.Message)
		case cond.Type == batch.JobSuspended:
			c.recorder.Event(j, v1.EventTypeNormal, "Resumed", cond.Message)
		case cond.Type == batch.JobComplete:
			if n := j.Spec.Completions; n != nil && next.Succeeded > *n {
				c.recorder.Event(j, v1.EventTypeWarning, "TooManySucceededPods", "Too many succeeded pods running after completion count reached")
			}
			c.recorder.Event(j, v1.EventTypeNormal, "Completed", "Job completed")
		case cond.Type == batch.JobFailed:
			c.recorder.Event(j, v1.EventTypeWarning, cond.Reason, cond.Message)
		}
	}
}

// free takes our finalizer from pods.
func (c *Controller) free(ctx context.Context, pods []*v1.Pod) error {
	_, err := replication.Together(len(pods), func(i int) error {
		patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
			"uid":                                 pods[i].UID,
			"$deleteFromPrimitiveList/finalizers": []string{batch.JobTrackingFinalizer},
		}})
		if err != nil {
			return err
		}
		_, err = c.client.CoreV1().Pods(pods[i].Namespace).Patch(ctx, pods[i].Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{})
		if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
			return fmt.Errorf("let pod %s go: %w", pods[i].Name, err)
		}
		return nil
	})
	return err
}

// gone lets the pods of a job that is no more go.
func (c *Controller) gone(ctx context.Context, key string) error {
	c.expect.Forget(key)
	c.mu.Lock()
	delete(c.written, key)
	c.mu.Unlock()
	namespace, name := loop.Split(key)
	all, err := c.pods.Pods(namespace).List(labels.Everything())
	if err != nil {
		return fmt.Errorf("list pods: %w", err)
	}
	for _, p := range all {
		if metav1.GetControllerOfNoCopy(p) == nil && tracked(p) {
			c.orphan(p) // it was the job's, perhaps
		}
	}
	mine := heldFor(name, all, func(types.UID) bool { return true })
	if len(mine) == 0 {
		return nil
	}
	// The cache may have the pods of a new job before the job.
	_, err = c.client.BatchV1().Jobs(namespace).Get(ctx, name, metav1.GetOptions{})
	if !apierrors.IsNotFound(err) {
		return err
	}
	return c.free(ctx, mine)
}

// heldFor are the pods with our finalizer that a job of that name controls.
func heldFor(name string, all []*v1.Pod, uid func(types.UID) bool) (out []*v1.Pod) {
	for _, p := range all {
		ref := metav1.GetControllerOfNoCopy(p)
		if tracked(p) && ref != nil && ref.Kind == kind.Kind && ref.APIVersion == kind.GroupVersion().String() && ref.Name == name && uid(ref.UID) {
			out = append(out, p)
		}
	}
	return out
}

// release lets a pod go that nobody controls and no job wants.
func (c *Controller) release(ctx context.Context, key string) error {
	namespace, name := loop.Split(key)
	p, err := c.pods.Pods(namespace).Get(name)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if metav1.GetControllerOfNoCopy(p) != nil || !tracked(p) {
		return nil
	}
	return c.free(ctx, []*v1.Pod{p})
}
