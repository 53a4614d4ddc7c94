package scheduler

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/tools/cache"

	"wheelhouse/cluster/journal"
)

// binders is how many bindings are written at once.
const binders = 128

// New returns a scheduler; nothing runs before Run.
func New(c Config) (*Scheduler, error) {
	if c.Name == "" {
		c.Name = v1.DefaultSchedulerName
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	core := c.Informers.Core().V1()
	claims, volumes := core.PersistentVolumeClaims().Lister(), core.PersistentVolumes().Lister()
	classes := c.Informers.Storage().V1().StorageClasses().Lister()
	s := &Scheduler{
		Config: c,
		queue:  newQueue(time.Now),
		claims: claimReader{
			claim: func(ns, name string) (*v1.PersistentVolumeClaim, error) {
				return claims.PersistentVolumeClaims(ns).Get(name)
			},
			volume: volumes.Get, volumes: volumes.List,
			class: classes.Get, classes: classes.List,
		},
		services: core.Services().Lister(),
		rcs:      core.ReplicationControllers().Lister(),
		pods:     core.Pods().Lister(),
		budgets:  c.Informers.Policy().V1().PodDisruptionBudgets().Lister(),
		cluster:  newCluster(),
		reserved: map[string]bool{},
		binding:  make(chan struct{}, binders),
	}
	return s, s.watch()
}

// Run starts the informers and schedules until ctx ends.
func (s *Scheduler) Run(ctx context.Context) error {
	s.Informers.Start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), s.synced...) {
		return nil
	}
	s.ready.Store(true)
	defer s.ready.Store(false)
	running.Store(s.queue)
	defer running.CompareAndSwap(s.queue, nil)
	var writes sync.WaitGroup
	defer writes.Wait()
	for {
		info := s.queue.pop(ctx)
		if info == nil {
			return nil
		}
		s.busy.Store(time.Now().UnixNano())
		s.scheduleOne(ctx, info, &writes)
		s.busy.Store(0)
	}
}

// scheduleOne selects a node for one pod; a binder writes the result.
func (s *Scheduler) scheduleOne(ctx context.Context, info *podInfo, writes *sync.WaitGroup) {
	pod := info.pod // the cluster owns info from now on
	start := time.Now()
	to, err := s.schedulePod(info)
	algorithmDuration.Observe(time.Since(start).Seconds())
	if errors.Is(err, errScheduled) {
		s.queue.forget(pod.UID)
		return
	}
	if len(to.volumes) > 0 {
		// Volumes may take long, and must not block the binding of other pods.
		writes.Go(func() {
			if err := s.bindVolumes(ctx, pod, to); err != nil {
				s.unassume(ctx, pod, to, err)
				return
			}
			s.write(ctx, writes, func() { s.bind(ctx, pod, to) })
		})
		return
	}
	s.write(ctx, writes, func() {
		if err != nil {
			s.handleFailure(ctx, pod, err)
			return
		}
		s.bind(ctx, pod, to)
	})
}

// write runs f as soon as a binder is free.
func (s *Scheduler) write(ctx context.Context, writes *sync.WaitGroup, f func()) {
	select {
	case s.binding <- struct{}{}:
	case <-ctx.Done():
		return
	}
	writes.Go(func() {
		defer func() { <-s.binding }()
		f()
	})
}

// errScheduled means that the pod was assigned a node while it was queued.
var errScheduled = errors.New("the pod has a node already")

// schedulePod selects a node and assumes the pod there. If none is feasible, the *fitError has
// the preemption that would help.
func (s *Scheduler) schedulePod(info *podInfo) (assignment, error) {
	claims, reason, err := s.readClaims(info)
	if err != nil {
		return assignment{}, err
	}
	peers := s.peers(info.pod)
	s.mu.Lock()
	defer s.mu.Unlock()
	if reason != "" && len(s.cluster.list) > 0 {
		m := &fitError{nodes: len(s.cluster.list), upfront: reason, cause: causeVolume}
		(&request{podInfo: info, cluster: s.cluster}).preempt(m, nil)
		return assignment{}, m
	}
	if s.cluster.pods[info.pod.UID] != nil {
		return assignment{}, errScheduled
	}
	r := newRequest(s.cluster, info, claims, peers)
	var judged []journal.Node
	if s.Journal != nil {
		r.judged = &judged
	}
	node, err := r.pick()
	s.record(info.pod, node, judged)
	if err != nil {
		s.tryPreempt(r, err)
		return assignment{}, err
	}
	to := assignment{node: node.name}
	if claims != nil {
		to.volumes, _ = claims.choose(node.node)
		s.reserve(to.volumes, true)
	}
	s.cluster.assume(info, node.name)
	return to, nil
}

