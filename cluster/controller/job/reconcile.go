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
	"wheelhouse/cluster/controller/podcontrol"
)

// reconcile creates and deletes pods of one job, and counts those that are terminal.
func (c *Controller) reconcile(ctx context.Context, key string) error {
	namespace, name := loop.Split(key)
	j, err := c.jobs.Jobs(namespace).Get(name)
	if apierrors.IsNotFound(err) {
		return c.deleted(ctx, key)
	}
	if err != nil {
		return err
	}
	switch {
	case c.behind(key, j):
		return nil // the job's event enqueues it
	case j.Spec.ManagedBy != nil && *j.Spec.ManagedBy != controllerName:
		return nil
	}
	met := c.control.Met(key)
	pods, err := c.claim(ctx, j)
	if err != nil {
		return err
	}
	if finished(j) {
		return c.removeFinalizer(ctx, slices.DeleteFunc(pods, func(p *v1.Pod) bool { return !tracked(p) }))
	}
	s := newSnapshot(j, pods, met, c.now())
	d := s.decide()
	if d.requeueAfter > 0 {
		c.AddAfter(key, d.requeueAfter)
	}
	active, ready, failed := c.apply(ctx, key, s, &d)
	next, counted := s.track(&d, active, ready)
	if err := c.writeStatus(ctx, key, j, next); err != nil {
		return errors.Join(failed, err)
	}
	return errors.Join(failed, c.removeFinalizer(ctx, counted))
}

// claim adopts and releases pods, and returns those of the job.
func (c *Controller) claim(ctx context.Context, j *batch.Job) ([]*v1.Pod, error) {
	selector, err := metav1.LabelSelectorAsSelector(j.Spec.Selector)
	if err != nil {
		return nil, fmt.Errorf("selector: %w", err)
	}
	all, err := c.pods.Pods(j.Namespace).List(labels.Everything())
	if err != nil {
		return nil, fmt.Errorf("list pods: %w", err)
	}
	// No other job counts the pods of an earlier job of the name.
	if err := c.removeFinalizer(ctx, trackedFor(j.Name, all, func(uid types.UID) bool { return uid != j.UID })); err != nil {
		return nil, err
	}
	return podcontrol.Claim(ctx, &podcontrol.Owner{
		Object: j, Kind: kind, Selector: selector, Finalizer: batch.JobTrackingFinalizer, Patch: podcontrol.PatchPods(c.Client),
		MayAdopt: func(metav1.Object) bool { return !finished(j) },
		Live: func(ctx context.Context) (metav1.Object, error) {
			return c.Client.BatchV1().Jobs(j.Namespace).Get(ctx, j.Name, metav1.GetOptions{})
		},
	}, all)
}

// apply creates and deletes pods, and returns how many are active and ready then. Pods of a
// job that is finishing count as failed, and keep their finalizer until then. Those that
// are merely too many do not count: they lose it before they are deleted.
func (c *Controller) apply(ctx context.Context, key string, s *snapshot, d *step) (active, ready int, err error) {
	created, deleted, err := c.control.Apply(ctx, key, s.job, podcontrol.Writes{
		Create: len(d.create), Pod: func(i int) *v1.Pod { return podFor(s.job, d.create[i]) },
		Delete: d.delete,
		BeforeDelete: func(ctx context.Context, p *v1.Pod) error {
			if d.finish != nil || !tracked(p) {
				return nil
			}
			return c.removeFinalizer(ctx, []*v1.Pod{p})
		},
	})
	active = len(s.active) + created - deleted
	return active, min(s.ready, active), err
}

// writeStatus writes the status if it changed, and records events of new conditions.
func (c *Controller) writeStatus(ctx context.Context, key string, j *batch.Job, next *batch.JobStatus) error {
	if equality.Semantic.DeepEqual(next, &j.Status) {
		return nil
	}
	update := j.DeepCopy()
	update.Status = *next
	updated, err := c.Client.BatchV1().Jobs(j.Namespace).UpdateStatus(ctx, update, metav1.UpdateOptions{})
	if err != nil {
		return loop.IgnoreNotFound(err)
	}
	c.mu.Lock()
	c.written[key] = updated.ResourceVersion
	c.mu.Unlock()
	c.recordConditions(j, next)
	return nil
}

