package clusters

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	ktesting "k8s.io/client-go/testing"

	"wheelhouse/cluster/wait"
	"wheelhouse/lab-runner/classroom/workbench"
)

// stored is which cluster is whose, as the class's API has it.
func stored(t *testing.T, api kubernetes.Interface) map[string]string {
	t.Helper()
	found, err := api.CoreV1().ConfigMaps(namespace).Get(t.Context(), object, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	return found.Data
}

func store(t *testing.T, api kubernetes.Interface, data map[string]string) {
	t.Helper()
	_ = api.CoreV1().ConfigMaps(namespace).Delete(t.Context(), object, metav1.DeleteOptions{})
	if _, err := api.CoreV1().ConfigMaps(namespace).Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: object}, Data: data}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// tidied runs tidy and waits for what it removes.
func (p *Pool) tidied(ctx context.Context) error {
	err := p.tidy(ctx)
	p.removals.Wait()
	return err
}

// Learners who end their clusters' processes, and whose clusters do not start then, keep nobody from theirs, and are repaired more rarely.
func TestBrokenClustersKeepNobodyWaiting(t *testing.T) {
	api, m, at := begin()
	p := newPool(t, api, m, at, 0)
	p.cfg.Known = nil
	hostile := []string{"ann00001", "ann00002", "ann00003"}
	for _, id := range hostile {
		if err := p.Ensure(t.Context(), learner(id)); err != nil {
			t.Fatal(err)
		}
		m.runs[at.of[id]] = false
	}
	m.onUp = func(ctx context.Context, name string) error {
		if m.count(name) < 2 {
			return nil // a new one
		}
		<-ctx.Done()
		return ctx.Err()
	}
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for _, id := range hostile {
		all.Go(func() { _ = p.Ensure(ctx, learner(id)) })
	}
	wait.For(t, "a repair that does not end", func() error { return wait.Seen(len(p.repairing) == repairing, len(p.repairing)) })
	for _, id := range []string{"bob00001", "cleo0001"} {
		if err := p.Ensure(t.Context(), learner(id)); err != nil {
			t.Error(err)
		}
	}
	if err := p.Remove(t.Context(), learner("bob00001")); err != nil {
		t.Error(err)
	}
	cancel()
	all.Wait()
	wait.For(t, "no repair to go on", func() error {
		p.mu.Lock()
		defer p.mu.Unlock()
		return wait.Seen(len(p.flights)+len(p.repairing) == 0, len(p.flights), len(p.repairing))
	})
	for _, id := range hostile { // as if each had just been repaired
		p.repairs[at.of[id]] = repair{time.Now(), time.Minute}
	}
	before := maps.Clone(m.ups)
	for _, id := range hostile {
		if err := p.Ensure(t.Context(), learner(id)); err == nil || !strings.Contains(err.Error(), "is started again in") {
			t.Errorf("a repair at once after the last: %v", err)
		}
	}
	if !maps.Equal(before, m.ups) {
		t.Errorf("ups %v, before %v", m.ups, before)
	}
	p.mu.Lock()
	pause := p.repairs[at.of["ann00001"]].pause
	p.repairs[at.of["ann00001"]] = repair{time.Now().Add(-longestPause), pause}
	p.mu.Unlock()
	m.onUp, m.failing = nil, errors.New("it does not start")
	if err := p.Ensure(t.Context(), learner("ann00001")); err == nil || p.repairs[at.of["ann00001"]].pause != 2*pause {
		t.Errorf("the pause after a further repair is %s, before %s: %v", p.repairs[at.of["ann00001"]].pause, pause, err)
	}
}

