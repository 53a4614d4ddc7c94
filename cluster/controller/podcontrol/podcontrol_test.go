package podcontrol

import (
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"wheelhouse/cluster/controller/podcontrol/podtest"
)

var now, pod, readyFor, notReady = podtest.Now, podtest.Pod, podtest.ReadyFor, podtest.NotReady

func on(n string) func(*v1.Pod)       { return func(p *v1.Pod) { p.Spec.NodeName = n } }
func labelled(v string) func(*v1.Pod) { return func(p *v1.Pod) { p.Labels["app"] = v } }
func ownedBy(uid types.UID) func(*v1.Pod) {
	yes := true
	return func(p *v1.Pod) {
		p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "ReplicationController", Name: "rc", UID: uid, Controller: &yes}}
	}
}

func TestPodsToDelete(t *testing.T) {
	tests := []struct {
		name string
		a, b *v1.Pod // a goes first
	}{
		{"without a node", pod("a", on("")), pod("b")},
		{"pending", pod("a", func(p *v1.Pod) { p.Status.Phase = v1.PodPending }), pod("b", notReady)},
		{"not ready", pod("a", notReady), pod("b")},
		{"cheap", pod("a", func(p *v1.Pod) {
			p.Annotations = map[string]string{"controller.kubernetes.io/pod-deletion-cost": "-5"}
		}), pod("b")},
		{"ready for a shorter time", pod("a", readyFor(time.Second)), pod("b", readyFor(time.Hour))},
		{"restarted more", pod("a", func(p *v1.Pod) { p.Status.ContainerStatuses = []v1.ContainerStatus{{RestartCount: 3}} }), pod("b")},
		{"younger", pod("a", func(p *v1.Pod) { p.CreationTimestamp = metav1.NewTime(now.Add(-time.Minute)) }), pod("b")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, in := range [][]*v1.Pod{{tt.a, tt.b}, {tt.b, tt.a}} {
				if got := PodsToDelete(in, in, 1, now); got[0].Name != "a" {
					t.Errorf("got %s", got[0].Name)
				}
			}
		})
	}
	t.Run("doubled up on a node", func(t *testing.T) {
		in := []*v1.Pod{pod("x", on("n1")), pod("y", on("n2")), pod("z", on("n2"))}
		if got := PodsToDelete(in, in, 1, now); got[0].Spec.NodeName != "n2" {
			t.Errorf("got %s", got[0].Name)
		}
	})
}

func TestClaims(t *testing.T) {
	rc := &v1.ReplicationController{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "rc", UID: "rc"}}
	set := &Owner{Object: rc, Selector: labels.SelectorFromSet(labels.Set{"app": "web"}), MayAdopt: ActivePod}
	pods := []*v1.Pod{
		pod("owned", ownedBy("rc")), pod("left", ownedBy("rc"), labelled("other")), pod("orphan"),
		pod("foreign", ownedBy("other")), pod("stranger", labelled("other")),
		pod("ended", func(p *v1.Pod) { p.Status.Phase = v1.PodFailed }),
	}
	c := sortClaims(set, pods)
	names := func(in []*v1.Pod) (out []string) {
		for _, p := range in {
			out = append(out, p.Name)
		}
		return out
	}
	for _, x := range []struct {
		what string
		got  []*v1.Pod
		want string
	}{{"owned", c.owned, "owned"}, {"adopt", c.adopt, "orphan"}, {"release", c.release, "left"}} {
		if !slices.Equal(names(x.got), []string{x.want}) {
			t.Errorf("%s: got %v, want %s", x.what, names(x.got), x.want)
		}
	}
	rc.DeletionTimestamp = &metav1.Time{Time: now}
	if c := sortClaims(set, pods); len(c.adopt)+len(c.release) != 0 {
		t.Errorf("a set that is going must claim nothing: %+v", c)
	}
}

func TestExpectations(t *testing.T) {
	at := now
	e := NewExpectations(func() time.Time { return at })
	e.Expect("k", 2, nil)
	e.Created("k", 1)
	if e.Met("k") {
		t.Error("one create is not seen yet")
	}
	e.Created("k", 1)
	if !e.Met("k") {
		t.Error("both creates were seen")
	}
	e.Expect("k", 0, []types.UID{"a"})
	e.Deleted("k", "b")
	if e.Met("k") {
		t.Error("the delete of a is not seen yet")
	}
	at = at.Add(expectationsTimeout + time.Second)
	if !e.Met("k") {
		t.Error("expectations must not hold indefinitely")
	}
}

func TestSlowStart(t *testing.T) {
	var calls atomic.Int32
	if n, err := SlowStart(100, func(int) error { calls.Add(1); return nil }); n != 100 || err != nil || calls.Load() != 100 {
		t.Errorf("got %d, %v after %d calls", n, err, calls.Load())
	}
	calls.Store(0)
	n, err := SlowStart(1000, func(int) error { calls.Add(1); return errors.New("no") })
	if n != 0 || err == nil || calls.Load() != 1 {
		t.Errorf("all fail: got %d, %v after %d calls, want one", n, err, calls.Load())
	}
}
