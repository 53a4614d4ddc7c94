// Package ttlafterfinished deletes finished Jobs when their ttlSecondsAfterFinished have
// passed, in the foreground: their pods are deleted first. It writes nothing else.
package ttlafterfinished

import (
	"context"
	"fmt"
	"time"

	batch "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	listers "k8s.io/client-go/listers/batch/v1"

	"wheelhouse/cluster/controller/loop"
)

// Config is what the controller is given.
type Config = loop.Shared

// Controller is the TTL controller of finished Jobs. Make it with New.
type Controller struct {
	*loop.Loop[string]
	Config
	jobs listers.JobLister
	now  func() time.Time
}

// New returns the controller; nothing runs before Run.
func New(cfg Config) (*Controller, error) {
	jobs := cfg.Informers.Batch().V1().Jobs()
	c := &Controller{Config: cfg, jobs: jobs.Lister(), now: time.Now}
	c.Loop = loop.New(loop.Config[string]{Name: cfg.Controller, Reconcile: c.reconcile, Log: cfg.Log})
	return c, c.On(jobs.Informer(), loop.Each(func(j *batch.Job) {
		if _, ok := left(j, time.Now()); ok {
			c.Add(loop.Key(j))
		}
	}))
}

// left returns the rest of the job's TTL; not ok if it is not finished, or has no TTL.
func left(j *batch.Job, now time.Time) (time.Duration, bool) {
	if j.Spec.TTLSecondsAfterFinished == nil || j.DeletionTimestamp != nil {
		return 0, false
	}
	for _, c := range j.Status.Conditions {
		if (c.Type == batch.JobComplete || c.Type == batch.JobFailed) && c.Status == v1.ConditionTrue {
			end := c.LastTransitionTime.Add(time.Duration(*j.Spec.TTLSecondsAfterFinished) * time.Second)
			return end.Sub(now), true
		}
	}
	return 0, false
}

func (c *Controller) reconcile(ctx context.Context, key string) error {
	namespace, name := loop.Split(key)
	j, err := c.jobs.Jobs(namespace).Get(name)
	if err != nil {
		return loop.IgnoreNotFound(err)
	}
	if wait, ok := left(j, c.now()); !ok || wait > 0 {
		if ok {
			c.AddAfter(key, wait)
		}
		return nil
	}
	// The TTL may have been extended since, and a deletion cannot be undone.
	j, err = c.Client.BatchV1().Jobs(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return loop.IgnoreNotFound(fmt.Errorf("read job: %w", err))
	}
	if wait, ok := left(j, c.now()); !ok || wait > 0 {
		return nil
	}
	foreground := metav1.DeletePropagationForeground
	err = c.Client.BatchV1().Jobs(namespace).Delete(ctx, name, metav1.DeleteOptions{
		PropagationPolicy: &foreground, Preconditions: &metav1.Preconditions{UID: &j.UID, ResourceVersion: &j.ResourceVersion},
	})
	return loop.IgnoreNotFound(err)
}
