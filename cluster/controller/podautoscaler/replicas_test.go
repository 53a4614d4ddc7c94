package podautoscaler

import (
	"fmt"
	"testing"
	"time"

	autoscaling "k8s.io/api/autoscaling/v2"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var now = time.Unix(1_000_000, 0)

// one pod of a table: what it uses in thousandths (-1: unknown), and how it is.
type podIs struct {
	uses  int64
	phase v1.PodPhase // Running if empty
	fresh bool        // started a moment ago
	ready v1.ConditionStatus
	going bool
	asks  string // the request; 1 core if empty, "-" for none
}

func uses(all ...int64) []podIs {
	var out []podIs
	for _, u := range all {
		out = append(out, podIs{uses: u})
	}
	return out
}

func build(list []podIs, name v1.ResourceName, replicas int32) *calculation {
	q := &calculation{
		used: map[string]usage{}, resource: name, replicas: replicas, tolerance: tolerances{0.1, 0.1}, now: now,
		startup: startup{initialization: 5 * time.Minute, readiness: 30 * time.Second},
	}
	for i, is := range list {
		p := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("p", i)}, Status: v1.PodStatus{Phase: v1.PodRunning}}
		if is.phase != "" {
			p.Status.Phase = is.phase
		}
		if is.going {
			p.DeletionTimestamp = &metav1.Time{Time: now}
		}
		began, changed := now.Add(-time.Hour), now.Add(-time.Hour)
		if is.fresh {
			began, changed = now.Add(-20*time.Second), now.Add(-2*time.Second)
		}
		ready := v1.ConditionTrue
		if is.ready != "" {
			ready = is.ready
		}
		p.Status.StartTime = &metav1.Time{Time: began}
		p.Status.Conditions = []v1.PodCondition{{Type: v1.PodReady, Status: ready, LastTransitionTime: metav1.NewTime(changed)}}
		c := v1.Container{Name: "c"}
		switch is.asks {
		case "-":
		case "":
			c.Resources.Requests = v1.ResourceList{name: resource.MustParse("1")}
		default:
			c.Resources.Requests = v1.ResourceList{name: resource.MustParse(is.asks)}
		}
		p.Spec.Containers = []v1.Container{c}
		q.pods = append(q.pods, p)
		if is.uses >= 0 {
			q.used[p.Name] = usage{value: is.uses, at: now, window: 15 * time.Second}
		}
	}
	return q
}

// An autoscaler's own tolerances hold in their direction; the other keeps the default.
func TestTolerances(t *testing.T) {
	half := resource.MustParse("0.5")
	up := &autoscaling.HPAScalingRules{Tolerance: &half}
	for _, tt := range []struct {
		behavior *autoscaling.HorizontalPodAutoscalerBehavior
		uses     int64
		want     int32
	}{
		{nil, 700, 3},
		{&autoscaling.HorizontalPodAutoscalerBehavior{ScaleUp: up}, 700, 2},
		{&autoscaling.HorizontalPodAutoscalerBehavior{ScaleUp: up}, 800, 4},
		{&autoscaling.HorizontalPodAutoscalerBehavior{ScaleUp: up}, 250, 1},
		{&autoscaling.HorizontalPodAutoscalerBehavior{ScaleDown: up}, 250, 2},
		{&autoscaling.HorizontalPodAutoscalerBehavior{ScaleDown: up}, 700, 3},
	} {
		q := build(uses(tt.uses, tt.uses), v1.ResourceCPU, 2)
		q.tolerance = (&Controller{}).tolerances(&autoscaling.HorizontalPodAutoscaler{Spec: autoscaling.HorizontalPodAutoscalerSpec{Behavior: tt.behavior}})
		got, err := q.byUtilization(50)
		if err != nil || got.replicas != tt.want {
			t.Errorf("%+v, %d: %d replicas, %v; want %d", tt.behavior, tt.uses, got.replicas, err, tt.want)
		}
	}
}

