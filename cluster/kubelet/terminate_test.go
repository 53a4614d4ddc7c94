package kubelet

import (
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestFarewell(t *testing.T) {
	service := func(ns string, selector map[string]string) []*v1.Service {
		return []*v1.Service{{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "s"}, Spec: v1.ServiceSpec{Selector: selector}}}
	}
	web, other := map[string]string{"app": "web"}, map[string]string{"app": "other"}
	tests := []struct {
		name     string
		going    bool
		ready    v1.ConditionStatus
		services []*v1.Service
		grace    time.Duration
		want     time.Duration
	}{
		{"a service leads to it", true, v1.ConditionTrue, service("a", web), 30 * time.Second, endpointPropagation},
		{"a short grace is not used up", true, v1.ConditionTrue, service("a", web), 600 * time.Millisecond, 300 * time.Millisecond},
		{"no grace", true, v1.ConditionTrue, service("a", web), 0, 0},
		{"only its container ends", false, v1.ConditionTrue, service("a", web), 30 * time.Second, 0},
		{"it was not ready", true, v1.ConditionFalse, service("a", web), 30 * time.Second, 0},
		{"a service for others", true, v1.ConditionTrue, service("a", other), 30 * time.Second, 0},
		{"a service of another namespace", true, v1.ConditionTrue, service("b", web), 30 * time.Second, 0},
		{"a service without selector", true, v1.ConditionTrue, service("a", nil), 30 * time.Second, 0},
		{"no service", true, v1.ConditionTrue, nil, 30 * time.Second, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "p", Labels: web}}
			p.Status.Conditions = []v1.PodCondition{{Type: v1.PodReady, Status: tt.ready}}
			if tt.going {
				p.DeletionTimestamp = &metav1.Time{Time: time.Now()}
			}
			if got := terminationDelay(p, tt.services, tt.grace); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}
