package scheduler_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"wheelhouse/cluster/apiserver/apitest"
	"wheelhouse/cluster/client"
	"wheelhouse/cluster/scheduler"
	"wheelhouse/cluster/wait"
)

type world struct {
	kubernetes.Interface
	t testing.TB
}

func start(t testing.TB, name string) *world {
	t.Helper()
	server, _ := apitest.StartServer(t)
	set := kubernetes.NewForConfigOrDie(client.InProcess(server.Handler(), &client.User{Name: "system:admin", Groups: []string{"system:masters"}}))
	s, err := scheduler.New(scheduler.Config{
		Client: set, Informers: client.Informers(set), Recorder: client.Recorder(set, "default-scheduler"),
		Name: name, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	w := &world{set, t}
	wait.For(w.t, "healthy", func() error {
		if err := s.Healthy(); err != nil {
			return err
		}
		return nil
	})
	return w
}

func (w *world) node(name, cpu string, edit ...func(*v1.Node)) {
	w.t.Helper()
	n := &v1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{}},
		Status: v1.NodeStatus{Allocatable: v1.ResourceList{
			v1.ResourceCPU: resource.MustParse(cpu), v1.ResourceMemory: resource.MustParse("64Gi"), v1.ResourcePods: resource.MustParse("2000"),
		}},
	}
	for _, e := range edit {
		e(n)
	}
	if _, err := w.CoreV1().Nodes().Create(w.t.Context(), n, metav1.CreateOptions{}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) pod(name string, edit ...func(*v1.Pod)) {
	w.t.Helper()
	p := &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app": "test"}},
		Spec:       v1.PodSpec{Containers: []v1.Container{{Name: "c", Image: "nginx"}}},
	}
	for _, e := range edit {
		e(p)
	}
	if _, err := w.CoreV1().Pods("default").Create(w.t.Context(), p, metav1.CreateOptions{}); err != nil {
		w.t.Fatal(err)
	}
}

func cpu(q string) func(*v1.Pod) {
	return func(p *v1.Pod) {
		p.Spec.Containers[0].Resources.Requests = v1.ResourceList{v1.ResourceCPU: resource.MustParse(q)}
	}
}

