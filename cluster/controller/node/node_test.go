package node

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/record"

	"wheelhouse/cluster/client"
	"wheelhouse/cluster/controller/loop"
)

var now = time.Unix(1_000_000, 0)

func node(status v1.ConditionStatus, edit ...func(*v1.Node)) *v1.Node {
	n := &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}}
	n.Status.Conditions = []v1.NodeCondition{{Type: v1.NodeReady, Status: status, LastHeartbeatTime: metav1.NewTime(now)}}
	for _, e := range edit {
		e(n)
	}
	return n
}

func TestWantedTaints(t *testing.T) {
	own := v1.Taint{Key: "own", Effect: v1.TaintEffectNoSchedule}
	tests := []struct {
		name    string
		node    *v1.Node
		want    []string
		changed bool
	}{
		{"ready", node(v1.ConditionTrue), nil, false},
		{"not ready", node(v1.ConditionFalse), []string{"node.kubernetes.io/not-ready:NoSchedule", "node.kubernetes.io/not-ready:NoExecute"}, true},
		{"unknown", node(v1.ConditionUnknown), []string{"node.kubernetes.io/unreachable:NoSchedule", "node.kubernetes.io/unreachable:NoExecute"}, true},
		{"never reported", node(v1.ConditionTrue, func(n *v1.Node) {
			n.Status.Conditions, n.Spec.Unschedulable = nil, true
			n.Spec.Taints = []v1.Taint{{Key: v1.TaintNodeNotReady, Effect: v1.TaintEffectNoSchedule}, own}
		}), []string{"own:NoSchedule", "node.kubernetes.io/unschedulable:NoSchedule"}, true},
		{
			"cordoned, keeps its own", node(v1.ConditionTrue, func(n *v1.Node) { n.Spec.Unschedulable, n.Spec.Taints = true, []v1.Taint{own} }),
			[]string{"own:NoSchedule", "node.kubernetes.io/unschedulable:NoSchedule"},
			true,
		},
		{"ready again", node(v1.ConditionTrue, func(n *v1.Node) {
			n.Spec.Taints = []v1.Taint{own, {Key: v1.TaintNodeUnreachable, Effect: v1.TaintEffectNoExecute}}
		}), []string{"own:NoSchedule"}, true},
		{"no memory", node(v1.ConditionTrue, func(n *v1.Node) {
			n.Status.Conditions = append(n.Status.Conditions, v1.NodeCondition{Type: v1.NodeMemoryPressure, Status: v1.ConditionTrue})
		}), []string{"node.kubernetes.io/memory-pressure:NoSchedule"}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			taints, changed := desiredTaints(tt.node, metav1.NewTime(now))
			var got []string
			for _, x := range taints {
				got = append(got, x.Key+":"+string(x.Effect))
			}
			if !slices.Equal(got, tt.want) || changed != tt.changed {
				t.Errorf("got %v %v, want %v %v", got, changed, tt.want, tt.changed)
			}
			again := tt.node.DeepCopy()
			again.Spec.Taints = taints
			if _, changed := desiredTaints(again, metav1.NewTime(now)); changed {
				t.Error("not stable")
			}
		})
	}
}