func TestByUtilization(t *testing.T) {
	for _, tt := range []struct {
		name     string
		pods     []podIs
		resource v1.ResourceName
		target   int32
		want     int32
		percent  int32
		err      string
	}{
		{name: "twice too much", pods: uses(1000, 1000, 1000), target: 50, want: 6, percent: 100},
		{name: "a little too much is tolerated", pods: uses(540, 540, 540), target: 50, want: 3, percent: 54},
		{name: "a little more is not", pods: uses(560, 560, 560), target: 50, want: 4, percent: 56},
		{name: "too little", pods: uses(100, 100, 100), target: 50, want: 1, percent: 10},
		{name: "rounded up", pods: uses(200, 200, 200), target: 50, want: 2, percent: 20},
		{name: "nothing", pods: uses(0, 0), target: 50, want: 0, percent: 0},
		{name: "by what is requested", pods: []podIs{{uses: 100, asks: "100m"}, {uses: 100, asks: "100m"}}, target: 50, want: 4, percent: 100},
		{name: "what is not ready counts as idle", pods: append(uses(1000, 1000, 1000), podIs{uses: 900, fresh: true}), target: 40, want: 8, percent: 100},
		{name: "ready for a moment is too short", pods: append(uses(600), podIs{uses: 600, fresh: true, ready: v1.ConditionFalse}), target: 50, want: 2, percent: 60},
		{name: "what starts does not count on the way down", pods: append(uses(100, 100), podIs{uses: 900, fresh: true}), target: 50, want: 1, percent: 10},
		{name: "memory counts from the start", pods: append(uses(1000), podIs{uses: 1000, fresh: true}), resource: v1.ResourceMemory, target: 50, want: 4, percent: 100},
		{name: "pending is idle", pods: append(uses(1000, 1000), podIs{uses: -1, phase: v1.PodPending}), target: 50, want: 4, percent: 100},
		{name: "the unknown uses nothing on the way up", pods: append(uses(1000, 1000), podIs{uses: -1}), target: 50, want: 4, percent: 100},
		{name: "the unknown uses all on the way down", pods: append(uses(100, 100), podIs{uses: -1}), target: 50, want: 3, percent: 10},
		{name: "what goes does not count", pods: append(uses(1000), podIs{uses: 9000, going: true}, podIs{uses: 9000, phase: v1.PodFailed}), target: 50, want: 2, percent: 100},
		{name: "no pods", target: 50, err: "no pods returned by selector while calculating replica count"},
		{name: "nobody is ready", pods: []podIs{{uses: 1, fresh: true}}, target: 50, err: "did not receive metrics for targeted pods (pods might be unready)"},
		{name: "no request", pods: []podIs{{uses: 1, asks: "-"}}, target: 50, err: "missing request for cpu in container c of Pod p0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			name := tt.resource
			if name == "" {
				name = v1.ResourceCPU
			}
			a, err := build(tt.pods, name, int32(len(tt.pods))).byUtilization(tt.target)
			if tt.err != "" || err != nil {
				if err == nil || err.Error() != tt.err {
					t.Errorf("got %v, want %s", err, tt.err)
				}
				return
			}
			if a.replicas != tt.want || a.utilization != tt.percent {
				t.Errorf("got %d replicas at %d%%, want %d at %d%%", a.replicas, a.utilization, tt.want, tt.percent)
			}
		})
	}
}

func TestByValue(t *testing.T) {
	for _, tt := range []struct {
		name   string
		pods   []podIs
		target int64
		want   int32
	}{
		{"twice too much", uses(200, 200), 100, 4},
		{"enough", uses(105, 95), 100, 2},
		{"too little", uses(10, 10, 10), 100, 1},
		{"the unknown uses its share on the way down", append(uses(10, 10), podIs{uses: -1}), 100, 2},
		{"requests do not matter", []podIs{{uses: 400, asks: "-"}}, 100, 4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, err := build(tt.pods, v1.ResourceCPU, int32(len(tt.pods))).byValue(tt.target)
			if err != nil || a.replicas != tt.want {
				t.Errorf("got %d, %v, want %d", a.replicas, err, tt.want)
			}
		})
	}
}

