package bench

import (
	"context"
	"fmt"
	"log/slog"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	typed "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/utils/ptr"

	"wheelhouse/cluster/apiserver/apitest"
	"wheelhouse/cluster/client"
	"wheelhouse/cluster/scheduler"
)

const (
	manyNodes = 5000
	manyPods  = 10_000
	zones     = 10
)

// BenchmarkSchedule is how fast pods that all wait get their nodes: 10,000 pods of 10
// controllers' kind on 5,000 nodes in 10 zones, through the real API server and its
// etcd, as the server process runs them (in memory, without a socket). The clock runs
// from the start of the scheduler until the last pod has its node.
func BenchmarkSchedule(b *testing.B) {
	server, _ := apitest.StartServer(b)
	set := kubernetes.NewForConfigOrDie(client.InProcess(server.Handler(), &client.User{Name: "system:admin", Groups: []string{"system:masters"}}))
	spread(b, manyNodes, writers, func(i int) error {
		_, err := set.CoreV1().Nodes().Create(b.Context(), zonedNode(i), metav1.CreateOptions{})
		return err
	})
	for _, path := range paths {
		b.Run(path.name, func(b *testing.B) {
			for range b.N {
				schedule(b, set, path.edit)
			}
		})
	}
}

// paths are the kinds of pods whose decisions cost differently.
var paths = []struct {
	name string
	edit func(*corev1.Pod)
}{
	{"Plain", func(*corev1.Pod) {}},
	{"NodeAffinity", func(p *corev1.Pod) {
		p.Spec.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{
			RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
				MatchExpressions: []corev1.NodeSelectorRequirement{{Key: corev1.LabelTopologyZone, Operator: corev1.NodeSelectorOpIn, Values: []string{"zone-1", "zone-2"}}},
			}}},
		}}
	}},
	{"PodAffinity", func(p *corev1.Pod) {
		p.Spec.Affinity = &corev1.Affinity{PodAffinity: &corev1.PodAffinity{RequiredDuringSchedulingIgnoredDuringExecution: beside(p, corev1.LabelTopologyZone)}}
	}},
	{"AntiAffinity", func(p *corev1.Pod) {
		p.Spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: beside(p, corev1.LabelHostname)}}
	}},
	{"TopologySpread", func(p *corev1.Pod) {
		for _, key := range []string{corev1.LabelTopologyZone, corev1.LabelHostname} {
			p.Spec.TopologySpreadConstraints = append(p.Spec.TopologySpreadConstraints, corev1.TopologySpreadConstraint{
				MaxSkew: 1, TopologyKey: key, WhenUnsatisfiable: corev1.DoNotSchedule, LabelSelector: &metav1.LabelSelector{MatchLabels: p.Labels},
			})
		}
	}},
}

// beside is a term on the pods of the same controller.
func beside(p *corev1.Pod, key string) []corev1.PodAffinityTerm {
	return []corev1.PodAffinityTerm{{TopologyKey: key, LabelSelector: &metav1.LabelSelector{MatchLabels: p.Labels}}}
}

func zonedNode(i int) *corev1.Node {
	name := fmt.Sprintf("node-%04d", i)
	size := corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("4"), corev1.ResourceMemory: resource.MustParse("32Gi"), corev1.ResourcePods: resource.MustParse("110")}
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelHostname: name, corev1.LabelTopologyZone: fmt.Sprintf("zone-%d", i%zones)}},
		Status: corev1.NodeStatus{
			Capacity: size, Allocatable: size,
			Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "Simulated", LastHeartbeatTime: metav1.Now(), LastTransitionTime: metav1.Now()}},
		},
	}
}

// schedule has the pods wait for a scheduler, starts it, and reports how many pods a
// second got a node, and what one took of the processors (scheduler, API server and
// etcd together), which says more where the machine has others to serve.
func schedule(b *testing.B, set kubernetes.Interface, edit func(*corev1.Pod)) {
	b.Helper()
	pods := set.CoreV1().Pods(space)
	spread(b, manyPods, writers, func(i int) error {
		p := podNamed(fmt.Sprintf("waiting-%05d", i), fmt.Sprintf("app-%d", i%10))
		p.Spec.SchedulerName = "bench"
		p.Spec.Containers[0].Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m"), corev1.ResourceMemory: resource.MustParse("100Mi")}
		edit(p)
		_, err := pods.Create(b.Context(), p, metav1.CreateOptions{})
		return err
	})
	ctx, stop := context.WithCancel(b.Context())
	s, err := scheduler.New(scheduler.Config{
		Client: set, Informers: client.Informers(set), Recorder: client.Recorder(set, "bench"),
		Name: "bench", Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		b.Fatal(err)
	}
	done := make(chan error, 1)
	began, used := time.Now(), processorTime(b)
	go func() { done <- s.Run(ctx) }()
	left, limit := manyPods, time.After(3*time.Minute)
	for left > 0 {
		select {
		case <-limit:
			b.Fatalf("three minutes on, %d pods have no node", left)
		case <-time.After(100 * time.Millisecond):
			left = unbound(b, pods)
		}
	}
	b.ReportMetric(manyPods/time.Since(began).Seconds(), "pods/s")
	b.ReportMetric((processorTime(b)-used).Seconds()*1000/manyPods, "cpu-ms/pod")
	awaitEvents(b, set)
	stop()
	if err := <-done; err != nil {
		b.Fatal(err)
	}
	if err := pods.DeleteCollection(b.Context(), metav1.DeleteOptions{GracePeriodSeconds: ptr.To[int64](0)}, metav1.ListOptions{}); err != nil {
		b.Fatal(err)
	}
}

// processorTime is what this process has used so far.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// awaitEvents waits until each pod's event is written, so that the next measure is
// not disturbed, and removes them.
func awaitEvents(b *testing.B, set kubernetes.Interface) {
	b.Helper()
	events := set.CoreV1().Events(space)
	limit := time.After(time.Minute)
	for seen := int64(0); seen < manyPods; {
		select {
		case <-limit:
			b.Fatalf("a minute on, there are %d events of %d", seen, manyPods)
		case <-time.After(100 * time.Millisecond):
		}
		list, err := events.List(b.Context(), metav1.ListOptions{Limit: 1})
		if err != nil {
			b.Fatal(err)
		}
		if seen = int64(len(list.Items)); list.RemainingItemCount != nil {
			seen += *list.RemainingItemCount
		}
	}
	if err := events.DeleteCollection(b.Context(), metav1.DeleteOptions{}, metav1.ListOptions{}); err != nil {
		b.Fatal(err)
	}
}

// unbound counts the pods without a node; it asks for one only, which costs little.
func unbound(b *testing.B, pods typed.PodInterface) int {
	b.Helper()
	list, err := pods.List(b.Context(), metav1.ListOptions{FieldSelector: "spec.nodeName=", Limit: 1})
	if err != nil {
		b.Fatal(err)
	}
	left := len(list.Items)
	if list.RemainingItemCount != nil {
		left += int(*list.RemainingItemCount)
	}
	return left
}
