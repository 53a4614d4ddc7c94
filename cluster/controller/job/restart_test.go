package job_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	batch "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"wheelhouse/cluster/apiserver/apitest"
	"wheelhouse/cluster/client"
	"wheelhouse/cluster/controller/job"
	"wheelhouse/cluster/wait"
)

// run starts a job controller with empty caches; stop terminates it.
func run(t *testing.T, set kubernetes.Interface) (stop func()) {
	t.Helper()
	shared := client.Informers(set)
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelError}))
	c, err := job.New(job.Config{Controller: "job", Client: set, Informers: shared, Recorder: client.Recorder(set, "job-controller"), Log: log})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	shared.Start(ctx.Done())
	go func() { done <- c.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		shared.Shutdown()
	}
}

// A controller that is replaced all the time still starts each pod once and counts
// each once: its state is in the API.
func TestRestartsLoseNothing(t *testing.T) {
	server, _ := apitest.StartServer(t)
	set := kubernetes.NewForConfigOrDie(client.InProcess(server.Handler(), &client.User{Name: "system:admin", Groups: []string{"system:masters"}}))
	ctx := t.Context()
	n, wide := int32(40), int32(8)
	j := &batch.Job{ObjectMeta: metav1.ObjectMeta{Name: "many"}, Spec: batch.JobSpec{Completions: &n, Parallelism: &wide}}
	j.Spec.Template.Spec = v1.PodSpec{RestartPolicy: v1.RestartPolicyNever, Containers: []v1.Container{{Name: "c", Image: "busybox"}}}
	if _, err := set.BatchV1().Jobs("default").Create(ctx, j, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	stop := run(t, set)
	restarts, ended := 0, 0
	wait.Within(t, time.Minute, "a complete job", func() error {
		is, err := set.BatchV1().Jobs("default").Get(ctx, "many", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if is.Status.CompletionTime != nil {
			return nil
		}
		if endSome(t, set, &ended) && ended%3 == 0 {
			stop()
			stop = run(t, set)
			restarts++
		}
		return fmt.Errorf("after %d restarts and %d pods: %+v", restarts, ended, is.Status)
	})
	stop()
	is, err := set.BatchV1().Jobs("default").Get(ctx, "many", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	pods, err := set.CoreV1().Pods("default").List(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprintf("%d succeeded, %d failed, %d pods", is.Status.Succeeded, is.Status.Failed, len(pods.Items)); got != "40 succeeded, 0 failed, 40 pods" {
		t.Errorf("after %d restarts: %s", restarts, got)
	}
	if restarts < 5 {
		t.Errorf("only %d restarts", restarts)
	}
}

// endSome lets one pod that runs succeed, as a kubelet would tell.
func endSome(t *testing.T, set kubernetes.Interface, ended *int) bool {
	t.Helper()
	list, err := set.CoreV1().Pods("default").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range list.Items {
		if p := &list.Items[i]; p.Status.Phase == v1.PodPending {
			p.Status.Phase = v1.PodSucceeded
			if _, err := set.CoreV1().Pods("default").UpdateStatus(t.Context(), p, metav1.UpdateOptions{}); err == nil {
				*ended++
				return true
			}
		}
	}
	return false
}
