package job_test

import (
	"fmt"
	"testing"
	"time"

	batch "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"wheelhouse/cluster/apiserver/apitest"
	"wheelhouse/cluster/client"
	"wheelhouse/cluster/controller/job"
	"wheelhouse/cluster/wait"
)

// BenchmarkJob is a job of 1,000 pods that succeed as soon as they are made, 100 at
// a time, until all are counted.
func BenchmarkJob(b *testing.B) {
	server, _ := apitest.StartServer(b)
	set := kubernetes.NewForConfigOrDie(client.InProcess(server.Handler(), &client.User{Name: "system:admin", Groups: []string{"system:masters"}}))
	ctx := b.Context()
	shared := client.Informers(set)
	c, err := job.New(job.Config{Controller: "job", Client: set, Informers: shared, Recorder: client.Recorder(set, "job-controller")})
	if err != nil {
		b.Fatal(err)
	}
	work := make(chan *v1.Pod, 2000)
	_, err = shared.Core().V1().Pods().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: func(o any) {
		if p, ok := o.(*v1.Pod); ok {
			work <- p
		}
	}})
	if err != nil {
		b.Fatal(err)
	}
	for range 16 {
		go func() {
			for p := range work {
				p = p.DeepCopy()
				p.Status.Phase = v1.PodSucceeded
				_, _ = set.CoreV1().Pods("default").UpdateStatus(ctx, p, metav1.UpdateOptions{})
			}
		}()
	}
	shared.Start(ctx.Done())
	go func() { _ = c.Run(ctx) }()
	n, wide := int32(1000), int32(100)
	for i := 0; b.Loop(); i++ {
		j := &batch.Job{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("many-", i)}, Spec: batch.JobSpec{Completions: &n, Parallelism: &wide}}
		j.Spec.Template.Spec = v1.PodSpec{RestartPolicy: v1.RestartPolicyNever, Containers: []v1.Container{{Name: "c", Image: "busybox"}}}
		if _, err := set.BatchV1().Jobs("default").Create(ctx, j, metav1.CreateOptions{}); err != nil {
			b.Fatal(err)
		}
		wait.Within(b, 2*time.Minute, "a complete job", func() error {
			is, err := set.BatchV1().Jobs("default").Get(ctx, j.Name, metav1.GetOptions{})
			if err != nil {
				b.Fatal(err)
			}
			return wait.Seen(is.Status.CompletionTime != nil && is.Status.Succeeded == n, is.Status)
		})
	}
}
