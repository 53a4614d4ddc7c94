package controller_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	batch "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"wheelhouse/cluster/wait"
)

func (c *testCluster) job(name string, edit func(*batch.JobSpec)) *batch.Job {
	c.t.Helper()
	j := &batch.Job{ObjectMeta: metav1.ObjectMeta{Name: name}}
	j.Spec.Template.Spec = v1.PodSpec{RestartPolicy: v1.RestartPolicyNever, Containers: container()}
	j.Spec.Template.Labels = map[string]string{"app": name}
	if edit != nil {
		edit(&j.Spec)
	}
	made, err := c.BatchV1().Jobs("default").Create(c.t.Context(), j, metav1.CreateOptions{})
	c.must(err)
	return made
}

func (c *testCluster) getJob(name string) *batch.Job {
	c.t.Helper()
	j, err := c.BatchV1().Jobs("default").Get(c.t.Context(), name, metav1.GetOptions{})
	c.must(err)
	return j
}

// jobIs waits for a line like "1 active, 2 succeeded, 0 failed, Complete CompletionsReached".
func (c *testCluster) jobIs(name, want string) {
	c.t.Helper()
	wait.For(c.t, name+": "+want, func() error {
		s := c.getJob(name).Status
		got := fmt.Sprintf("%d active, %d succeeded, %d failed", s.Active, s.Succeeded, s.Failed)
		for _, cond := range s.Conditions {
			if (cond.Type == batch.JobComplete || cond.Type == batch.JobFailed) && cond.Status == v1.ConditionTrue {
				got += fmt.Sprintf(", %s %s", cond.Type, cond.Reason)
			}
		}
		if got != want {
			return wait.Seen(false, got)
		}
		return nil
	})
}

// endOne lets a running pod of an app end, and says which.
func (c *testCluster) endOne(app string, phase v1.PodPhase, which func(*v1.Pod) bool) string {
	c.t.Helper()
	var name string
	wait.For(c.t, "a running pod of "+app, func() error {
		for _, p := range c.pods(app) {
			if p.Status.Phase == v1.PodRunning && (which == nil || which(&p)) {
				name = p.Name
				return nil
			}
		}
		return wait.Seen(false, "none")
	})
	c.end(name, phase)
	return name
}

func TestJob(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	c.node("n1")
	n := func(i int32) *int32 { return &i }

	c.job("three", func(s *batch.JobSpec) { s.Completions, s.Parallelism = n(3), n(2) })
	c.jobIs("three", "2 active, 0 succeeded, 0 failed")
	c.hasEvent("three", "SuccessfulCreate", "Created pod: three-")
	c.endOne("three", v1.PodSucceeded, nil)
	c.jobIs("three", "2 active, 1 succeeded, 0 failed")
	c.endOne("three", v1.PodSucceeded, nil)
	c.jobIs("three", "1 active, 2 succeeded, 0 failed")
	c.endOne("three", v1.PodSucceeded, nil)
	c.jobIs("three", "0 active, 3 succeeded, 0 failed, Complete CompletionsReached")
	c.hasEvent("three", "Completed", "Job completed")
	for _, p := range c.pods("three") {
		if len(p.Finalizers) > 0 {
			t.Errorf("%s is still held by %v", p.Name, p.Finalizers)
		}
	}
	done := c.getJob("three").Status
	if done.CompletionTime == nil || done.StartTime == nil || *done.Ready != 0 || len(done.UncountedTerminatedPods.Succeeded) > 0 {
		t.Errorf("%+v", done)
	}

	c.job("hopeless", func(s *batch.JobSpec) { s.BackoffLimit = n(0) })
	c.endOne("hopeless", v1.PodFailed, nil)
	c.jobIs("hopeless", "0 active, 0 succeeded, 1 failed, Failed BackoffLimitExceeded")
	c.hasEvent("hopeless", "BackoffLimitExceeded", "Job has reached the specified backoff limit")

	limit := int64(1)
	c.job("late", func(s *batch.JobSpec) { s.ActiveDeadlineSeconds, s.TTLSecondsAfterFinished = &limit, n(0) })
	c.hasEvent("late", "DeadlineExceeded", "Job was active longer than specified deadline")
	wait.For(c.t, "it is deleted after its end", func() error {
		_, err := c.BatchV1().Jobs("default").Get(t.Context(), "late", metav1.GetOptions{})
		if !apierrors.IsNotFound(err) || len(c.pods("late")) > 0 {
			return wait.Seen(false, err, len(c.pods("late")), " pods")
		}
		return nil
	})

	// Deleting a job deletes its pods, whose finalizers nobody else removes.
	c.job("dropped", func(s *batch.JobSpec) { s.Parallelism, s.Completions = n(2), n(2) })
	c.jobIs("dropped", "2 active, 0 succeeded, 0 failed")
	background := metav1.DeletePropagationBackground
	c.must(c.BatchV1().Jobs("default").Delete(t.Context(), "dropped", metav1.DeleteOptions{PropagationPolicy: &background}))
	wait.For(c.t, "no pods are left", func() error {
		list, err := c.CoreV1().Pods("default").List(t.Context(), metav1.ListOptions{LabelSelector: "app=dropped"})
		if err != nil || len(list.Items) > 0 {
			return wait.Seen(false, err, len(list.Items))
		}
		return nil
	})
}

