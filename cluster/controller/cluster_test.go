package controller_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/cache"

	"wheelhouse/cluster/apiserver/apitest"
	"wheelhouse/cluster/client"
	"wheelhouse/cluster/controller"
	"wheelhouse/cluster/scheduler"
)

// testCluster is a real API server with the controllers, the scheduler, and nodes
// whose kubelet only says what a kubelet would say.
type testCluster struct {
	kubernetes.Interface
	t        testing.TB
	controls *controller.Controllers
	seenIP   atomic.Int32
}

func startCluster(t testing.TB, edit ...func(*controller.Config)) *testCluster {
	t.Helper()
	server, _ := apitest.StartServer(t)
	cfg := client.InProcess(server.Handler(), &client.User{Name: "system:admin", Groups: []string{"system:masters"}})
	set := kubernetes.NewForConfigOrDie(cfg)
	c := &testCluster{Interface: set, t: t}
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	shared := client.Informers(set)
	config := controller.Config{
		Client: set, Metadata: metadata.NewForConfigOrDie(cfg), Informers: shared,
		Recorder: client.Recorder(set, "controller-manager").As, Log: log, RootCA: []byte("PEM"),
	}
	for _, e := range edit {
		e(&config)
	}
	controls, err := controller.New(config)
	if err != nil {
		t.Fatal(err)
	}
	c.controls = controls
	sched, err := scheduler.New(scheduler.Config{
		Client: set, Informers: shared, Recorder: client.Recorder(set, "default-scheduler"), Log: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() { done <- controls.Run(ctx) }()
	go func() { done <- sched.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		for range 2 {
			if err := <-done; err != nil {
				t.Errorf("run: %v", err)
			}
		}
		shared.Shutdown()
	})
	c.kubelets(ctx, shared)
	return c
}

// kubelets make bound pods Running and Ready, and let deleted ones go.
func (c *testCluster) kubelets(ctx context.Context, shared *client.SharedInformers) {
	work := make(chan *v1.Pod, 10000)
	see := func(o any) {
		if p, ok := o.(*v1.Pod); ok && p.Spec.NodeName != "" && p.Spec.NodeName != "dead" {
			work <- p
		}
	}
	_, err := shared.Core().V1().Pods().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: see, UpdateFunc: func(_, o any) { see(o) },
	})
	if err != nil {
		c.t.Fatal(err)
	}
	for range 16 {
		go func() {
			for {
				select {
				case <-ctx.Done():
					return
				case p := <-work:
					c.kubelet(ctx, p)
				}
			}
		}()
	}
}

func (c *testCluster) kubelet(ctx context.Context, p *v1.Pod) {
	api := c.CoreV1().Pods(p.Namespace)
	if p.DeletionTimestamp != nil {
		now := int64(0)
		_ = api.Delete(ctx, p.Name, metav1.DeleteOptions{GracePeriodSeconds: &now, Preconditions: &metav1.Preconditions{UID: &p.UID}})
		return
	}
	if p.Status.Phase != v1.PodPending && p.Status.Phase != "" {
		return
	}
	next := p.DeepCopy()
	n := c.seenIP.Add(1)
	next.Status.Phase = v1.PodRunning
	next.Status.PodIP = fmt.Sprintf("10.1.%d.%d", n/200, n%200+1)
	next.Status.PodIPs = []v1.PodIP{{IP: next.Status.PodIP}}
	next.Status.Conditions = append(next.Status.Conditions, v1.PodCondition{Type: v1.PodReady, Status: v1.ConditionTrue, LastTransitionTime: metav1.Now()})
	_, _ = api.UpdateStatus(ctx, next, metav1.UpdateOptions{})
}

func (c *testCluster) node(name string) *v1.Node {
	c.t.Helper()
	n, err := c.CoreV1().Nodes().Create(c.t.Context(), &v1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{v1.LabelHostname: name}},
		Status: v1.NodeStatus{
			Conditions: []v1.NodeCondition{{Type: v1.NodeReady, Status: v1.ConditionTrue, LastHeartbeatTime: metav1.Now()}},
			Allocatable: v1.ResourceList{
				v1.ResourceCPU: resource.MustParse("8"), v1.ResourceMemory: resource.MustParse("16Gi"), v1.ResourcePods: resource.MustParse("500"),
			},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		c.t.Fatal(err)
	}
	return n
}

func container() []v1.Container { return []v1.Container{{Name: "c", Image: "nginx"}} }

func makeRC(name string, replicas int32, app string) *v1.ReplicationController {
	set := map[string]string{"app": app}
	return &v1.ReplicationController{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name},
		Spec: v1.ReplicationControllerSpec{
			Replicas: &replicas, Selector: set,
			Template: &v1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: set}, Spec: v1.PodSpec{Containers: container()}},
		},
	}
}

func (c *testCluster) rc(name string, replicas int32, app string) *v1.ReplicationController {
	c.t.Helper()
	rc, err := c.CoreV1().ReplicationControllers("default").Create(c.t.Context(), makeRC(name, replicas, app), metav1.CreateOptions{})
	if err != nil {
		c.t.Fatal(err)
	}
	return rc
}

// pods lists the pods of an app that are not on their way out.
func (c *testCluster) pods(app string) []v1.Pod {
	c.t.Helper()
	list, err := c.CoreV1().Pods("default").List(c.t.Context(), metav1.ListOptions{LabelSelector: "app=" + app})
	if err != nil {
		c.t.Fatal(err)
	}
	var out []v1.Pod
	for _, p := range list.Items {
		if p.DeletionTimestamp == nil {
			out = append(out, p)
		}
	}
	return out
}

func (c *testCluster) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}