// An older state of the class's API gives a cluster that was used to nobody else.
func TestUsedClustersAreGivenToNobody(t *testing.T) {
	api, m, at := begin()
	p := newPool(t, api, m, at, 1, "ann00001", "bob00001")
	if err := p.spare(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := stored(t, api)
	if err := p.Ensure(t.Context(), learner("ann00001")); err != nil {
		t.Fatal(err)
	}
	used := at.of["ann00001"]
	if before[used] != ready || m.there[used] != "ann00001" {
		t.Fatalf("before %v, there %v", before, m.there)
	}
	store(t, api, before) // a snapshot is restored
	p = newPool(t, api, m, at, 0, "ann00001", "bob00001")
	if err := p.Ensure(t.Context(), learner("bob00001")); err != nil || at.of["bob00001"] == used {
		t.Errorf("Bob is in %s, which Ann had: %v", at.of["bob00001"], err)
	}
	if err := p.tidied(t.Context()); err != nil || slices.Contains(m.names(), used) {
		t.Errorf("%v are there: %v", m.names(), err)
	}
	// Also one that nobody has asked for meanwhile, and one that the older state gives to another.
	for _, owner := range []string{ready, "ann00001"} {
		store(t, api, map[string]string{at.of["bob00001"]: owner})
		if err := p.tidied(t.Context()); err != nil || len(m.names()) > 0 || len(stored(t, api)) > 0 {
			t.Errorf("owner %q: %v are there, stored %v: %v", owner, m.names(), stored(t, api), err)
		}
		if err := p.Ensure(t.Context(), learner("bob00001")); err != nil {
			t.Fatal(err)
		}
	}
}

// While the class's API does not answer, or takes nothing, no cluster is made, and none is left.
func TestNoClustersWithoutTheAPI(t *testing.T) {
	api, m, at := begin()
	p := newPool(t, api, m, at, 1)
	var down atomic.Bool
	api.(*fake.Clientset).PrependReactor("*", "configmaps", func(ktesting.Action) (bool, runtime.Object, error) {
		return down.Load(), nil, apierrors.NewServiceUnavailable("the database is gone")
	})
	down.Store(true)
	if err := errors.Join(p.spare(t.Context()), p.Ensure(t.Context(), learner("ann00001"))); err == nil || len(m.ups) > 0 {
		t.Errorf("ups %v: %v", m.ups, err)
	}
	down.Store(false)
	m.onUp = func(context.Context, string) error {
		down.Store(true)
		return nil
	}
	for range 3 {
		down.Store(false)
		if err := p.spare(t.Context()); err == nil || len(m.names()) > 0 {
			t.Errorf("%v are there: %v", m.names(), err)
		}
	}
	down.Store(false)
	if err := p.tidied(t.Context()); err != nil || len(stored(t, api)) > 0 {
		t.Errorf("stored %v: %v", stored(t, api), err)
	}
	// Run makes none where tidy has failed.
	m.onUp, m.ups = nil, map[string]int{}
	down.Store(true)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	reads := func() int { return len(api.(*fake.Clientset).Actions()) }
	before := reads()
	go func() { ended <- p.Run(ctx) }()
	wait.For(t, "tidy to have failed", func() error { return wait.Seen(reads() > before, reads()) })
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) || len(m.ups) > 0 {
		t.Errorf("ups %v: %v", m.ups, err)
	}
}

