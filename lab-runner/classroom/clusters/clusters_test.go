package clusters

import (
	"context"
	"errors"
	"io"
	"maps"
	"runtime"
	"slices"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/rest"

	"wheelhouse/cluster/wait"
	"wheelhouse/lab-runner/classroom/workbench"
)

// machine has clusters that exist by name alone.
type machine struct {
	mu      sync.Mutex
	there   map[string]string // whom they were given to
	runs    map[string]bool
	ups     map[string]int
	downs   int
	failing error // of Up
	stuck   error // of Down
	onUp    func(ctx context.Context, name string) error
	onDown  func(name string)
}

// count is how often a cluster was started.
func (m *machine) count(name string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ups[name]
}

func (m *machine) Up(ctx context.Context, name string) (*rest.Config, error) {
	m.mu.Lock()
	before := m.onUp
	m.ups[name]++
	if _, ok := m.there[name]; !ok {
		m.there[name] = ""
	}
	m.mu.Unlock()
	if before != nil {
		if err := before(ctx, name); err != nil {
			return nil, err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.failing != nil {
		return nil, m.failing
	}
	if _, ok := m.there[name]; !ok {
		m.there[name] = ""
	}
	m.runs[name] = true
	return &rest.Config{Host: name}, nil
}

func (m *machine) Open(name string) (*rest.Config, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.runs[name] {
		return nil, errors.New("it does not run")
	}
	return &rest.Config{Host: name}, nil
}

func (m *machine) Give(name, id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if to := m.there[name]; to != "" && to != id {
		return ErrGiven
	}
	m.there[name] = id
	return nil
}

func (m *machine) Down(_ context.Context, name string) error {
	if m.onDown != nil {
		m.onDown(name)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.downs++
	delete(m.runs, name)
	if m.stuck != nil {
		return m.stuck
	}
	delete(m.there, name)
	return nil
}

func (m *machine) Names() (map[string]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.there), nil
}

func (m *machine) names() []string {
	there, _ := m.Names()
	return slices.Sorted(maps.Keys(there))
}

// places notes where learners are, and fails for those whose cluster does not answer.
type places struct {
	mu     sync.Mutex
	of     map[string]string // by learner
	broken map[string]bool   // clusters
}

type oneBench struct {
	*places
	at string
}

func (b oneBench) Ensure(_ context.Context, l workbench.Learner) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.broken[b.at] {
		return errors.New("it does not answer")
	}
	b.of[l.ID] = b.at
	return nil
}

func (b oneBench) Terminal(context.Context, workbench.Learner, workbench.Terminal) error { return nil }

func (b oneBench) Desk(_ context.Context, _ workbench.Learner, _ io.Reader, out io.Writer) error {
	_, err := io.WriteString(out, b.at)
	return err
}

const namespace = "wheelhouse-class"

func newPool(t *testing.T, api kubernetes.Interface, m *machine, at *places, spare int, known ...string) *Pool {
	t.Helper()
	p := New(Config{Client: api, Namespace: namespace, Maker: m, Prefix: "class-l-", Spare: spare, Known: func() []string { return known }})
	p.open = func(rc *rest.Config) (bench, error) { return oneBench{at, rc.Host}, nil }
	return p
}

func begin() (kubernetes.Interface, *machine, *places) {
	api := fake.NewClientset(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}})
	return api, &machine{there: map[string]string{}, runs: map[string]bool{}, ups: map[string]int{}}, &places{of: map[string]string{}, broken: map[string]bool{}}
}

func learner(id string) workbench.Learner {
	return workbench.Learner{ID: id, Namespace: "learner-" + id}
}

// Each learner has a cluster of their own, also after the process; who leaves takes theirs along, and nobody gets it.
func TestEachTheirOwn(t *testing.T) {
	api, m, at := begin()
	p := newPool(t, api, m, at, 0, "ann00001", "bob00001", "cleo0001")
	for range 2 {
		for _, id := range []string{"ann00001", "bob00001"} {
			if err := p.Ensure(t.Context(), learner(id)); err != nil {
				t.Fatal(err)
			}
		}
	}
	ann, bob := at.of["ann00001"], at.of["bob00001"]
	if ann == "" || ann == bob || len(m.there) != 2 || m.ups[ann] != 1 {
		t.Fatalf("%v on %v, ups %v", at.of, m.there, m.ups)
	}
	p = newPool(t, api, m, at, 0, "ann00001", "bob00001", "cleo0001") // the next process
	if err := p.Desk(t.Context(), learner("ann00001"), nil, io.Discard); !errors.Is(err, errNone) {
		t.Errorf("a desk before its cluster was looked at: %v", err)
	}
	if err := p.Ensure(t.Context(), learner("ann00001")); err != nil || at.of["ann00001"] != ann {
		t.Errorf("after a restart: %v, %v", at.of, err)
	}
	at.broken[ann] = true
	if err := p.Ensure(t.Context(), learner("ann00001")); err == nil || m.ups[ann] != 1 {
		t.Errorf("a cluster whose processes run is not started: %v, ups %v", err, m.ups)
	}
	m.runs[ann] = false
	if err := p.Ensure(t.Context(), learner("ann00001")); err == nil || m.ups[ann] != 2 {
		t.Errorf("a cluster whose processes have ended is started again: %v, ups %v", err, m.ups)
	}
	if err := p.Ensure(t.Context(), learner("bob00001")); err != nil || at.of["bob00001"] != bob {
		t.Errorf("the other: %v, %v", at.of, err)
	}
	for range 2 {
		if err := p.Remove(t.Context(), learner("ann00001")); err != nil {
			t.Error(err)
		}
	}
	if err := p.Ensure(t.Context(), learner("cleo0001")); err != nil || at.of["cleo0001"] == ann || slices.Contains(m.names(), ann) || !slices.Contains(m.names(), bob) {
		t.Errorf("after one has left: %v, %v, %v", at.of, m.there, err)
	}
	if err := errors.Join(p.Ensure(t.Context(), workbench.Learner{}), p.Remove(t.Context(), workbench.Learner{})); err == nil {
		t.Error("nobody has a cluster")
	}
}

