// Package replication keeps as many pods as a ReplicationController (or, through
// Kind, a ReplicaSet) asks for.
//
// It owns the pods' ownerReferences to the set and the set's status. A pod without
// a controller whose labels match is adopted; a pod whose labels no longer match
// is released and replaced. It never changes a pod otherwise, and leaves the end
// of the pods of a deleted set to the garbage collector.
package replication

import (
	"log/slog"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"

	"wheelhouse/cluster/controller/loop"
)

// settle is how long pod changes of one set are gathered into one reconcile.
const settle = 50 * time.Millisecond

// Config is what the controller works with.
type Config struct {
	Name      string // as events and health name it
	Kind      Kind
	Client    kubernetes.Interface
	Informers informers.SharedInformerFactory
	Recorder  record.EventRecorder
	Log       *slog.Logger
}

// Controller is the replication controller for one kind of set.
type Controller struct {
	*loop.Loop[string]
	Config
	sets   cache.Indexer
	pods   cache.Indexer
	expect *Expectations
	now    func() time.Time
}

// New makes the controller; nothing runs before Run.
func New(c Config) (*Controller, error) {
	pods := c.Informers.Core().V1().Pods()
	byOwner, err := indexed(pods.Informer())
	if err != nil {
		return nil, err
	}
	r := &Controller{
		Config: c,
		sets:   c.Kind.Informer().GetIndexer(),
		pods:   byOwner,
		expect: NewExpectations(time.Now),
		now:    time.Now,
	}
	r.Loop = loop.New(loop.Config[string]{
		Name: c.Name, Workers: 5, Reconcile: r.reconcile, Log: c.Log, Period: settle,
	})
	if err := r.On(c.Kind.Informer(), loop.Each(func(o Object) { r.Add(loop.Key(o)) })); err != nil {
		return nil, err
	}
	router := &Router{Kind: c.Kind.GroupVersionKind(), Expect: r.expect, Wake: r.AddSoon, Orphan: r.orphan}
	if err := r.On(pods.Informer(), loop.Changes(router.Changed)); err != nil {
		return nil, err
	}
	return r, nil
}

// Name is the controller's name in logs and health.
func (r *Controller) Name() string { return r.Config.Name }

// orphan wakes the sets that could adopt p.
func (r *Controller) orphan(p *v1.Pod) {
	objs, err := r.sets.ByIndex(cache.NamespaceIndex, p.Namespace)
	if err != nil {
		return
	}
	for _, o := range objs {
		if s, err := r.Kind.View(o); err == nil && s.Selector.Matches(labels.Set(p.Labels)) {
			r.AddSoon(loop.Key(s.Object))
		}
	}
}

func (r *Controller) get(key string) (*Set, error) {
	o, ok, err := r.sets.GetByKey(key)
	if err != nil || !ok {
		return nil, err
	}
	return r.Kind.View(o)
}
