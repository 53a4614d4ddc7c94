package disruption

import (
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	policy "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

var now = time.Unix(1_700_000_000, 0)

func budget(least, missing string) *policy.PodDisruptionBudget {
	b := &policy.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "b", Generation: 7}}
	if least != "" {
		v := intstr.Parse(least)
		b.Spec.MinAvailable = &v
	}
	if missing != "" {
		v := intstr.Parse(missing)
		b.Spec.MaxUnavailable = &v
	}
	return b
}

// pods are so many ready ones, and so many that are not.
func pods(good, bad int) []*v1.Pod {
	var out []*v1.Pod
	for i := range good + bad {
		p := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: string(rune('a' + i))}}
		if i < good {
			p.Status.Conditions = []v1.PodCondition{{Type: v1.PodReady, Status: v1.ConditionTrue}}
		}
		out = append(out, p)
	}
	return out
}

func TestCount(t *testing.T) {
	tests := []struct {
		name             string
		least, missing   string
		good, bad        int
		expected         int32
		desired, allowed int32
	}{
		{"a number that must stay", "2", "", 3, 0, 3, 2, 1},
		{"one is not ready", "2", "", 2, 1, 3, 2, 0},
		{"a share that must stay, rounded up", "50%", "", 5, 0, 5, 3, 2},
		{"a number that may be missing", "", "1", 3, 0, 3, 2, 1},
		{"one is missing already", "", "1", 2, 0, 3, 2, 0},
		{"a share that may be missing, rounded up", "", "30%", 4, 0, 4, 2, 2},
		{"more may be missing than there are", "", "9", 3, 0, 3, 0, 3},
		{"no pods", "0", "", 0, 0, 0, 0, 0},
		{"neither is said", "", "", 2, 0, 2, 0, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := counted(budget(tt.least, tt.missing), pods(tt.good, tt.bad), tt.expected, now).status
			if got.DesiredHealthy != tt.desired || got.DisruptionsAllowed != tt.allowed || got.CurrentHealthy != int32(tt.good) ||
				got.ExpectedPods != tt.expected || got.ObservedGeneration != 7 {
				t.Errorf("got %+v", got)
			}
			c := meta.FindStatusCondition(got.Conditions, policy.DisruptionAllowedCondition)
			if want := tt.allowed > 0; c == nil || (c.Status == metav1.ConditionTrue) != want || (c.Reason == policy.SufficientPodsReason) != want {
				t.Errorf("got condition %+v", c)
			}
		})
	}
}

func TestGrantedEvictions(t *testing.T) {
	b := budget("1", "")
	b.Status.DisruptedPods = map[string]metav1.Time{
		"a": metav1.NewTime(now.Add(-time.Minute)),
		"b": metav1.NewTime(now.Add(-3 * time.Minute)),
		"c": metav1.NewTime(now), "gone": metav1.NewTime(now),
	}
	in := pods(4, 0)
	in[2].DeletionTimestamp = &metav1.Time{Time: now}
	got := counted(b, in, 4, now)
	if _, ok := got.status.DisruptedPods["a"]; !ok || len(got.status.DisruptedPods) != 1 {
		t.Errorf("only a is still to go: %v", got.status.DisruptedPods)
	}
	if len(got.notDeleted) != 1 || got.notDeleted[0].Name != "b" {
		t.Errorf("b should have gone: %v", got.notDeleted)
	}
	if got.requeueAfter != time.Minute+time.Second {
		t.Errorf("look again in a minute, not %v", got.requeueAfter)
	}
	if got.status.CurrentHealthy != 2 {
		t.Errorf("b and d are healthy, not %d", got.status.CurrentHealthy)
	}
}
