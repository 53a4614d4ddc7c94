// Package ttlafterfinished deletes jobs that have ended, when their
// ttlSecondsAfterFinished are over. Their pods go first.
package ttlafterfinished

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	batch "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	listers "k8s.io/client-go/listers/batch/v1"

	"wheelhouse/cluster/controller/loop"
)

// Controller deletes jobs.
type Controller struct {
	*loop.Loop[string]
	client kubernetes.Interface
	jobs   listers.JobLister
	now    func() time.Time
}

// New makes the controller; nothing runs before Run.
func New(client kubernetes.Interface, f informers.SharedInformerFactory, log *slog.Logger) (*Controller, error) {
	jobs := f.Batch().V1().Jobs()
	c := &Controller{client: client, jobs: jobs.Lister(), now: time.Now}
	c.Loop = loop.New(loop.Config[string]{Name: "ttlafterfinished", Reconcile: c.reconcile, Log: log})
	err := c.On(jobs.Informer(), loop.Each(func(j *batch.Job) {
		if _, ok := left(j, time.Now()); ok {
			c.Add(loop.Key(j))
		}
	}))
	return c, err
}

// Name is the controller's name in logs and health.
func (c *Controller) Name() string { return "ttlafterfinished" }

// left is how long the job still has; not ok if it has not ended, or may stay.
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
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if wait, ok := left(j, c.now()); !ok || wait > 0 {
		if ok {
			c.AddAfter(key, wait)
		}
		return nil
	}
	// Its time may have been prolonged a moment ago, and deleting cannot be undone.
	j, err = c.client.BatchV1().Jobs(namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read job: %w", err)
	}
	if wait, ok := left(j, c.now()); !ok || wait > 0 {
		return nil
	}
	foreground := metav1.DeletePropagationForeground
	err = c.client.BatchV1().Jobs(namespace).Delete(ctx, name, metav1.DeleteOptions{
		PropagationPolicy: &foreground, Preconditions: &metav1.Preconditions{UID: &j.UID, ResourceVersion: &j.ResourceVersion},
	})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
