// Package scheduler gives each pod a node.
//
// It watches pods and nodes, and writes a Binding for a pod that fits, and for one
// that does not the condition PodScheduled, where room is made for it, and events.
// Two more writes serve a Binding: less important pods are deleted for it, and the
// claims that waited for a node get a volume or the node's name. Pods whose
// schedulerName is another's are not touched, so several schedulers can run side by
// side. README.md draws the way of a pod through it.
//
// One goroutine decides, one pod after the other, on a picture of the cluster that
// is kept up to date by watches (cluster.go); binders write the decisions
// concurrently. A pod counts on its node from the decision on ("assumed"), and is
// taken off again when the binding fails.
package scheduler

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	listers "k8s.io/client-go/listers/core/v1"
	policylisters "k8s.io/client-go/listers/policy/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
)

// binders is how many bindings are written at once.
const binders = 128

// stuckAfter is when a decision that does not end makes the scheduler unhealthy.
const stuckAfter = time.Minute

// Config is what the scheduler works with. Informers may be shared; Run starts them.
type Config struct {
	Client    kubernetes.Interface
	Informers informers.SharedInformerFactory
	Recorder  record.EventRecorder
	Name      string // "" is default-scheduler
	Log       *slog.Logger
}

// Scheduler is made with New.
type Scheduler struct {
	Config
	queue    *queue
	claims   claimReader
	services listers.ServiceLister
	rcs      listers.ReplicationControllerLister
	pods     listers.PodLister
	budgets  policylisters.PodDisruptionBudgetLister
	synced   []cache.InformerSynced

	mu       sync.Mutex // guards the two
	cluster  *cluster
	promised map[string]bool // volumes that were chosen for claims and are not yet bound

	binding chan struct{} // a place for each binder
	ready   atomic.Bool
	busy    atomic.Int64 // since when a decision is being made, unix nanoseconds
}

// New makes a scheduler; nothing runs before Run.
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
		promised: map[string]bool{},
		binding:  make(chan struct{}, binders),
	}
	return s, s.watch()
}

// Run decides until ctx ends. It starts the informers if nobody did.
func (s *Scheduler) Run(ctx context.Context) error {
	s.Informers.Start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), s.synced...) {
		return nil
	}
	s.ready.Store(true)
	defer s.ready.Store(false)
	var writes sync.WaitGroup
	defer writes.Wait()
	for {
		info := s.queue.pop(ctx)
		if info == nil {
			return nil
		}
		s.busy.Store(time.Now().UnixNano())
		s.one(ctx, info, &writes)
		s.busy.Store(0)
	}
}

// Healthy says why the scheduler does not work, or nil.
func (s *Scheduler) Healthy() error {
	if !s.ready.Load() {
		return errors.New("scheduler: waiting for its caches")
	}
	if start := s.busy.Load(); start != 0 && time.Since(time.Unix(0, start)) > stuckAfter {
		return fmt.Errorf("scheduler: one decision has taken more than %v", stuckAfter)
	}
	return nil
}

// one decides on one pod and leaves the writing to a goroutine of its own.
func (s *Scheduler) one(ctx context.Context, info *podInfo, writes *sync.WaitGroup) {
	pod := info.pod // info is the cluster's from now on
	to, err := s.decide(info)
	if errors.Is(err, errPlaced) {
		s.queue.forget(pod.UID)
		return
	}
	if len(to.volumes) > 0 {
		// Volumes may take long, and must not keep other pods from being bound.
		writes.Go(func() {
			if err := s.bindVolumes(ctx, pod, to); err != nil {
				s.takeBack(ctx, pod, to, err)
				return
			}
			s.write(ctx, writes, func() { s.bind(ctx, pod, to) })
		})
		return
	}
	s.write(ctx, writes, func() {
		if err != nil {
			s.refuse(ctx, pod, err)
			return
		}
		s.bind(ctx, pod, to)
	})
}

// write runs f as soon as there is a place among the binders.
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

// errPlaced says that the pod got a node while it waited for its turn.
var errPlaced = errors.New("the pod has a node already")

// decision is a node for a pod, and what becomes of its claims that waited for it.
type decision struct {
	node    string
	volumes []choice
}

// decide picks a node and assumes the pod there. Where none fits, the *misfit says
// whether room can be made.
func (s *Scheduler) decide(info *podInfo) (decision, error) {
	claims, reason, err := s.readClaims(info)
	if err != nil {
		return decision{}, err
	}
	peers := s.peers(info.pod)
	s.mu.Lock()
	defer s.mu.Unlock()
	if reason != "" && len(s.cluster.list) > 0 {
		m := &misfit{nodes: len(s.cluster.list), upfront: reason, cause: causeVolume}
		(&request{podInfo: info, cluster: s.cluster}).preempt(m, nil)
		return decision{}, m
	}
	if s.cluster.pods[info.pod.UID] != nil {
		return decision{}, errPlaced
	}
	r := newRequest(s.cluster, info, claims, peers)
	node, err := r.pick()
	if err != nil {
		s.makeRoom(r, err)
		return decision{}, err
	}
	to := decision{node: node.name}
	if claims != nil {
		to.volumes, _ = claims.choose(node.node)
		s.promise(to.volumes, true)
	}
	s.cluster.assume(info, node.name)
	return to, nil
}

func (s *Scheduler) readClaims(info *podInfo) (*podClaims, string, error) {
	if len(info.claims) == 0 {
		return nil, "", nil
	}
	s.mu.Lock()
	taken := maps.Clone(s.promised)
	s.mu.Unlock()
	return s.claims.of(info.pod, taken)
}

// makeRoom adds to a misfit the plan whom to end for the pod, and keeps the place.
func (s *Scheduler) makeRoom(r *request, err error) {
	var m *misfit
	if !errors.As(err, &m) {
		return
	}
	budgets, err := s.budgets.List(labels.Everything())
	if err != nil {
		return
	}
	m.plan = r.preempt(m, budgets)
	switch {
	case m.plan != nil:
		s.cluster.nominate(r.podInfo, m.plan.node.name)
	case !m.keeps:
		s.cluster.unnominate(r.pod.UID)
	}
}

// peers selects the pods that this one should spread from: those of its services
// and its controller.
func (s *Scheduler) peers(p *v1.Pod) []labels.Selector {
	var out []labels.Selector
	if len(p.Labels) == 0 {
		return nil
	}
	services, err := s.services.Services(p.Namespace).List(labels.Everything())
	if err != nil {
		return nil
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

// common leaves out the labels by which a controller tells its pods apart: without
// them they have equal labels, whatever its kind.
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
