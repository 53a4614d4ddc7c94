// Package job runs pods until enough of them have succeeded.
//
// It creates and deletes pods, and counts terminal pods, each once, also if the process is
// killed at any point (snapshot.go). A pod has the finalizer
// batch.kubernetes.io/job-tracking until it is counted. All else, backoff included, is
// computed from the job and its pods. It never deletes a job or a terminal pod.
package job

import (
	"context"
	"errors"
	"sync"
	"time"

	batch "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	batchlisters "k8s.io/client-go/listers/batch/v1"
	listers "k8s.io/client-go/listers/core/v1"

	"wheelhouse/cluster/controller/loop"
	"wheelhouse/cluster/controller/podcontrol"
)

var kind = batch.SchemeGroupVersion.WithKind("Job")

const (
	// debounce is the minimum time between two reconciles of one job.
	debounce = 100 * time.Millisecond
	// controllerName is the spec.managedBy of jobs of this controller, as is none.
	controllerName = "kubernetes.io/job-controller"
)

// Config is what the controller is given.
type Config = loop.Shared

// Controller is the job controller. Make it with New.
type Controller struct {
	*loop.Loop[string]
	Config
	orphans *loop.Loop[string] // pods with the finalizer and without a job
	jobs    batchlisters.JobLister
	pods    listers.PodLister
	control *podcontrol.Control
	now     func() time.Time

	mu sync.Mutex
	// written is the resourceVersion of the last write of a job's status. An older job in
	// the cache is not reconciled.
	written map[string]string
}

// New returns the controller; nothing runs before Run.
func New(cfg Config) (*Controller, error) {
	jobs, pods := cfg.Informers.Batch().V1().Jobs(), cfg.Informers.Core().V1().Pods()
	c := &Controller{
		Config: cfg, jobs: jobs.Lister(), pods: pods.Lister(),
		control: podcontrol.New(cfg, kind), now: time.Now, written: map[string]string{},
	}
	c.Loop = loop.New(loop.Config[string]{Name: cfg.Controller, Workers: 5, Reconcile: c.reconcile, Log: cfg.Log, Period: debounce})
	c.orphans = loop.New(loop.Config[string]{Name: cfg.Controller + "-orphans", Workers: 1, Reconcile: c.release, Log: cfg.Log})
	c.orphans.Need(jobs.Informer(), pods.Informer())
	handler := podcontrol.PodHandler{Kind: kind, Expect: c.control.Expectations, Enqueue: c.AddSoon, Orphan: c.orphan}
	return c, errors.Join(
		c.On(jobs.Informer(), loop.Each(func(j *batch.Job) { c.Add(loop.Key(j)) })),
		c.On(pods.Informer(), handler.Handler()),
	)
}

// Run reconciles jobs and orphans until ctx ends.
func (c *Controller) Run(ctx context.Context) error { return loop.RunAll(ctx, c.Loop, c.orphans) }

// orphan enqueues the jobs that could adopt p. If there are none, p loses the finalizer.
func (c *Controller) orphan(p *v1.Pod) {
	found := false
	all := loop.All(c.Log, c.jobs.Jobs(p.Namespace).List)
	podcontrol.EachSelecting(all, func(j *batch.Job) *metav1.LabelSelector { return j.Spec.Selector }, p.Labels, func(j *batch.Job) {
		if j.DeletionTimestamp == nil && !finished(j) {
			found = true
			c.AddSoon(loop.Key(j))
		}
	})
	if !found && tracked(p) {
		c.orphans.Add(loop.Key(p))
	}
}