// record keeps a decision about a pod; node is nil where none is feasible.
func (s *Scheduler) record(pod *v1.Pod, node *nodeInfo, judged []journal.Node) {
	if s.Journal == nil {
		return
	}
	e := journal.Entry{Time: time.Now(), Component: "kube-scheduler", Nodes: judged}
	if node != nil {
		e.Chosen = node.name
	}
	s.Journal.Add(pod.UID, e)
}

func (s *Scheduler) readClaims(info *podInfo) (*podClaims, string, error) {
	if len(info.claims) == 0 {
		return nil, "", nil
	}
	s.mu.Lock()
	taken := maps.Clone(s.reserved)
	s.mu.Unlock()
	return s.claims.of(info.pod, taken)
}

// tryPreempt adds to a fitError the victims to preempt for the pod, and nominates their node.
func (s *Scheduler) tryPreempt(r *request, err error) {
	var m *fitError
	if !errors.As(err, &m) {
		return
	}
	budgets, err := s.budgets.List(labels.Everything())
	if err != nil { // without budgets no pod may be preempted
		s.Log.Error("list disruption budgets", "err", err)
		return
	}
	m.candidate = r.preempt(m, budgets)
	switch {
	case m.candidate != nil:
		s.cluster.nominate(r.podInfo, m.candidate.node.name)
	case !m.keeps:
		s.cluster.unnominate(r.pod.UID)
	}
}

// peers returns the selectors of the pods from which this one is spread: those of its services
// and its controller.
func (s *Scheduler) peers(p *v1.Pod) []labels.Selector {
	var out []labels.Selector
	if len(p.Labels) == 0 {
		return nil
	}
	services, err := s.services.Services(p.Namespace).List(labels.Everything())
	if err != nil {
		s.Log.Error("list services", "err", err)
	}
	for _, svc := range services {
		if selects(svc.Spec.Selector, p.Labels) {
			out = append(out, labels.SelectorFromSet(svc.Spec.Selector))
		}
	}
	for i := range p.OwnerReferences {
		ref := &p.OwnerReferences[i]
		if ref.Controller == nil || !*ref.Controller {
			continue
		}
		if rc, err := s.rcs.ReplicationControllers(p.Namespace).Get(ref.Name); err == nil && rc.UID == ref.UID {
			return append(out, labels.SelectorFromSet(rc.Spec.Selector))
		}
		return append(out, labels.SelectorFromSet(common(p.Labels)))
	}
	return out
}

// common leaves out the labels by which a controller distinguishes its pods: without them
// they have equal labels, whatever its kind.
func common(set map[string]string) labels.Set {
	out := labels.Set(maps.Clone(set))
	for _, key := range []string{appsv1.StatefulSetPodNameLabel, appsv1.PodIndexLabel, appsv1.ControllerRevisionHashLabelKey, batchv1.JobCompletionIndexAnnotation} {
		delete(out, key)
	}
	return out
}

func selects(selector, set map[string]string) bool {
	for k, v := range selector {
		if got, ok := set[k]; !ok || got != v {
			return false
		}
	}
	return len(selector) > 0
}

// stuckAfter is after how long one scheduling cycle makes the scheduler unhealthy.
const stuckAfter = time.Minute

// Healthy returns why the scheduler does not work, or nil.
func (s *Scheduler) Healthy() error {
	if !s.ready.Load() {
		return errors.New("scheduler: informers have not synced")
	}
	if start := s.busy.Load(); start != 0 && time.Since(time.Unix(0, start)) > stuckAfter {
		return fmt.Errorf("scheduler: one scheduling cycle has taken more than %v", stuckAfter)
	}
	return nil
}
