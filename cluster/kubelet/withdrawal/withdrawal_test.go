package withdrawal

import (
	"testing"
	"testing/synctest"
	"time"

	v1 "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	listers "k8s.io/client-go/listers/discovery/v1"
	"k8s.io/client-go/tools/cache"
)

// TestWithdrawal reads how long a container runs until SIGTERM, in a time that is not real. A preStop hook runs meanwhile.
func TestWithdrawal(t *testing.T) {
	service := func(ns string, selector map[string]string) []*v1.Service {
		return []*v1.Service{{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "s"}, Spec: v1.ServiceSpec{Selector: selector}}}
	}
	web, other := map[string]string{"app": "web"}, map[string]string{"app": "other"}
	const never = time.Hour
	tests := []struct {
		name     string
		hook     time.Duration // how long the container's preStop hook takes
		going    bool
		ready    v1.ConditionStatus
		services []*v1.Service
		grace    time.Duration
		seen     time.Duration // when the endpoints terminate
		want     time.Duration // from the begin; a hook runs meanwhile
	}{
		{"a service leads to it", 0, true, v1.ConditionTrue, service("a", web), 30 * time.Second, 50 * time.Millisecond, endpointPropagation},
		{"the endpoints are late", 0, true, v1.ConditionTrue, service("a", web), 30 * time.Second, 2 * time.Second, 4 * time.Second},
		{"the endpoints stay", 0, true, v1.ConditionTrue, service("a", web), 30 * time.Second, never, 15 * time.Second},
		{"a long hook counts", 5 * time.Second, true, v1.ConditionTrue, service("a", web), 30 * time.Second, 50 * time.Millisecond, 5 * time.Second},
		{"a short hook counts", 100 * time.Millisecond, true, v1.ConditionTrue, service("a", web), 30 * time.Second, 50 * time.Millisecond, endpointPropagation},
		{"a hook, and the endpoints are late", time.Second, true, v1.ConditionTrue, service("a", web), 30 * time.Second, 2 * time.Second, 4 * time.Second},
		{"a short grace is not used up", 0, true, v1.ConditionTrue, service("a", web), 600 * time.Millisecond, 0, 300 * time.Millisecond},
		{"no grace", 0, true, v1.ConditionTrue, service("a", web), 0, never, 0},
		{"only its container ends", 0, false, v1.ConditionTrue, service("a", web), 30 * time.Second, never, 0},
		{"it was not ready", 0, true, v1.ConditionFalse, service("a", web), 30 * time.Second, never, 0},
		{"a service for others", 0, true, v1.ConditionTrue, service("a", other), 30 * time.Second, never, 0},
		{"a service of another namespace", 0, true, v1.ConditionTrue, service("b", web), 30 * time.Second, never, 0},
		{"a service without selector", 0, true, v1.ConditionTrue, service("a", nil), 30 * time.Second, never, 0},
		{"no service", 0, true, v1.ConditionTrue, nil, 30 * time.Second, never, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "p", UID: "1", Labels: web}}
				p.Status.Conditions = []v1.PodCondition{{Type: v1.PodReady, Status: tt.ready}}
				if tt.going {
					p.DeletionTimestamp = &metav1.Time{Time: time.Now()}
				}
				endpoints := sliceOf(t, p, false)
				change := time.AfterFunc(tt.seen, func() { _ = endpoints.Update(slice(p, true)) })
				defer change.Stop()
				start := time.Now()
				done := Begin(t.Context(), p, tt.services, listers.NewEndpointSliceLister(endpoints), tt.grace)
				<-time.After(tt.hook)
				<-done
				waited := time.Since(start)
				if waited < tt.want || waited > tt.want+2*period {
					t.Errorf("waited %v, want %v", waited, tt.want)
				}
			})
		})
	}
}

func sliceOf(t *testing.T, p *v1.Pod, terminating bool) cache.Indexer {
	t.Helper()
	i := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc})
	if err := i.Add(slice(p, terminating)); err != nil {
		t.Fatal(err)
	}
	return i
}

func slice(p *v1.Pod, terminating bool) *discovery.EndpointSlice {
	ready := !terminating
	return &discovery.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: p.Namespace, Name: "s-1", Labels: map[string]string{discovery.LabelServiceName: "s"}},
		Endpoints: []discovery.Endpoint{{
			Conditions: discovery.EndpointConditions{Ready: &ready, Terminating: &terminating},
			TargetRef:  &v1.ObjectReference{Kind: "Pod", UID: p.UID},
		}},
	}
}