// Forty who join at once, while another process removes learners, have a cluster each.
func TestManyAtOnce(t *testing.T) {
	api, m, at := begin()
	p := newPool(t, api, m, at, 0)
	p.cfg.Known = nil
	store(t, api, map[string]string{"class-l-others": "zoe00001"})
	var writes atomic.Int32
	api.(*fake.Clientset).PrependReactor("update", "configmaps", func(ktesting.Action) (bool, runtime.Object, error) {
		if writes.Add(1)%2 == 0 {
			return false, nil, nil
		}
		return true, nil, apierrors.NewConflict(corev1.Resource("configmaps"), object, errors.New("another was first"))
	})
	var all sync.WaitGroup
	for n := range 40 {
		all.Go(func() {
			if err := p.Ensure(t.Context(), learner(fmt.Sprintf("ann%05d", n))); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	has := slices.Sorted(maps.Values(at.of))
	if has = slices.Compact(has); len(has) != 40 || len(stored(t, api)) != 41 || len(p.owners) != 41 {
		t.Errorf("%d clusters, %d stored, %d known", len(has), len(stored(t, api)), len(p.owners))
	}
	if len(p.locks)+len(p.pending)+len(p.flights)+len(p.work) > 0 {
		t.Errorf("left: %v %v %v %v", p.locks, p.pending, p.flights, p.work)
	}
}

// Of learners who come at once as many are taken as the machine has room for, although its figures show none of their clusters yet.
func TestRoomIsPromisedOnce(t *testing.T) {
	api, m, at := begin()
	p := newPool(t, api, m, at, 0)
	p.cfg.Known = nil
	p.cfg.Room = func(pending int) error {
		if pending >= 3 {
			return errors.New("no memory")
		}
		return nil
	}
	gate := make(chan struct{})
	m.onUp = func(context.Context, string) error {
		<-gate
		return nil
	}
	var refused atomic.Int32
	var all sync.WaitGroup
	for n := range 10 {
		all.Go(func() {
			err := p.Ensure(t.Context(), learner(fmt.Sprintf("ann%05d", n)))
			if _, ok := errors.AsType[workbench.Refusal](err); ok {
				refused.Add(1)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
	wait.For(t, "seven to be refused", func() error { return wait.Seen(refused.Load() == 7, refused.Load()) })
	if err := p.Admit(); err == nil {
		t.Error("there is a place for one more")
	}
	close(gate)
	all.Wait()
	var got []error
	for range 4 {
		got = append(got, p.Admit())
	}
	if errors.Join(got[:3]...) != nil || got[3] == nil {
		t.Errorf("places for three who join: %v", got)
	}
	if err := p.Ensure(t.Context(), learner("bob00001")); err != nil || len(p.admitted) != 2 {
		t.Errorf("%d are awaited: %v", len(p.admitted), err)
	}
}

// Of two who join at once one gets the last place.
func TestLastPlace(t *testing.T) {
	api, m, at := begin()
	p := newPool(t, api, m, at, 0)
	var asked sync.WaitGroup
	asked.Add(2)
	both := make(chan struct{})
	go func() { asked.Wait(); close(both) }()
	var first atomic.Int32
	p.cfg.Room = func(pending int) error {
		if first.Add(1) <= 2 {
			asked.Done()
		}
		select {
		case <-both:
		case <-time.After(200 * time.Millisecond): // the other one waits for the answer to this one
		}
		if pending >= 1 {
			return errors.New("no memory")
		}
		return nil
	}
	got := make(chan error, 2)
	for range 2 {
		go func() { got <- p.Admit() }()
	}
	if one, other := <-got, <-got; (one == nil) == (other == nil) {
		t.Errorf("one place, and two who ask for it: %v, %v", one, other)
	}
}

// Whoever waits for a cluster can leave; what nobody waits for ends, and holds nothing.
func TestWaitsEnd(t *testing.T) {
	api, m, at := begin()
	p := newPool(t, api, m, at, 0)
	p.cfg.Known = nil
	m.onUp = func(ctx context.Context, _ string) error {
		<-ctx.Done()
		return ctx.Err()
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 5)
	for range 5 {
		go func() { ended <- p.Ensure(ctx, learner("ann00001")) }()
	}
	wait.For(t, "five who wait for one", func() error {
		p.mu.Lock()
		defer p.mu.Unlock()
		f := p.flights["ann00001"]
		return wait.Seen(f != nil && f.waiting == 5 && len(p.making) == 1, p.flights)
	})
	name := clusterOf(stored(t, api), "ann00001")
	late, leave := context.WithCancel(t.Context())
	leave()
	if _, err := p.lock(late, name); !errors.Is(err, context.Canceled) {
		t.Errorf("the lock is waited for without end: %v", err)
	}
	cancel()
	for range 5 {
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
	wait.For(t, "nothing to be held", func() error {
		p.mu.Lock()
		defer p.mu.Unlock()
		return wait.Seen(len(p.making)+len(p.locks)+len(p.pending)+len(p.flights) == 0, len(p.making), p.locks, p.pending, p.flights)
	})
}

// A ready cluster of an earlier process that does not start is replaced.
func TestReadyOneDoesNotStart(t *testing.T) {
	api, m, at := begin()
	if err := newPool(t, api, m, at, 1).spare(t.Context()); err != nil {
		t.Fatal(err)
	}
	bad := m.names()[0]
	m.runs[bad] = false // the machine was started again
	m.onUp = func(_ context.Context, name string) error {
		if name == bad {
			return errors.New("its database is damaged")
		}
		return nil
	}
	p := newPool(t, api, m, at, 1)
	for range maxFailures {
		if err := p.spare(t.Context()); err == nil {
			t.Error("it has started")
		}
	}
	p.removals.Wait()
	if err := p.spare(t.Context()); err != nil || len(m.names()) != 1 || m.names()[0] == bad || len(stored(t, api)) != 1 {
		t.Errorf("%v are there, stored %v: %v", m.names(), stored(t, api), err)
	}
}

// What a learner's API says is one short line, wherever it goes, and a refusal is still one.
func TestTextsAreBounded(t *testing.T) {
	err := short(fmt.Errorf("the API: %w: %s", workbench.Refusal("no"), strings.Repeat("\x1b[31mred\n\xff", 1<<20)))
	if text := err.Error(); len([]rune(text)) > mostText+3 || strings.ContainsAny(text, "\n\x1b") || !strings.HasPrefix(text, "the API: no: ") {
		t.Errorf("%d characters: %q", len(text), text)
	}
	if _, ok := errors.AsType[workbench.Refusal](err); !ok || short(nil) != nil {
		t.Error("a refusal is hidden")
	}
	api, m, at := begin()
	p := newPool(t, api, m, at, 0)
	p.cfg.Known = nil
	m.failing = errors.New(strings.Repeat("x", 1<<20))
	if err := p.Ensure(t.Context(), learner("ann00001")); err == nil || len(err.Error()) > 2*mostText {
		t.Errorf("%d characters", len(fmt.Sprint(err)))
	}
}
