package store

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"wheelhouse/cluster/store/etcd"

	clientv3 "go.etcd.io/etcd/client/v3"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/uuid"

	"wheelhouse/cluster/api"
)

var pods = &api.Kind{
	GroupVersionKind: corev1.SchemeGroupVersion.WithKind("Pod"), Plural: "pods", Namespaced: true,
	New: func() api.Object { return &corev1.Pod{} }, NewList: func() runtime.Object { return &corev1.PodList{} },
}

var nodes = &api.Kind{
	GroupVersionKind: corev1.SchemeGroupVersion.WithKind("Node"), Plural: "nodes",
	New: func() api.Object { return &corev1.Node{} }, NewList: func() runtime.Object { return &corev1.NodeList{} },
}

var services = &api.Kind{
	GroupVersionKind: corev1.SchemeGroupVersion.WithKind("Service"), Plural: "services", Namespaced: true,
	New: func() api.Object { return &corev1.Service{} }, NewList: func() runtime.Object { return &corev1.ServiceList{} },
}

var events = &api.Kind{
	GroupVersionKind: corev1.SchemeGroupVersion.WithKind("Event"), Plural: "events", Namespaced: true, TTL: true,
	New: func() api.Object { return &corev1.Event{} }, NewList: func() runtime.Object { return &corev1.EventList{} },
}

func podNode(obj api.Object) string { return obj.(*corev1.Pod).Spec.NodeName }

// embedded is an etcd of its own for a test.
func embedded(t testing.TB, dir string) *clientv3.Client {
	t.Helper()
	client, stop, err := etcd.StartEmbedded(t.Context(), etcd.Config{Dir: dir, Log: slog.Default()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return client
}

// open runs a store until the test ends, or until stop.
func open(t testing.TB, client *clientv3.Client, sole bool) (s *Store, stop func()) {
	t.Helper()
	s, err := New(Config{
		Client: client, Kinds: []*api.Kind{pods, nodes, services, events}, OnlyWriter: sole,
		Buckets: map[*api.Kind]func(api.Object) string{pods: podNode}, Log: slog.Default(),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
	t.Cleanup(stop)
	wait, end := context.WithTimeout(t.Context(), 20*time.Second)
	defer end()
	if err := s.WaitReady(wait); err != nil {
		t.Fatal(err)
	}
	return s, stop
}

func newStore(t testing.TB) *Store {
	t.Helper()
	s, _ := open(t, embedded(t, t.TempDir()), true)
	return s
}

// pod is about what the API server stores for a small pod.
func pod(namespace, name string) *corev1.Pod {
	yes, grace, priority := true, int64(30), int32(0)
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: name, UID: types.UID(uuid.NewUUID()), CreationTimestamp: metav1.Now().Rfc3339Copy(),
			Labels: map[string]string{"app": "test", "tier": "a"},
		},
		Spec: corev1.PodSpec{
			Volumes: []corev1.Volume{{Name: "kube-api-access-abcde", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
				Sources: []corev1.VolumeProjection{{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{ExpirationSeconds: &grace, Path: "token"}}},
			}}}},
			Containers: []corev1.Container{{
				Name: "main", Image: "wheelhouse/pause:1", ImagePullPolicy: corev1.PullIfNotPresent,
				Ports: []corev1.ContainerPort{{ContainerPort: 80, Protocol: corev1.ProtocolTCP}},
				Env:   []corev1.EnvVar{{Name: "ROLE", Value: "test"}},
				Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
					corev1.ResourceCPU: resource.MustParse("1m"), corev1.ResourceMemory: resource.MustParse("1Mi"),
				}},
				VolumeMounts:             []corev1.VolumeMount{{Name: "kube-api-access-abcde", ReadOnly: true, MountPath: "/var/run/secrets/kubernetes.io/serviceaccount"}},
				TerminationMessagePath:   "/dev/termination-log",
				TerminationMessagePolicy: corev1.TerminationMessageReadFile,
			}},
			RestartPolicy: corev1.RestartPolicyAlways, TerminationGracePeriodSeconds: &grace, DNSPolicy: corev1.DNSClusterFirst,
			ServiceAccountName: "default", SchedulerName: "default-scheduler", EnableServiceLinks: &yes, Priority: &priority,
			SecurityContext: &corev1.PodSecurityContext{},
			Tolerations: []corev1.Toleration{
				{Key: "node.kubernetes.io/not-ready", Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: &grace},
				{Key: "node.kubernetes.io/unreachable", Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: &grace},
			},
		},
		Status: corev1.PodStatus{Phase: corev1.PodPending, QOSClass: corev1.PodQOSBurstable},
	}
}

// edit changes a copy of a pod.
func edit(change func(*corev1.Pod)) func(*Item) (api.Object, error) {
	return func(cur *Item) (api.Object, error) {
		p := cur.Object().(*corev1.Pod).DeepCopy()
		change(p)
		return p, nil
	}
}

func must(t testing.TB) func(*Item, error) *Item {
	t.Helper()
	return func(i *Item, err error) *Item {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return i
	}
}

// next is the next event of a watch.
func next(t testing.TB, w *Watcher) *Event {
	t.Helper()
	select {
	case e, ok := <-w.Events():
		if !ok {
			t.Fatal("the watch ended")
		}
		return e
	case <-time.After(10 * time.Second):
		t.Fatal("no event within 10 s")
	}
	return nil
}

// expect reads events and compares them, in the form "ADDED ns/name".
func expect(t testing.TB, w *Watcher, want ...string) {
	t.Helper()
	var got []string
	last := int64(0)
	for range want {
		e := next(t, w)
		o := e.Item.Object()
		got = append(got, fmt.Sprintf("%s %s/%s", e.Type, o.GetNamespace(), o.GetName()))
		if o.GetResourceVersion() != fmt.Sprint(e.Revision) {
			t.Errorf("%s: the object's resourceVersion is %s, the event's %d", got[len(got)-1], o.GetResourceVersion(), e.Revision)
		}
		if e.Revision < last {
			t.Errorf("%s: revision %d after %d", got[len(got)-1], e.Revision, last)
		}
		last = e.Revision
	}
	if a, b := strings.Join(got, ", "), strings.Join(want, ", "); a != b {
		t.Fatalf("events:\n got %s\nwant %s", a, b)
	}
}
