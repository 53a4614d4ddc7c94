// Package cronjob starts a Job at the times of a schedule.
//
// The name of a job follows from the time it is for, so that a start is made once
// whatever is killed when. The status lists the jobs that run, and the time of the
// last start; a start that was missed is made up for, the last one only, unless the
// starting deadline is over. Jobs that have ended are deleted beyond the history limits.
package cronjob

import (
	"log/slog"
	"time"
	_ "time/tzdata" // timeZone has to work on machines without a database of zones

	batch "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	listers "k8s.io/client-go/listers/batch/v1"
	"k8s.io/client-go/tools/record"

	"wheelhouse/cluster/controller/loop"
)

var kind = batch.SchemeGroupVersion.WithKind("CronJob")

// Controller is the cron job controller.
type Controller struct {
	*loop.Loop[string]
	client   kubernetes.Interface
	recorder record.EventRecorder
	crons    listers.CronJobLister
	jobs     listers.JobLister
	now      func() time.Time
}

// New makes the controller; nothing runs before Run.
func New(client kubernetes.Interface, f informers.SharedInformerFactory, recorder record.EventRecorder, log *slog.Logger) (*Controller, error) {
	crons, jobs := f.Batch().V1().CronJobs(), f.Batch().V1().Jobs()
	c := &Controller{client: client, recorder: recorder, crons: crons.Lister(), jobs: jobs.Lister(), now: time.Now}
	c.Loop = loop.New(loop.Config[string]{Name: "cronjob", Workers: 2, Reconcile: c.reconcile, Log: log})
	if err := c.On(crons.Informer(), loop.Each(func(cj *batch.CronJob) { c.Add(loop.Key(cj)) })); err != nil {
		return nil, err
	}
	if err := c.On(jobs.Informer(), loop.Each(c.jobChanged)); err != nil {
		return nil, err
	}
	return c, nil
}

// Name is the controller's name in logs and health.
func (c *Controller) Name() string { return "cronjob" }

func (c *Controller) jobChanged(j *batch.Job) {
	if ref := metav1.GetControllerOfNoCopy(j); ref != nil && ref.Kind == kind.Kind {
		c.Add(j.Namespace + "/" + ref.Name)
	}
}