func (w *world) get(name string) *v1.Pod {
	w.t.Helper()
	p, err := w.CoreV1().Pods("default").Get(w.t.Context(), name, metav1.GetOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

func (w *world) expectOn(pod, node string) {
	w.t.Helper()
	wait.For(w.t, pod+" on "+node, func() error {
		if p := w.get(pod); p.Spec.NodeName != node {
			return fmt.Errorf("on %q, %v", p.Spec.NodeName, p.Status.Conditions)
		}
		return nil
	})
}

// expectRefused waits for the condition and the event with the message.
func (w *world) expectRefused(pod, message string) {
	w.t.Helper()
	wait.For(w.t, "condition of "+pod, func() error {
		for _, c := range w.get(pod).Status.Conditions {
			if c.Type == v1.PodScheduled && c.Status == v1.ConditionFalse && c.Reason == "Unschedulable" && c.ObservedGeneration == 1 && strings.Contains(c.Message, message) {
				return nil
			}
		}
		return wait.Seen(false, w.get(pod).Status.Conditions)
	})
	w.expectEvent(pod, "FailedScheduling", message)
}

func (w *world) expectEvent(pod, reason, message string) {
	w.t.Helper()
	wait.For(w.t, reason+" of "+pod, func() error {
		list, err := w.CoreV1().Events("default").List(w.t.Context(), metav1.ListOptions{})
		if err != nil {
			w.t.Fatal(err)
		}
		var seen []string
		for _, e := range list.Items {
			if e.InvolvedObject.Name == pod {
				seen = append(seen, e.Reason+": "+e.Message)
				if e.Reason == reason && strings.Contains(e.Message, message) {
					return nil
				}
			}
		}
		return wait.Seen(false, seen)
	})
}

func TestPodGetsANode(t *testing.T) {
	t.Parallel()
	w := start(t, "")
	w.pod("p", cpu("2"))
	w.expectRefused("p", "no nodes available to schedule pods")
	w.node("small", "1")
	w.expectRefused("p", "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.")
	w.node("large", "4")
	w.expectOn("p", "large")
	w.expectEvent("p", "Scheduled", "Successfully assigned default/p to large")
}

func TestEndOfAPodMakesRoom(t *testing.T) {
	t.Parallel()
	w := start(t, "")
	w.node("n", "1")
	w.pod("first", cpu("800m"))
	w.expectOn("first", "n")
	w.pod("second", cpu("800m"))
	w.expectRefused("second", "1 Insufficient cpu. preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod.")
	now := int64(0)
	if err := w.CoreV1().Pods("default").Delete(t.Context(), "first", metav1.DeleteOptions{GracePeriodSeconds: &now}); err != nil {
		t.Fatal(err)
	}
	w.expectOn("second", "n")
}

func TestOtherSchedulersPodsAreLeft(t *testing.T) {
	w := start(t, "mine")
	w.node("n", "4")
	w.pod("foreign")
	w.pod("gated", func(p *v1.Pod) {
		p.Spec.SchedulerName = "mine"
		p.Spec.SchedulingGates = []v1.PodSchedulingGate{{Name: "example.com/wait"}}
	})
	w.pod("own", func(p *v1.Pod) { p.Spec.SchedulerName = "mine" })
	w.expectOn("own", "n")
	for _, name := range []string{"foreign", "gated"} {
		if p := w.get(name); p.Spec.NodeName != "" {
			t.Errorf("%s was put on %s", name, p.Spec.NodeName)
		}
	}
	p := w.get("gated")
	p.Spec.SchedulingGates = nil
	if _, err := w.CoreV1().Pods("default").Update(t.Context(), p, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	w.expectOn("gated", "n")
}

func TestClaimComesFirst(t *testing.T) {
	t.Parallel()
	w := start(t, "")
	w.node("n", "4")
	w.pod("p", func(p *v1.Pod) {
		p.Spec.Volumes = []v1.Volume{{Name: "v", VolumeSource: v1.VolumeSource{
			PersistentVolumeClaim: &v1.PersistentVolumeClaimVolumeSource{ClaimName: "data"},
		}}}
	})
	w.expectRefused("p", `0/1 nodes are available: persistentvolumeclaim "data" not found. preemption:`)
	claim := &v1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: "data"},
		Spec: v1.PersistentVolumeClaimSpec{
			AccessModes: []v1.PersistentVolumeAccessMode{v1.ReadWriteOnce},
			Resources:   v1.VolumeResourceRequirements{Requests: v1.ResourceList{v1.ResourceStorage: resource.MustParse("1Gi")}},
		},
	}
	claim, err := w.CoreV1().PersistentVolumeClaims("default").Create(t.Context(), claim, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	w.expectRefused("p", "pod has unbound immediate PersistentVolumeClaims")
	pv := &v1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: "pv"},
		Spec: v1.PersistentVolumeSpec{
			Capacity: v1.ResourceList{v1.ResourceStorage: resource.MustParse("1Gi")}, AccessModes: claim.Spec.AccessModes,
			PersistentVolumeSource: v1.PersistentVolumeSource{HostPath: &v1.HostPathVolumeSource{Path: "/tmp"}},
		},
	}
	if _, err := w.CoreV1().PersistentVolumes().Create(t.Context(), pv, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	claim.Spec.VolumeName = "pv"
	claim.Annotations = map[string]string{"pv.kubernetes.io/bind-completed": "yes"}
	if _, err := w.CoreV1().PersistentVolumeClaims("default").Update(t.Context(), claim, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	w.expectOn("p", "n")
}

// BenchmarkBind is 1,000 pods that wait, until all are bound to one of 20 nodes.
func BenchmarkBind(b *testing.B) {
	w := start(b, "bench")
	for b.Loop() {
		b.StopTimer()
		ctx := context.Background()
		now := int64(0)
		if err := w.CoreV1().Nodes().DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{}); err != nil {
			b.Fatal(err)
		}
		if err := w.CoreV1().Pods("default").DeleteCollection(ctx, metav1.DeleteOptions{GracePeriodSeconds: &now}, metav1.ListOptions{}); err != nil {
			b.Fatal(err)
		}
		for i := range 1000 {
			w.pod(fmt.Sprint("p", i), func(p *v1.Pod) {
				p.Spec.SchedulerName = "bench"
				p.Spec.SchedulingGates = []v1.PodSchedulingGate{{Name: "example.com/wait"}}
			})
		}
		for i := range 20 {
			w.node(fmt.Sprint("n", i), "64")
		}
		list, err := w.CoreV1().Pods("default").List(ctx, metav1.ListOptions{})
		if err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		w.openGates(list.Items)
		wait.For(w.t, "all bound", func() error {
			list, err := w.CoreV1().Pods("default").List(ctx, metav1.ListOptions{FieldSelector: "spec.nodeName="})
			if err != nil || len(list.Items) > 0 {
				return wait.Seen(false, err, len(list.Items))
			}
			return nil
		})
	}
	b.ReportMetric(1000*float64(b.N)/b.Elapsed().Seconds(), "pods/s")
}

// openGates takes the gates away, 100 at a time.
func (w *world) openGates(pods []v1.Pod) {
	w.t.Helper()
	work := make(chan *v1.Pod)
	done := make(chan error, 100)
	for range 100 {
		go func() {
			var err error
			for p := range work {
				p.Spec.SchedulingGates = nil
				if _, e := w.CoreV1().Pods("default").Update(context.Background(), p, metav1.UpdateOptions{}); e != nil {
					err = e
				}
			}
			done <- err
		}()
	}
	for i := range pods {
		work <- &pods[i]
	}
	close(work)
	for range 100 {
		if err := <-done; err != nil {
			w.t.Fatal(err)
		}
	}
}
