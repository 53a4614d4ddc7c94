package deployment

import (
	"fmt"
	"strings"
	"testing"
	"time"

	apps "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
)

var start = time.Unix(1_700_000_000, 0)

// world is a Deployment with its sets, and pods that are only numbers: it does what
// decide says, as the controller and the ReplicaSets would.
type world struct {
	t    *testing.T
	d    *apps.Deployment
	sets []*apps.ReplicaSet
	now  time.Time
	// broken sets never get an available pod.
	broken map[string]bool
	events []string
	made   int
}

func newWorld(t *testing.T, replicas int32, edit ...func(*apps.Deployment)) *world {
	t.Helper()
	deadline, history := int32(600), int32(10)
	d := &apps.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "web", UID: "d", Generation: 1},
		Spec: apps.DeploymentSpec{
			Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}},
			Template:                v1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "web"}}},
			Strategy:                apps.DeploymentStrategy{Type: apps.RollingUpdateDeploymentStrategyType},
			ProgressDeadlineSeconds: &deadline, RevisionHistoryLimit: &history,
		},
	}
	for _, e := range edit {
		e(d)
	}
	w := &world{t: t, d: d, now: start, broken: map[string]bool{}}
	w.image("v1")
	return w
}

func limits(surge, unavailable string) func(*apps.Deployment) {
	return func(d *apps.Deployment) {
		s, u := intstr.Parse(surge), intstr.Parse(unavailable)
		d.Spec.Strategy.RollingUpdate = &apps.RollingUpdateDeployment{MaxSurge: &s, MaxUnavailable: &u}
	}
}

func recreating(d *apps.Deployment) {
	d.Spec.Strategy = apps.DeploymentStrategy{Type: apps.RecreateDeploymentStrategyType}
}

func (w *world) image(name string) {
	w.d.Spec.Template.Spec.Containers = []v1.Container{{Name: "c", Image: name}}
	w.d.Generation++
}

func (w *world) scale(n int32) {
	w.d.Spec.Replicas = &n
	w.d.Generation++
}

// step decides and applies once, without the ReplicaSets doing anything yet.
func (w *world) step() step {
	w.t.Helper()
	running := map[types.UID]int{}
	for _, rs := range w.sets {
		running[rs.UID] = int(rs.Status.Replicas)
	}
	s := decide(snapshot{d: w.d, sets: w.sets, running: running, now: w.now})
	if rs := s.create; rs != nil {
		w.made++
		rs.UID = types.UID(fmt.Sprint("rs", w.made))
		rs.CreationTimestamp = metav1.NewTime(w.now)
		rs.Generation = 1
		w.sets = append(w.sets, rs)
		if size(rs) > 0 {
			w.events = append(w.events, fmt.Sprintf("%s 0->%d", w.imageOf(rs), size(rs)))
		}
	}
	for _, c := range s.changes {
		for i, rs := range w.sets {
			if rs.UID == c.set.UID {
				c.set.Generation++
				w.sets[i] = c.set
			}
		}
		if c.from != size(c.set) {
			w.events = append(w.events, fmt.Sprintf("%s %d->%d", w.imageOf(c.set), c.from, size(c.set)))
		}
	}
	for _, gone := range s.remove {
		for i, rs := range w.sets {
			if rs.UID == gone.UID {
				w.sets = append(w.sets[:i:i], w.sets[i+1:]...)
				break
			}
		}
	}
	w.d = s.deployment
	return s
}

// pods lets every set have the pods it asks for, one more of them available than before.
func (w *world) pods() (moved bool) {
	none := int32(0)
	for _, rs := range w.sets {
		was := rs.Status
		n := size(rs)
		rs.Status.Replicas = n
		rs.Status.AvailableReplicas = min(rs.Status.AvailableReplicas, n)
		if rs.Status.AvailableReplicas < n && !w.broken[w.imageOf(rs)] {
			rs.Status.AvailableReplicas++
		}
		rs.Status.ReadyReplicas = rs.Status.AvailableReplicas
		rs.Status.TerminatingReplicas = &none
		rs.Status.ObservedGeneration = rs.Generation
		moved = moved || was.Replicas != rs.Status.Replicas || was.AvailableReplicas != rs.Status.AvailableReplicas
	}
	return moved
}

// settle goes on until nothing changes; each looks at the world after each step.
func (w *world) settle(each func()) {
	w.t.Helper()
	quiet := 0
	for range 10_000 {
		before := len(w.events)
		s := w.step()
		moved := w.pods() || len(w.events) > before || len(s.remove) > 0 || s.create != nil
		if each != nil {
			each()
		}
		w.now = w.now.Add(time.Second)
		if quiet++; moved {
			quiet = 0
		}
		if quiet == 3 {
			return
		}
	}
	w.t.Fatal("no end of steps")
}

func (w *world) imageOf(rs *apps.ReplicaSet) string { return rs.Spec.Template.Spec.Containers[0].Image }

func (w *world) of(image string) *apps.ReplicaSet {
	for _, rs := range w.sets {
		if w.imageOf(rs) == image {
			return rs
		}
	}
	return nil
}

// sizes is what each set asks for, by image, oldest first.
func (w *world) sizes() string {
	var out []string
	for _, rs := range w.sets {
		out = append(out, fmt.Sprintf("%s=%d", w.imageOf(rs), size(rs)))
	}
	return strings.Join(out, " ")
}

func (w *world) reason(t apps.DeploymentConditionType) string {
	c := condition(&w.d.Status, t)
	if c == nil {
		return ""
	}
	return fmt.Sprintf("%s %s", c.Status, c.Reason)
}

func (w *world) wantReason(t apps.DeploymentConditionType, want string) {
	w.t.Helper()
	if got := w.reason(t); got != want {
		w.t.Errorf("condition %s is %q, want %q (%+v)", t, got, want, w.d.Status)
	}
}

func (w *world) wantSizes(want string) {
	w.t.Helper()
	if got := w.sizes(); got != want {
		w.t.Errorf("sets are %s, want %s; %v", got, want, w.events)
	}
}