func TestJobLeavesItsPods(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	c.node("n1")
	c.job("left", nil)
	c.jobIs("left", "1 active, 0 succeeded, 0 failed")
	orphan := metav1.DeletePropagationOrphan
	c.must(c.BatchV1().Jobs("default").Delete(t.Context(), "left", metav1.DeleteOptions{PropagationPolicy: &orphan}))
	wait.For(c.t, "its pod stays, and nothing holds it", func() error {
		pods := c.pods("left")
		_, err := c.BatchV1().Jobs("default").Get(t.Context(), "left", metav1.GetOptions{})
		if !apierrors.IsNotFound(err) || len(pods) != 1 || len(pods[0].Finalizers)+len(pods[0].OwnerReferences) > 0 {
			return wait.Seen(false, err, len(pods), " pods ", pods[0].Finalizers, pods[0].OwnerReferences)
		}
		return nil
	})
}

func TestSuspendedJob(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	c.node("n1")
	yes := true
	c.job("later", func(s *batch.JobSpec) { s.Suspend = &yes })
	c.hasEvent("later", "Suspended", "Job suspended")
	if s := c.getJob("later").Status; s.StartTime != nil || s.Active > 0 {
		t.Errorf("%+v", s)
	}
	set := func(text string) {
		t.Helper()
		_, err := c.BatchV1().Jobs("default").Patch(t.Context(), "later", types.MergePatchType, []byte(`{"spec":{"suspend":`+text+`}}`), metav1.PatchOptions{})
		c.must(err)
	}
	set("false")
	c.jobIs("later", "1 active, 0 succeeded, 0 failed")
	c.hasEvent("later", "Resumed", "Job resumed")
	began := c.getJob("later").Status.StartTime
	set("true")
	wait.For(c.t, "its pod goes", func() error {
		n, s := len(c.pods("later")), c.getJob("later").Status
		suspended := slices.ContainsFunc(s.Conditions, func(o batch.JobCondition) bool { return o.Type == batch.JobSuspended && o.Status == v1.ConditionTrue })
		return wait.Seen(n == 0 && s.Active == 0 && suspended, n, s)
	})
	if s := c.getJob("later").Status; s.StartTime != nil {
		t.Errorf("suspended, and started at %v", s.StartTime)
	}
	// Without pods the template may change, as before the first start.
	_, err := c.BatchV1().Jobs("default").Patch(t.Context(), "later", types.StrategicMergePatchType,
		[]byte(`{"spec":{"template":{"metadata":{"annotations":{"queue":"fast"}},"spec":{"nodeSelector":{"kubernetes.io/hostname":"n1"},"containers":[{"name":"c","resources":{"requests":{"cpu":"10m"}}}]}}}}`), metav1.PatchOptions{})
	c.must(err)
	wait.For(c.t, "another second begins", func() error {
		if time.Since(began.Time) > time.Second {
			return nil
		}
		return wait.Seen(false, began.String())
	})
	set("false")
	c.jobIs("later", "1 active, 0 succeeded, 0 failed") // what was suspended has not failed
	if again := c.getJob("later").Status.StartTime; !again.After(began.Time) {
		t.Errorf("it began at %v, and after it was suspended at %v", began, again)
	}
}

