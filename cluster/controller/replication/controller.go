// Package replication keeps as many pods as a ReplicationController or a ReplicaSet (through
// Kind) specifies.
//
// It owns the pods' ownerReferences to the set and the set's status. A pod without a
// controller whose labels match is adopted; a pod whose labels no longer match is
// released and replaced. It never changes a pod otherwise, and leaves the pods of a
// deleted set to the garbage collector.
package replication

import (
	"errors"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/tools/cache"

	"wheelhouse/cluster/controller/loop"
	"wheelhouse/cluster/controller/podcontrol"
)

// debounce is the minimum time between two reconciles of one set.
const debounce = 50 * time.Millisecond

// Config is what the controller is given.
type Config struct {
	loop.Shared
	Kind NewKind
}

// Controller is the replication controller for one kind of set.
type Controller struct {
	*loop.Loop[string]
	loop.Shared
	kind    Kind
	sets    cache.Indexer
	pods    cache.Indexer
	control *podcontrol.Control
	now     func() time.Time
}

// New returns the controller; nothing runs before Run.
func New(c Config) (*Controller, error) {
	pods := c.Informers.Core().V1().Pods().Informer()
	byOwner, err := indexed(pods)
	if err != nil {
		return nil, err
	}
	kind := c.Kind(c.Client, c.Informers)
	r := &Controller{
		Shared: c.Shared, kind: kind, sets: kind.Informer().GetIndexer(), pods: byOwner,
		control: podcontrol.New(c.Shared, kind.GroupVersionKind()), now: time.Now,
	}
	r.Loop = loop.New(loop.Config[string]{Name: c.Controller, Workers: 5, Reconcile: r.reconcile, Log: c.Log, Period: debounce})
	handler := podcontrol.PodHandler{Kind: r.control.Kind, Expect: r.control.Expectations, Enqueue: r.AddSoon, Orphan: r.orphan}
	return r, errors.Join(
		r.On(kind.Informer(), loop.Each(func(o metav1.Object) { r.Add(loop.Key(o)) })),
		r.On(pods, handler.Handler()),
	)
}

// orphan enqueues the sets that could adopt p.
func (r *Controller) orphan(p *v1.Pod) {
	objs := loop.All(r.Log, func(labels.Selector) ([]any, error) { return r.sets.ByIndex(cache.NamespaceIndex, p.Namespace) })
	for _, o := range objs {
		if s, err := r.kind.View(o); err == nil && s.Selector.Matches(labels.Set(p.Labels)) {
			r.AddSoon(loop.Key(s))
		}
	}
}
