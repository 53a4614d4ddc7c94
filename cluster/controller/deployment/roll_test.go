package deployment

import (
	"fmt"
	"slices"
	"testing"

	apps "k8s.io/api/apps/v1"
)

// TestRollingUpdateKeepsItsLimits rolls with many limits: there are never more pods than
// the surge allows nor fewer available ones than promised, and it comes to an end.
func TestRollingUpdateKeepsItsLimits(t *testing.T) {
	for _, replicas := range []int32{0, 1, 2, 3, 4, 7, 10, 33} {
		for _, limit := range [][2]string{{"25%", "25%"}, {"1", "0"}, {"0", "1"}, {"100%", "0"}, {"0", "100%"}, {"3", "50%"}, {"0%", "0%"}} {
			t.Run(fmt.Sprintf("%d with %s and %s", replicas, limit[0], limit[1]), func(t *testing.T) {
				w := newWorld(t, replicas, limits(limit[0], limit[1]))
				w.settle(nil)
				w.wantSizes(fmt.Sprintf("v1=%d", replicas))
				surge, unavailable := fenceposts(w.d, replicas)
				w.image("v2")
				w.settle(func() {
					var available int32
					for _, rs := range w.sets {
						available += rs.Status.AvailableReplicas
					}
					if n := sizes(w.sets); n > replicas+surge {
						t.Errorf("%d pods are asked for: %s", n, w.sizes())
					}
					if available < replicas-unavailable {
						t.Errorf("%d pods are available: %s", available, w.sizes())
					}
				})
				w.wantSizes(fmt.Sprintf("v1=0 v2=%d", replicas))
				w.wantReason(apps.DeploymentProgressing, "True NewReplicaSetAvailable")
			})
		}
	}
}

func TestSteps(t *testing.T) {
	tests := []struct {
		name   string
		edit   func(*apps.Deployment)
		events []string
	}{
		{"one at a time", limits("1", "0"), []string{"v2 0->1", "v1 2->1", "v2 1->2", "v1 1->0"}},
		{"no surge", limits("0", "1"), []string{"v1 2->1", "v2 0->1", "v1 1->0", "v2 1->2"}},
		{"all at once", limits("100%", "0"), []string{"v2 0->2", "v1 2->1", "v1 1->0"}},
		{"recreate", recreating, []string{"v1 2->0", "v2 0->2"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, 2, tt.edit)
			w.settle(nil)
			w.events = nil
			w.image("v2")
			w.settle(nil)
			if !slices.Equal(w.events, tt.events) {
				t.Errorf("got %q, want %q", w.events, tt.events)
			}
		})
	}
}

func TestBadTemplateStopsAndIsLeft(t *testing.T) {
	w := newWorld(t, 4)
	w.settle(nil)
	w.image("bad")
	w.broken["bad"] = true
	w.settle(nil)
	w.wantSizes("v1=3 bad=2")
	w.wantReason(apps.DeploymentAvailable, "True MinimumReplicasAvailable")
	w.wantReason(apps.DeploymentProgressing, "True ReplicaSetUpdated")

	// A third template first takes away what is of no use.
	w.events = nil
	w.image("v3")
	w.settle(nil)
	w.wantSizes("v1=0 bad=0 v3=4")
	if !slices.Contains(w.events, "bad 2->0") {
		t.Errorf("the pods that never were available should go first: %v", w.events)
	}
}

// TestStaleStatusIsNotTrusted: a set that was made smaller a moment ago still tells of
// the pods that it had.
func TestStaleStatusIsNotTrusted(t *testing.T) {
	w := newWorld(t, 10)
	w.settle(nil)
	w.image("v2")
	w.step()
	w.step()
	w.step()
	w.wantSizes("v1=8 v2=5")
	w.of("v2").Status.Replicas, w.of("v2").Status.AvailableReplicas = 5, 1
	if n := w.of("v1").Status.AvailableReplicas; n != 10 {
		t.Fatalf("the status of v1 should be behind, and says %d", n)
	}
	w.step()
	w.wantSizes("v1=7 v2=5")
}

func TestRecreateWaitsForTheLastPod(t *testing.T) {
	w := newWorld(t, 2, recreating)
	w.settle(nil)
	w.image("v2")
	w.step()
	w.wantSizes("v1=0")
	w.step() // two pods still run
	w.wantSizes("v1=0")
	none := int32(0)
	old := w.of("v1")
	old.Status = apps.ReplicaSetStatus{ObservedGeneration: old.Generation, TerminatingReplicas: &none}
	w.step()
	w.wantSizes("v1=0 v2=2")
}

func TestScaleInTheMiddle(t *testing.T) {
	tests := []struct {
		name string
		to   int32
		want string
	}{
		{"up in proportion", 20, "v1=15 v2=10"},
		{"down in proportion", 5, "v1=4 v2=3"},
		{"to nothing", 0, "v1=0 v2=0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, 10)
			w.settle(nil)
			w.image("v2")
			w.broken["v2"] = true
			w.settle(nil)
			w.wantSizes("v1=8 v2=5")
			w.scale(tt.to)
			w.step()
			w.wantSizes(tt.want)
		})
	}
	t.Run("one set alone", func(t *testing.T) {
		w := newWorld(t, 3)
		w.settle(nil)
		w.scale(7)
		w.settle(nil)
		w.wantSizes("v1=7")
		if n, _ := number(w.of("v1"), maxKey); n != 9 {
			t.Errorf("max-replicas is %d, want 9", n)
		}
	})
}

func TestFenceposts(t *testing.T) {
	tests := []struct {
		replicas           int32
		surge, unavailable string
		wantSurge, want    int32
	}{
		{10, "25%", "25%", 3, 2},
		{4, "25%", "25%", 1, 1},
		{1, "25%", "25%", 1, 0},
		{3, "0", "10%", 0, 1},
		{3, "2", "1", 2, 1},
	}
	for _, tt := range tests {
		w := newWorld(t, tt.replicas, limits(tt.surge, tt.unavailable))
		if s, u := fenceposts(w.d, tt.replicas); s != tt.wantSurge || u != tt.want {
			t.Errorf("%d with %s and %s: got %d and %d, want %d and %d", tt.replicas, tt.surge, tt.unavailable, s, u, tt.wantSurge, tt.want)
		}
	}
}