// behind reports whether the cache does not show the controller's last write yet.
func (c *Controller) behind(key string, j *batch.Job) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	last, err1 := strconv.ParseUint(c.written[key], 10, 64)
	is, err2 := strconv.ParseUint(j.ResourceVersion, 10, 64)
	return err1 == nil && err2 == nil && is < last
}

func (c *Controller) recordConditions(j *batch.Job, next *batch.JobStatus) {
	for _, cond := range next.Conditions {
		was := slices.IndexFunc(j.Status.Conditions, func(o batch.JobCondition) bool { return o.Type == cond.Type })
		if was >= 0 && j.Status.Conditions[was].Status == cond.Status {
			continue
		}
		switch {
		case cond.Type == batch.JobSuspended && cond.Status == v1.ConditionTrue:
			c.Recorder.Event(j, v1.EventTypeNormal, "Suspended", cond.Message)
		case cond.Type == batch.JobSuspended:
			c.Recorder.Event(j, v1.EventTypeNormal, "Resumed", cond.Message)
		case cond.Type == batch.JobComplete:
			if n := j.Spec.Completions; n != nil && next.Succeeded > *n {
				c.Recorder.Event(j, v1.EventTypeWarning, "TooManySucceededPods", "Too many succeeded pods running after completion count reached")
			}
			c.Recorder.Event(j, v1.EventTypeNormal, "Completed", "Job completed")
		case cond.Type == batch.JobFailed:
			c.Recorder.Event(j, v1.EventTypeWarning, cond.Reason, cond.Message)
		}
	}
}

// removeFinalizer removes the tracking finalizer from pods.
func (c *Controller) removeFinalizer(ctx context.Context, pods []*v1.Pod) error {
	_, err := podcontrol.Together(len(pods), func(i int) error {
		patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
			"uid":                                 pods[i].UID,
			"$deleteFromPrimitiveList/finalizers": []string{batch.JobTrackingFinalizer},
		}})
		if err != nil {
			return err
		}
		_, err = c.Client.CoreV1().Pods(pods[i].Namespace).Patch(ctx, pods[i].Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{})
		if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
			return fmt.Errorf("remove finalizer of pod %s: %w", pods[i].Name, err)
		}
		return nil
	})
	return err
}

// deleted removes the finalizers of the pods of a deleted job.
func (c *Controller) deleted(ctx context.Context, key string) error {
	c.control.Forget(key)
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
			c.orphan(p) // it may have been the job's
		}
	}
	held := trackedFor(name, all, func(types.UID) bool { return true })
	if len(held) == 0 {
		return nil
	}
	// The cache may show the pods of a new job before the job.
	_, err = c.Client.BatchV1().Jobs(namespace).Get(ctx, name, metav1.GetOptions{})
	if !apierrors.IsNotFound(err) {
		return err
	}
	return c.removeFinalizer(ctx, held)
}

// trackedFor returns the pods with the finalizer that a job of that name controls.
func trackedFor(name string, all []*v1.Pod, uid func(types.UID) bool) (out []*v1.Pod) {
	for _, p := range all {
		if key, ok := podcontrol.OwnerKey(p, kind); ok && tracked(p) && key == p.Namespace+"/"+name && uid(metav1.GetControllerOfNoCopy(p).UID) {
			out = append(out, p)
		}
	}
	return out
}

// release removes the finalizer of a pod without a controller that no job selects.
func (c *Controller) release(ctx context.Context, key string) error {
	namespace, name := loop.Split(key)
	p, err := c.pods.Pods(namespace).Get(name)
	if err != nil {
		return loop.IgnoreNotFound(err)
	}
	if metav1.GetControllerOfNoCopy(p) != nil || !tracked(p) {
		return nil
	}
	return c.removeFinalizer(ctx, []*v1.Pod{p})
}
