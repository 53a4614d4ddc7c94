// Package cronjob starts a Job at the times of a schedule.
//
// The name of a Job is derived from its scheduled time, so that it is created once whenever
// the process is killed. The status lists the active Jobs and the last scheduled time; of
// missed starts the last one is made up for, unless the starting deadline has passed.
// Finished Jobs beyond the history limits are deleted.
package cronjob

import (
	"errors"
	"time"
	_ "time/tzdata" // timeZone must work on machines without a time zone database

	batch "k8s.io/api/batch/v1"
	listers "k8s.io/client-go/listers/batch/v1"

	"wheelhouse/cluster/controller/loop"
	"wheelhouse/cluster/controller/podcontrol"
)

var kind = batch.SchemeGroupVersion.WithKind("CronJob")

// Config is what the controller is given.
type Config = loop.Shared

// Controller is the CronJob controller. Make it with New.
type Controller struct {
	*loop.Loop[string]
	Config
	crons listers.CronJobLister
	jobs  listers.JobLister
	now   func() time.Time
}

// New returns the controller; nothing runs before Run.
func New(cfg Config) (*Controller, error) {
	crons, jobs := cfg.Informers.Batch().V1().CronJobs(), cfg.Informers.Batch().V1().Jobs()
	c := &Controller{Config: cfg, crons: crons.Lister(), jobs: jobs.Lister(), now: time.Now}
	c.Loop = loop.New(loop.Config[string]{Name: cfg.Controller, Workers: 2, Reconcile: c.reconcile, Log: cfg.Log})
	return c, errors.Join(
		c.On(crons.Informer(), loop.Each(func(cj *batch.CronJob) { c.Add(loop.Key(cj)) })),
		c.On(jobs.Informer(), loop.Each(c.jobChanged)),
	)
}

func (c *Controller) jobChanged(j *batch.Job) {
	if key, ok := podcontrol.OwnerKey(j, kind); ok {
		c.Add(key)
	}
}
