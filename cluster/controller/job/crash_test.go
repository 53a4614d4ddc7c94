package job

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	batch "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// world is a server, and a kubelet whose pods end one way or the other.
type world struct {
	job    *batch.Job
	pods   []*v1.Pod
	now    time.Time
	random *rand.Rand
	good   map[types.UID]bool // pods that ended well
	bad    map[types.UID]bool
	spare  map[types.UID]bool // pods that the job wants no more, and does not count
	made   int
}

// reconcile does what the controller does, and dies after some of its writes.
func (w *world) reconcile() {
	lives := w.random.IntN(12) // writes until the crash
	s := newSnapshot(w.job, w.pods, true, w.now)
	d := s.decide()
	active := len(s.active)
	for _, b := range d.create {
		if lives--; lives < 0 {
			return
		}
		p := podFor(w.job, b)
		w.made++
		p.UID, p.Name = types.UID(fmt.Sprint(w.made)), fmt.Sprint("p", w.made)
		p.Spec.NodeName = "n1"
		p.CreationTimestamp = metav1.NewTime(w.now)
		w.pods = append(w.pods, p)
		active++
	}
	for _, p := range d.delete {
		if d.finish == nil {
			if lives--; lives < 0 {
				return
			}
			w.change(p.UID, func(p *v1.Pod) { p.Finalizers = nil })
			w.spare[p.UID] = true
		}
		if lives--; lives < 0 {
			return
		}
		w.change(p.UID, func(p *v1.Pod) { p.DeletionTimestamp = &metav1.Time{Time: w.now} })
		active--
	}
	next, free := s.track(&d, active, 0)
	if lives--; lives < 0 {
		return
	}
	w.job = w.job.DeepCopy()
	w.job.Status = *next
	for _, p := range free {
		if lives--; lives < 0 {
			return
		}
		w.change(p.UID, func(p *v1.Pod) { p.Finalizers = nil })
	}
}

// change replaces a pod by a changed one: the controller's view must not see it.
func (w *world) change(uid types.UID, f func(*v1.Pod)) {
	for i, p := range w.pods {
		if p.UID == uid {
			w.pods[i] = p.DeepCopy()
			f(w.pods[i])
		}
	}
}

func (w *world) live() {
	for _, p := range w.pods {
		over := p.Status.Phase == v1.PodSucceeded || p.Status.Phase == v1.PodFailed
		switch n := w.random.IntN(10); {
		case over && p.DeletionTimestamp != nil && len(p.Finalizers) == 0:
			w.pods = slices.DeleteFunc(slices.Clone(w.pods), func(o *v1.Pod) bool { return o == p })
		case over && n == 0: // somebody tidies up
			w.change(p.UID, func(p *v1.Pod) { p.DeletionTimestamp = &metav1.Time{Time: w.now} })
		case over || p.DeletionTimestamp != nil:
			w.change(p.UID, func(p *v1.Pod) {
				if !over {
					p.Status.Phase = v1.PodFailed
					w.bad[p.UID] = true
				}
			})
		case n < 3:
			w.good[p.UID] = true
			w.change(p.UID, func(p *v1.Pod) { p.Status.Phase = v1.PodSucceeded })
		case n == 3:
			w.bad[p.UID] = true
			w.change(p.UID, func(p *v1.Pod) { p.Status.Phase = v1.PodFailed })
		}
	}
}

// Whatever is killed when, each pod that ends is counted once.
func TestCrashesLoseAndDoubleNothing(t *testing.T) {
	kinds := map[string]func() *batch.Job{
		"plain":        func() *batch.Job { return newJob(20, 5, limit(1000)) },
		"indexed":      func() *batch.Job { return newJob(20, 5, limit(1000), asIndexed) },
		"per index":    func() *batch.Job { return newJob(20, 5, limitPerIndex(2)) },
		"only failed":  func() *batch.Job { return newJob(20, 5, limit(1000), replaceOnlyFailed) },
		"fails itself": func() *batch.Job { return newJob(20, 5, limit(3)) },
	}
	for name, make := range kinds {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(50) {
				w := &world{
					job: make(), now: now, random: rand.New(rand.NewPCG(seed, 1)),
					good: map[types.UID]bool{}, bad: map[types.UID]bool{}, spare: map[types.UID]bool{},
				}
				w.run(t, seed)
			}
		})
	}
}

func (w *world) run(t *testing.T, seed uint64) {
	t.Helper()
	for range 3000 {
		if finished(w.job) {
			break
		}
		w.now = w.now.Add(5 * time.Minute)
		if !indexed(w.job) && w.random.IntN(10) == 0 { // somebody changes their mind
			w.job = w.job.DeepCopy()
			wide := w.random.Int32N(6) + 1
			w.job.Spec.Parallelism = &wide
		}
		w.reconcile()
		w.live()
	}
	st := w.job.Status
	if !finished(w.job) {
		t.Fatalf("seed %d: it does not end: %+v", seed, st)
	}
	for uid := range w.spare {
		delete(w.good, uid)
		delete(w.bad, uid)
	}
	good, bad := len(w.good), len(w.bad)
	if indexed(w.job) {
		good = parseIndexes(st.CompletedIndexes, completions(w.job)).total()
	}
	if int(st.Succeeded) != good || int(st.Failed) != bad {
		t.Errorf("seed %d: counted %d good and %d bad, there were %d and %d", seed, st.Succeeded, st.Failed, good, bad)
	}
	if n := len(st.UncountedTerminatedPods.Succeeded) + len(st.UncountedTerminatedPods.Failed); n > 0 || st.Active > 0 {
		t.Errorf("seed %d: ended with %d uncounted, %d active", seed, n, st.Active)
	}
	if conditionOf(w.job, batch.JobComplete) != nil && int(st.Succeeded) != completions(w.job) {
		t.Errorf("seed %d: complete with %d", seed, st.Succeeded)
	}
}
