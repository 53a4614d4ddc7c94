// Package scheduler gives each pod a node.
//
// It watches pods and nodes, and writes only three things: a Binding for a pod
// that fits, the condition PodScheduled for one that does not, and events. Pods
// whose schedulerName is another's are not touched, so several schedulers can run
// side by side. README.md draws the way of a pod through it.
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
	"sync"
	"sync/atomic"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	listers "k8s.io/client-go/listers/core/v1"
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
	synced   []cache.InformerSynced

	mu      sync.Mutex // guards cluster
	cluster *cluster

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
	s := &Scheduler{
		Config: c,
		queue:  newQueue(time.Now),
		claims: claimReader{
			claim: func(ns, name string) (*v1.PersistentVolumeClaim, error) {
				return claims.PersistentVolumeClaims(ns).Get(name)
			},
			volume: volumes.Get,
		},
		services: core.Services().Lister(),
		rcs:      core.ReplicationControllers().Lister(),
		cluster:  newCluster(),
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
	node, err := s.decide(info)
	if errors.Is(err, errPlaced) {
		s.queue.forget(pod.UID)
		return
	}
	select {
	case s.binding <- struct{}{}:
	case <-ctx.Done():
		return
	}
	writes.Go(func() {
		defer func() { <-s.binding }()
		if err != nil {
			s.refuse(ctx, pod, err)
			return
		}
		s.bind(ctx, pod, node)
	})
}

// errPlaced says that the pod got a node while it waited for its turn.
var errPlaced = errors.New("the pod has a node already")

// decide picks a node and assumes the pod there.
func (s *Scheduler) decide(info *podInfo) (string, error) {
	pvs, reason, err := s.claims.volumesOf(info.pod)
	if err != nil {
		return "", err
	}
	peers := s.peers(info.pod)
	s.mu.Lock()
	defer s.mu.Unlock()
	if reason != "" {
		n := len(s.cluster.list)
		return "", &misfit{nodes: n, upfront: reason, cause: causeVolume}
	}
	if s.cluster.pods[info.pod.UID] != nil {
		return "", errPlaced
	}
	node, err := newRequest(s.cluster, info, pvs, peers).pick()
	if err != nil {
		return "", err
	}
	s.cluster.assume(info, node.name)
	return node.name, nil
}

// peers selects the pods that this one should spread from: those of its services
// and its controller.
func (s *Scheduler) peers(p *v1.Pod) []labels.Selector {
	var out []labels.Selector
	if len(p.Labels) == 0 {
		return nil
	}
	set := labels.Set(p.Labels)
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
		// A controller of another kind makes pods with equal labels too.
		return append(out, labels.SelectorFromSet(set))
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