func TestMayStay(t *testing.T) {
	added := metav1.NewTime(now)
	dead := node(v1.ConditionUnknown, func(n *v1.Node) {
		n.Spec.Taints = []v1.Taint{{Key: v1.TaintNodeUnreachable, Effect: v1.TaintEffectNoExecute, TimeAdded: &added}}
	})
	tolerate := func(seconds *int64) []v1.Toleration {
		return []v1.Toleration{{Key: v1.TaintNodeUnreachable, Operator: v1.TolerationOpExists, TolerationSeconds: seconds}}
	}
	byHand := dead.DeepCopy()
	byHand.Spec.Taints[0].TimeAdded = nil
	minuteAgo := metav1.NewTime(now.Add(-time.Minute))
	both := dead.DeepCopy()
	both.Spec.Taints = append(both.Spec.Taints, v1.Taint{Key: v1.TaintNodeUnreachable, Value: "x", Effect: v1.TaintEffectNoExecute, TimeAdded: &minuteAgo})
	five := int64(300)
	tests := []struct {
		name        string
		node        *v1.Node
		tolerations []v1.Toleration
		limit       time.Duration
		want        tolerated
	}{
		{"healthy node", node(v1.ConditionTrue), nil, 0, tolerated{indefinitely: true}},
		{"no toleration", dead, nil, 0, tolerated{until: now}},
		{"indefinitely", dead, tolerate(nil), time.Second, tolerated{indefinitely: true}},
		{"five minutes", dead, tolerate(&five), 0, tolerated{until: now.Add(5 * time.Minute)}},
		{"a person's taint does not say when it came", byHand, tolerate(&five), 0, tolerated{until: now.Add(5 * time.Minute)}},
		{"of several taints the first that ends", both, tolerate(&five), 0, tolerated{until: now.Add(4 * time.Minute)}},
		{"five minutes, capped", dead, tolerate(&five), 10 * time.Second, tolerated{until: now.Add(10 * time.Second)}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := &v1.Pod{Spec: v1.PodSpec{Tolerations: tt.tolerations}}
			got := toleratedUntil(p, tt.node, tt.limit, now)
			if got.indefinitely != tt.want.indefinitely || !got.until.Equal(tt.want.until) {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

// A node that was created this moment is annotated, gets a network and loses the taint of its creation; nothing
// waits for its first status.
func TestNewNodeIsWrittenAtOnce(t *testing.T) {
	n := &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n", CreationTimestamp: metav1.NewTime(now)}}
	n.Spec.Taints = []v1.Taint{{Key: v1.TaintNodeNotReady, Effect: v1.TaintEffectNoSchedule}}
	set := fake.NewClientset(n)
	shared := client.Informers(set)
	c, err := New(Config{
		Shared:      loop.Shared{Client: set, Informers: shared, Recorder: record.NewFakeRecorder(10), Log: slog.New(slog.DiscardHandler)},
		ClusterCIDR: "10.246.0.0/16",
	})
	if err != nil {
		t.Fatal(err)
	}
	c.now = func() time.Time { return now }
	if err := shared.Core().V1().Nodes().Informer().GetStore().Add(n); err != nil {
		t.Fatal(err)
	}
	if err := c.reconcile(t.Context(), "n"); err != nil {
		t.Fatal(err)
	}
	got, err := set.CoreV1().Nodes().Get(t.Context(), "n", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got.Annotations[v1.ObjectTTLAnnotationKey] != "0" || got.Spec.PodCIDR != "10.246.0.0/24" || len(got.Spec.Taints) > 0 {
		t.Errorf("annotations %v, spec %+v", got.Annotations, got.Spec)
	}
}

// The seconds follow the size of the cluster, and not each node that comes and goes at a limit.
func TestTTLSteps(t *testing.T) {
	step := 0
	for _, c := range []struct{ nodes, seconds int }{
		{0, 0}, {100, 0}, {101, 15}, {95, 15}, {90, 15}, {89, 0}, {500, 15}, {501, 30}, {5000, 300}, {1800, 300}, {1799, 60}, {1, 0},
	} {
		step = ttlStep(step, c.nodes)
		if got := ttlSteps[step].seconds; got != c.seconds {
			t.Errorf("%d nodes: %d s, want %d", c.nodes, got, c.seconds)
		}
	}
}

func TestPodThatCameAfterTheTaint(t *testing.T) {
	hourAgo, minuteAgo := metav1.NewTime(now.Add(-time.Hour)), metav1.NewTime(now.Add(-time.Minute))
	n := node(v1.ConditionTrue, func(n *v1.Node) {
		n.Spec.Taints = []v1.Taint{{Key: "k", Effect: v1.TaintEffectNoExecute, TimeAdded: &hourAgo}}
	})
	five := int64(300)
	p := &v1.Pod{
		Spec:   v1.PodSpec{Tolerations: []v1.Toleration{{Key: "k", Operator: v1.TolerationOpExists, TolerationSeconds: &five}}},
		Status: v1.PodStatus{Conditions: []v1.PodCondition{{Type: v1.PodScheduled, Status: v1.ConditionTrue, LastTransitionTime: minuteAgo}}},
	}
	if got := toleratedUntil(p, n, 0, now); !got.until.Equal(now.Add(5 * time.Minute)) {
		t.Errorf("got %+v", got)
	}
}

// The clock is set by a year while a pod tolerates its node: it is evicted when its time has passed, not sooner or later.
func TestEvictionWhenTheClockIsSet(t *testing.T) {
	for _, by := range []time.Duration{365 * 24 * time.Hour, -365 * 24 * time.Hour} {
		added, five := metav1.NewTime(now), int64(300)
		n := node(v1.ConditionUnknown, func(n *v1.Node) {
			n.Spec.Taints = []v1.Taint{{Key: v1.TaintNodeUnreachable, Effect: v1.TaintEffectNoExecute, TimeAdded: &added}}
		})
		other := node(v1.ConditionTrue, func(n *v1.Node) { n.Name = "other" })
		p := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "p", UID: "u"}, Spec: v1.PodSpec{
			NodeName: "n", Tolerations: []v1.Toleration{{Key: v1.TaintNodeUnreachable, Operator: v1.TolerationOpExists, TolerationSeconds: &five}},
		}}
		set := fake.NewClientset(n, other, p)
		shared := client.Informers(set)
		c, err := New(Config{Shared: loop.Shared{Client: set, Informers: shared, Recorder: record.NewFakeRecorder(10), Log: slog.New(slog.DiscardHandler)}})
		if err != nil {
			t.Fatal(err)
		}
		clock, uptime := now, time.Minute
		c.now, c.uptime = func() time.Time { return clock }, func() time.Duration { return uptime }
		store := shared.Core().V1()
		if err := errors.Join(store.Nodes().Informer().GetStore().Add(n), store.Nodes().Informer().GetStore().Add(other), store.Pods().Informer().GetStore().Add(p)); err != nil {
			t.Fatal(err)
		}
		for _, step := range []struct {
			set, passed time.Duration
			gone        bool
		}{{0, 0, false}, {by, time.Minute, false}, {0, 3 * time.Minute, false}, {0, time.Minute, true}} {
			clock, uptime = clock.Add(step.set+step.passed), uptime+step.passed
			if err := c.evictPod(t.Context(), "default/p"); err != nil {
				t.Fatal(err)
			}
			_, err := set.CoreV1().Pods("default").Get(t.Context(), "p", metav1.GetOptions{})
			if gone := apierrors.IsNotFound(err); gone != step.gone {
				t.Errorf("set by %v, %v after the first look: evicted %v, want %v", by, uptime-time.Minute, gone, step.gone)
			}
		}
	}
}

func TestPulse(t *testing.T) {
	var p heartbeat
	n := node(v1.ConditionTrue)
	p.update(n, metav1.Time{}, now)
	p.update(n, metav1.Time{}, now.Add(time.Minute))
	if !p.seen.Equal(now) {
		t.Error("no new sign of life, but it was taken for one")
	}
	p.update(n, metav1.NewTime(now.Add(-time.Hour)), now.Add(time.Minute))
	if !p.seen.Equal(now.Add(time.Minute)) {
		t.Error("a first lease is a sign of life, whatever the node's clock says")
	}
	p.update(n, metav1.NewTime(now.Add(-2*time.Hour)), now.Add(2*time.Minute))
	if !p.seen.Equal(now.Add(2 * time.Minute)) {
		t.Error("a lease of before the last one is a heartbeat: the node's clock was set back")
	}
	n.Status.Conditions[0].LastHeartbeatTime = metav1.NewTime(now.Add(-2 * time.Hour))
	p.update(n, metav1.NewTime(now.Add(-2*time.Hour)), now.Add(3*time.Minute))
	if !p.seen.Equal(now.Add(3 * time.Minute)) {
		t.Error("a status of before the last one is a heartbeat, too")
	}
	p.update(n, metav1.Time{}, now.Add(4*time.Minute))
	if !p.seen.Equal(now.Add(3 * time.Minute)) {
		t.Error("the lease was deleted, and that was taken for a heartbeat")
	}
	conds, changed := unknownConditions(n, metav1.NewTime(now))
	if !changed || len(conds) != 4 || conds[0].Status != v1.ConditionUnknown {
		t.Errorf("got %+v", conds)
	}
	n.Status.Conditions = conds
	if _, changed := unknownConditions(n, metav1.NewTime(now)); changed {
		t.Error("not stable")
	}
}

func TestSubnets(t *testing.T) {
	s, err := newSubnets("10.246.0.0/22", 24)
	if err != nil {
		t.Fatal(err)
	}
	s.take("master", "10.246.0.0/24")
	var got []string
	for i := range 3 {
		c, err := s.assign(fmt.Sprint("n", i))
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, c)
	}
	if want := []string{"10.246.1.0/24", "10.246.2.0/24", "10.246.3.0/24"}; !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
	if _, err := s.assign("n9"); err == nil {
		t.Error("all are given, but one more was found")
	}
	s.free("n1")
	if c, err := s.assign("n9"); err != nil || c != "10.246.2.0/24" {
		t.Errorf("got %s, %v", c, err)
	}
}