func TestIndexedJob(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	c.node("n1")
	mode, two, none := batch.IndexedCompletion, int32(2), int32(0)
	c.job("parts", func(s *batch.JobSpec) {
		s.CompletionMode, s.Completions, s.Parallelism, s.BackoffLimitPerIndex = &mode, &two, &two, &none
	})
	c.jobIs("parts", "2 active, 0 succeeded, 0 failed")
	for _, p := range c.pods("parts") {
		i := p.Labels["batch.kubernetes.io/job-completion-index"]
		if p.Spec.Hostname != "parts-"+i || !strings.HasPrefix(p.Name, "parts-"+i+"-") {
			t.Errorf("pod %s of index %s has the host name %s", p.Name, i, p.Spec.Hostname)
		}
	}
	index := func(want string) func(*v1.Pod) bool {
		return func(p *v1.Pod) bool { return p.Annotations["batch.kubernetes.io/job-completion-index"] == want }
	}
	c.endOne("parts", v1.PodSucceeded, index("1"))
	c.endOne("parts", v1.PodFailed, index("0"))
	c.jobIs("parts", "0 active, 1 succeeded, 1 failed, Failed FailedIndexes")
	if s := c.getJob("parts").Status; s.CompletedIndexes != "1" || s.FailedIndexes == nil || *s.FailedIndexes != "0" {
		t.Errorf("%+v", s)
	}
}

func TestCronJob(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	c.node("n1")
	ctx := t.Context()
	one := int32(1)
	cj := &batch.CronJob{ObjectMeta: metav1.ObjectMeta{Name: "tick"}, Spec: batch.CronJobSpec{
		Schedule: "@every 1s", SuccessfulJobsHistoryLimit: &one, ConcurrencyPolicy: batch.ForbidConcurrent,
	}}
	cj.Spec.JobTemplate.Labels = map[string]string{"made-by": "tick"}
	cj.Spec.JobTemplate.Spec.Template = v1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "tick"}},
		Spec:       v1.PodSpec{RestartPolicy: v1.RestartPolicyNever, Containers: container()},
	}
	_, err := c.BatchV1().CronJobs("default").Create(ctx, cj, metav1.CreateOptions{})
	c.must(err)
	jobs := func() (names []string) {
		list, err := c.BatchV1().Jobs("default").List(ctx, metav1.ListOptions{LabelSelector: "made-by=tick"})
		c.must(err)
		for _, j := range list.Items {
			names = append(names, j.Name)
		}
		return names
	}
	wait.For(c.t, "a job", func() error {
		now, err := c.BatchV1().CronJobs("default").Get(ctx, "tick", metav1.GetOptions{})
		c.must(err)
		if len(now.Status.Active) != 1 || now.Status.LastScheduleTime == nil || len(jobs()) != 1 {
			return fmt.Errorf("%v %+v", jobs(), now.Status)
		}
		return nil
	})
	first := jobs()[0]
	c.hasEvent("tick", "SuccessfulCreate", "Created job "+first)
	c.hasEvent("tick", "JobAlreadyActive", "Not starting job because prior execution is running and concurrency policy is Forbid")
	if names := jobs(); len(names) != 1 {
		t.Errorf("the job still runs, and another was started: %v", names)
	}
	c.endOne("tick", v1.PodSucceeded, nil)
	c.hasEvent("tick", "SawCompletedJob", "Saw completed job: "+first+", condition: Complete")
	wait.For(c.t, "the next job", func() error {
		if names := jobs(); !slices.ContainsFunc(names, func(n string) bool { return n != first }) {
			return wait.Seen(false, names)
		}
		return nil
	})
	c.endOne("tick", v1.PodSucceeded, nil)
	wait.For(c.t, "only one that has ended is kept", func() error {
		if names := jobs(); slices.Contains(names, first) {
			return wait.Seen(false, names)
		}
		return nil
	})
	last, err := c.BatchV1().CronJobs("default").Get(ctx, "tick", metav1.GetOptions{})
	c.must(err)
	if at := last.Status.LastSuccessfulTime; at == nil || time.Since(at.Time) > time.Minute {
		t.Errorf("last success %v", at)
	}
}
