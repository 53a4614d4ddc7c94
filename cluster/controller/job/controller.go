// Package job runs pods until enough of them have succeeded.
//
// It creates and deletes pods, and counts those that have ended, each once, also
// if it is killed at any point: see state. A pod carries the finalizer
// batch.kubernetes.io/job-tracking until it is counted. Everything else that
// decides, back-off included, is read from the job and its pods. It never deletes
// a job, nor the pods that have ended; those tell what went wrong.
package job

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	batch "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	batchlisters "k8s.io/client-go/listers/batch/v1"
	listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/record"

	"wheelhouse/cluster/controller/loop"
	"wheelhouse/cluster/controller/replication"
)

var kind = batch.SchemeGroupVersion.WithKind("Job")

const (
	// settle is how long changes of one job's pods are gathered into one reconcile.
	settle = 100 * time.Millisecond
	// managedByUs is the spec.managedBy of jobs that are ours, as is none.
	managedByUs = "kubernetes.io/job-controller"
)

// Controller is the job controller.
type Controller struct {
	*loop.Loop[string]
	orphans  *loop.Loop[string] // pods that hold our finalizer for nobody
	client   kubernetes.Interface
	recorder record.EventRecorder
	jobs     batchlisters.JobLister
	pods     listers.PodLister
	expect   *replication.Expectations
	now      func() time.Time

	mu sync.Mutex
	// written is the resourceVersion of our last write of a job's status: what the
	// cache shows of before is not to be decided upon.
	written map[string]string
}

// New makes the controller; nothing runs before Run.
func New(client kubernetes.Interface, f informers.SharedInformerFactory, recorder record.EventRecorder, log *slog.Logger) (*Controller, error) {
	jobs, pods := f.Batch().V1().Jobs(), f.Core().V1().Pods()
	c := &Controller{
		client: client, recorder: recorder, jobs: jobs.Lister(), pods: pods.Lister(),
		expect: replication.NewExpectations(time.Now), now: time.Now, written: map[string]string{},
	}
	c.Loop = loop.New(loop.Config[string]{Name: "job", Workers: 5, Reconcile: c.reconcile, Log: log, Period: settle})
	c.orphans = loop.New(loop.Config[string]{Name: "job-orphans", Workers: 1, Reconcile: c.release, Log: log})
	router := &replication.Router{Kind: kind, Expect: c.expect, Wake: c.AddSoon, Orphan: c.orphan}
	if err := c.On(jobs.Informer(), loop.Each(func(j *batch.Job) { c.Add(loop.Key(j)) })); err != nil {
		return nil, err
	}
	if err := c.On(pods.Informer(), loop.Changes(router.Changed)); err != nil {
		return nil, err
	}
	c.orphans.Need(jobs.Informer())
	c.orphans.Need(pods.Informer())
	return c, nil
}

// Name is the controller's name in logs and health.
func (c *Controller) Name() string { return "job" }

// Run works until ctx ends.
func (c *Controller) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return c.Loop.Run(ctx) })
	group.Go(func() error { return c.orphans.Run(ctx) })
	return group.Wait()
}

// orphan wakes the jobs that could adopt p. If there are none, p is let go.
func (c *Controller) orphan(p *v1.Pod) {
	wanted := false
	all, err := c.jobs.Jobs(p.Namespace).List(labels.Everything())
	if err != nil {
		return
	}
	for _, j := range all {
		if j.DeletionTimestamp != nil || finished(j) {
			continue
		}
		if s, err := metav1.LabelSelectorAsSelector(j.Spec.Selector); err == nil && s.Matches(labels.Set(p.Labels)) {
			wanted = true
			c.AddSoon(loop.Key(j))
		}
	}
	if !wanted && tracked(p) {
		c.orphans.Add(loop.Key(p))
	}
}
