package replication

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	apps "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"

	"wheelhouse/cluster/client"
	"wheelhouse/cluster/controller/loop"
	"wheelhouse/cluster/controller/podcontrol/podtest"
)

var now, pod, readyFor, notReady = podtest.Now, podtest.Pod, podtest.ReadyFor, podtest.NotReady

func TestNextStatus(t *testing.T) {
	rs := &apps.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Generation: 3}, Spec: apps.ReplicaSetSpec{MinReadySeconds: 30}}
	set := &Set{ReplicaSet: rs, Template: &v1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "web", "v": "2"}}}}
	pods := []*v1.Pod{pod("a"), pod("b", readyFor(time.Second)), pod("c", notReady, func(p *v1.Pod) { p.Labels["v"] = "2" })}
	got := nextStatus(set, pods, 1, 0, nil, now)
	if want := (apps.ReplicaSetStatus{Replicas: 3, FullyLabeledReplicas: 1, ReadyReplicas: 2, AvailableReplicas: 1, ObservedGeneration: 3}); !equality.Semantic.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	failed := nextStatus(set, pods, 0, 2, errors.New("quota"), now)
	if c := failed.Conditions; len(c) != 1 || c[0].Type != apps.ReplicaSetReplicaFailure || c[0].Reason != "FailedCreate" || c[0].Message != "quota" {
		t.Errorf("got %+v", c)
	}
	refusal := apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "web-", errors.New("exceeded quota: small"))
	failed = nextStatus(set, pods, 0, -1, fmt.Errorf("delete pod: %w", refusal), now)
	if c := failed.Conditions; len(c) != 1 || c[0].Reason != "FailedDelete" || c[0].Message != `pods "web-" is forbidden: exceeded quota: small` {
		t.Errorf("got %+v", c)
	}
	set.CountsTerminating, rs.Status = true, failed
	if st := nextStatus(set, pods, 2, 0, nil, now); *st.TerminatingReplicas != 2 || len(st.Conditions) != 0 {
		t.Errorf("got %+v", st)
	}
}

func TestNextAvailable(t *testing.T) {
	pods := []*v1.Pod{pod("a"), pod("b", readyFor(10*time.Second)), pod("c", readyFor(2*time.Second)), pod("d", notReady)}
	for minReady, want := range map[int32]time.Duration{0: 0, 5: 3 * time.Second, 30: 20 * time.Second, 1000: 940 * time.Second} {
		if got := nextAvailable(pods, minReady, now); got != want {
			t.Errorf("minReady %d: got %v, want %v", minReady, got, want)
		}
	}
}

// TestRelated: the pods of the older sets of a Deployment count as neighbours.
func TestRelated(t *testing.T) {
	yes := true
	set := func(name, owner string) *apps.ReplicaSet {
		rs := &apps.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, UID: types.UID(name)}}
		if owner != "" {
			rs.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "Deployment", Name: owner, UID: types.UID(owner), Controller: &yes}}
		}
		return rs
	}
	of := func(name string) func(*v1.Pod) {
		return func(p *v1.Pod) {
			p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: name, UID: types.UID(name), Controller: &yes}}
		}
	}
	f := client.Informers(fake.NewClientset())
	r, err := New(Config{Shared: loop.Shared{Controller: "replicaset", Informers: f}, Kind: ReplicaSets})
	if err != nil {
		t.Fatal(err)
	}
	for _, rs := range []*apps.ReplicaSet{set("new", "web"), set("old", "web"), set("other", "mail"), set("alone", "")} {
		if err := r.sets.Add(rs); err != nil {
			t.Fatal(err)
		}
	}
	own := pod("a", of("new"))
	for _, p := range []*v1.Pod{own, pod("b", of("old")), pod("c", of("other")), pod("d", of("alone")), pod("e")} {
		if err := f.Core().V1().Pods().Informer().GetIndexer().Add(p); err != nil {
			t.Fatal(err)
		}
	}
	names := func(s *Set) string {
		var out []string
		related, err := r.related(s, []*v1.Pod{own})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range related {
			out = append(out, p.Name)
		}
		slices.Sort(out)
		return strings.Join(out, " ")
	}
	if got := names(&Set{ReplicaSet: set("new", "web")}); got != "a b" {
		t.Errorf("pods of web: got %s", got)
	}
	if got := names(&Set{ReplicaSet: set("alone", "")}); got != "a" {
		t.Errorf("a set of its own: got %s", got)
	}
}