func TestSettle(t *testing.T) {
	ago := func(seconds int, replicas int32) moment {
		return moment{now.Add(-time.Duration(seconds) * time.Second), replicas}
	}
	least, off := autoscaling.MinChangePolicySelect, autoscaling.DisabledPolicySelect
	none := int32(0)
	pods := func(n, period int32) autoscaling.HPAScalingPolicy {
		return autoscaling.HPAScalingPolicy{Type: autoscaling.PodsScalingPolicy, Value: n, PeriodSeconds: period}
	}
	percent := func(n, period int32) autoscaling.HPAScalingPolicy {
		return autoscaling.HPAScalingPolicy{Type: autoscaling.PercentScalingPolicy, Value: n, PeriodSeconds: period}
	}
	for _, tt := range []struct {
		name           string
		past           history
		asked, current int32
		b              *autoscaling.HorizontalPodAutoscalerBehavior
		want           int32
		able, limit    string
	}{
		{name: "as it is", asked: 3, current: 3, want: 3, able: "ReadyForNewScale", limit: "DesiredWithinRange"},
		{name: "up by four at most from one", asked: 9, current: 1, want: 5, able: "ReadyForNewScale", limit: "ScaleUpLimit"},
		{name: "doubled at most", asked: 20, current: 6, want: 12, able: "ReadyForNewScale", limit: "ScaleUpLimit"},
		{name: "no further in the same period", past: history{ups: []moment{ago(10, 4)}}, asked: 20, current: 5, want: 5, able: "ReadyForNewScale", limit: "ScaleUpLimit"},
		{name: "further in the next", past: history{ups: []moment{ago(16, 4)}}, asked: 20, current: 5, want: 10, able: "ReadyForNewScale", limit: "ScaleUpLimit"},
		{name: "no more than the most", asked: 30, current: 15, want: 20, able: "ReadyForNewScale", limit: "TooManyReplicas"},
		{name: "no fewer than the fewest", asked: 0, current: 3, want: 1, able: "ReadyForNewScale", limit: "TooFewReplicas"},
		{name: "down after five minutes", past: history{recommended: []moment{ago(301, 8)}}, asked: 2, current: 8, want: 2, able: "ReadyForNewScale", limit: "DesiredWithinRange"},
		{name: "not before", past: history{recommended: []moment{ago(299, 8)}}, asked: 2, current: 8, want: 8, able: "ScaleDownStabilized", limit: "DesiredWithinRange"},
		{
			name: "a window of its own", past: history{recommended: []moment{ago(5, 8)}}, asked: 2, current: 8, want: 2, able: "ReadyForNewScale", limit: "DesiredWithinRange",
			b: &autoscaling.HorizontalPodAutoscalerBehavior{ScaleDown: &autoscaling.HPAScalingRules{StabilizationWindowSeconds: &none}},
		},
		{
			name: "one pod a minute", asked: 2, current: 8, want: 7, able: "ReadyForNewScale", limit: "ScaleDownLimit",
			b: &autoscaling.HorizontalPodAutoscalerBehavior{ScaleDown: &autoscaling.HPAScalingRules{Policies: []autoscaling.HPAScalingPolicy{pods(1, 60)}}},
		},
		{
			name: "the policy that changes least", asked: 2, current: 8, want: 7, able: "ReadyForNewScale", limit: "ScaleDownLimit",
			b: &autoscaling.HorizontalPodAutoscalerBehavior{ScaleDown: &autoscaling.HPAScalingRules{SelectPolicy: &least, Policies: []autoscaling.HPAScalingPolicy{percent(50, 60), pods(1, 60)}}},
		},
		{
			name: "the policy that changes most", asked: 2, current: 8, want: 4, able: "ReadyForNewScale", limit: "ScaleDownLimit",
			b: &autoscaling.HorizontalPodAutoscalerBehavior{ScaleDown: &autoscaling.HPAScalingRules{Policies: []autoscaling.HPAScalingPolicy{percent(50, 60), pods(1, 60)}}},
		},
		{
			name: "never down", asked: 2, current: 8, want: 8, able: "ReadyForNewScale", limit: "ScaleDownLimit",
			b: &autoscaling.HorizontalPodAutoscalerBehavior{ScaleDown: &autoscaling.HPAScalingRules{SelectPolicy: &off}},
		},
		{
			name: "the policy that adds least", asked: 20, current: 6, want: 7, able: "ReadyForNewScale", limit: "ScaleUpLimit",
			b: &autoscaling.HorizontalPodAutoscalerBehavior{ScaleUp: &autoscaling.HPAScalingRules{SelectPolicy: &least, Policies: []autoscaling.HPAScalingPolicy{percent(100, 15), pods(1, 15)}}},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			up, down := behavior(tt.b, DefaultDownWindow)
			v := tt.past.stabilize(tt.asked, tt.current, 1, 20, up, down, now)
			if v.replicas != tt.want || v.able.reason != tt.able || v.limitReason != tt.limit {
				t.Errorf("got %d %s %s, want %d %s %s", v.replicas, v.able.reason, v.limitReason, tt.want, tt.able, tt.limit)
			}
			if v.limited != (tt.limit != "DesiredWithinRange") {
				t.Errorf("limited: %v for %s", v.limited, v.limitReason)
			}
		})
	}
}
