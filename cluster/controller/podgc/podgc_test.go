package podgc

import (
	"slices"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestDoomed(t *testing.T) {
	pod := func(name, node string, phase v1.PodPhase, age time.Duration, dying bool) *v1.Pod {
		p := &v1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: metav1.NewTime(time.Unix(1_000_000, 0).Add(-age))},
			Spec:       v1.PodSpec{NodeName: node}, Status: v1.PodStatus{Phase: phase},
		}
		if dying {
			p.DeletionTimestamp = &metav1.Time{}
		}
		return p
	}
	pods := []*v1.Pod{
		pod("runs", "n", v1.PodRunning, time.Hour, false),
		pod("oldest", "n", v1.PodSucceeded, 3*time.Hour, false),
		pod("older", "n", v1.PodFailed, 2*time.Hour, false),
		pod("newest", "n", v1.PodSucceeded, time.Hour, false),
		pod("lost", "gone", v1.PodRunning, time.Hour, false),
		pod("lost-ended", "gone", v1.PodFailed, time.Hour, true),
		pod("never", "", v1.PodPending, time.Hour, true),
		pod("waits", "", v1.PodPending, time.Hour, false),
	}
	var got []string
	for _, d := range podsToDelete(pods, map[string]bool{"gone": true}, 1) {
		name := d.pod.Name
		if d.failed != "" {
			name += " (failed first)"
		}
		got = append(got, name)
	}
	want := []string{"lost (failed first)", "lost-ended", "never", "oldest", "older"}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