// A ready cluster is for the next learner and is replaced; what is nobody's is removed.
func TestSpare(t *testing.T) {
	api, m, at := begin()
	m.there["class-l-lefto1"] = ""
	p := newPool(t, api, m, at, 2, "ann00001")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	ready := func(n int, all int) func() error {
		return func() error {
			found, err := api.CoreV1().ConfigMaps(namespace).Get(ctx, object, metav1.GetOptions{})
			if err != nil {
				return err
			}
			spare := 0
			for _, id := range found.Data {
				if id == "" {
					spare++
				}
			}
			names := m.names()
			return wait.Seen(spare == n && len(names) == all && len(found.Data) == all && !slices.Contains(names, "class-l-lefto1"), found.Data, names)
		}
	}
	wait.For(t, "two that are ready", ready(2, 2))
	before := m.names()
	if err := p.Ensure(ctx, learner("ann00001")); err != nil || !slices.Contains(before, at.of["ann00001"]) || m.count(at.of["ann00001"]) != 1 {
		t.Errorf("%v, before %v: %v", at.of, before, err)
	}
	wait.For(t, "another that is ready", ready(2, 3))
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	// The next process finds them, and removes that of a learner who was removed meanwhile.
	p = newPool(t, api, m, at, 2)
	ctx, cancel = context.WithCancel(t.Context())
	defer cancel()
	go func() { ended <- p.Run(ctx) }()
	wait.For(t, "the ready ones alone", ready(2, 2))
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if slices.Contains(m.names(), at.of["ann00001"]) {
		t.Errorf("%v are there", m.names())
	}
}

// On a full machine further learners are refused with a sentence, and those who have a cluster keep it.
func TestFull(t *testing.T) {
	api, m, at := begin()
	p := newPool(t, api, m, at, 1, "ann00001", "bob00001")
	if err := p.Ensure(t.Context(), learner("ann00001")); err != nil {
		t.Fatal(err)
	}
	p.cfg.Room = func(int) error { return errors.New("this machine has no memory") }
	for _, err := range []error{p.Admit(), p.Ensure(t.Context(), learner("bob00001"))} {
		if why, ok := errors.AsType[workbench.Refusal](err); !ok || why.Error() != "this machine has no memory" {
			t.Errorf("a full machine: %v", err)
		}
	}
	if err := errors.Join(p.spare(t.Context()), p.Ensure(t.Context(), learner("ann00001"))); err != nil || len(m.there) != 1 {
		t.Errorf("%v: %v", m.there, err)
	}
	p.cfg.Room = nil
	if err := p.spare(t.Context()); err != nil || len(m.there) != 2 {
		t.Errorf("with a spare one: %v, %v", m.there, err)
	}
	p.cfg.Room = func(int) error { return errors.New("this machine has no memory") }
	if err := errors.Join(p.Admit(), p.Ensure(t.Context(), learner("bob00001"))); err != nil || len(m.there) != 2 {
		t.Errorf("the spare one is for the next: %v, %v", m.there, err)
	}
	p.cfg.Room, p.cfg.Most = nil, 2
	if err := p.spare(t.Context()); err != nil || len(m.there) != 2 {
		t.Errorf("a full class: %v, %v", m.there, err)
	}
}

// A learner's page and their terminal may both ask for the cluster while it is made. Others are served meanwhile.
func TestTwoAskAtOnce(t *testing.T) {
	api, m, at := begin()
	p := newPool(t, api, m, at, 0, "ann00001", "bob00001")
	if err := p.Ensure(t.Context(), learner("ann00001")); err != nil {
		t.Fatal(err)
	}
	reads := func() (n int) {
		for _, a := range api.(*fake.Clientset).Actions() {
			if a.GetVerb() == "get" {
				n++
			}
		}
		return n
	}
	before := reads()
	gate := make(chan struct{})
	m.onUp = func(context.Context, string) error {
		<-gate
		return nil
	}
	ended := make(chan error, 2)
	for range 2 {
		go func() { ended <- p.Ensure(t.Context(), learner("bob00001")) }()
	}
	wait.For(t, "it to be asked whose the cluster is", func() error { return wait.Seen(reads() >= before+1, reads()) })
	served := make(chan error, 1)
	go func() {
		for range 1000 {
			if err := p.Desk(t.Context(), learner("ann00001"), nil, io.Discard); err != nil {
				served <- err
				return
			}
			runtime.Gosched()
		}
		served <- nil
	}()
	wait.For(t, "the other learner's desk", func() error {
		select {
		case err := <-served:
			served <- err
			return err
		default:
			return errors.New("it is not served")
		}
	})
	close(gate)
	for range 2 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	if m.ups[at.of["bob00001"]] != 1 {
		t.Errorf("ups %v", m.ups)
	}
}
