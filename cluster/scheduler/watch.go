package scheduler

import (
	"fmt"
	"maps"
	"slices"

	v1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"wheelhouse/cluster/api/podfacts"
)

// watch adds the handlers for what scheduling depends on.
func (s *Scheduler) watch() error {
	core := s.Informers.Core().V1()
	s.synced = append(s.synced, core.Services().Informer().HasSynced, core.ReplicationControllers().Informer().HasSynced,
		s.Informers.Policy().V1().PodDisruptionBudgets().Informer().HasSynced)
	handlers := []struct {
		informer cache.SharedIndexInformer
		handler  cache.ResourceEventHandler
	}{
		{core.Nodes().Informer(), handle(s.nodeSet, s.nodeGone)},
		{core.Namespaces().Informer(), handle(s.namespaceSet, s.namespaceGone)},
		{core.Pods().Informer(), handle(s.podSet, s.podGone)},
		{core.PersistentVolumeClaims().Informer(), handle(
			func(_, _ *v1.PersistentVolumeClaim) { s.queue.changed(causeVolume) }, func(*v1.PersistentVolumeClaim) {})},
		{core.PersistentVolumes().Informer(), handle(
			func(_, _ *v1.PersistentVolume) { s.queue.changed(causeVolume) }, func(*v1.PersistentVolume) {})},
		{s.Informers.Storage().V1().StorageClasses().Informer(), handle(
			func(_, _ *storagev1.StorageClass) { s.queue.changed(causeVolume) }, func(*storagev1.StorageClass) {})},
	}
	for _, h := range handlers {
		reg, err := h.informer.AddEventHandler(h.handler)
		if err != nil {
			return fmt.Errorf("watch: %w", err)
		}
		s.synced = append(s.synced, reg.HasSynced)
	}
	return nil
}

// handle returns an event handler; old is nil for a new object.
func handle[T any](set func(old, now *T), gone func(*T)) cache.ResourceEventHandler {
	return cache.ResourceEventHandlerFuncs{
		AddFunc: func(o any) {
			if t, ok := o.(*T); ok {
				set(nil, t)
			}
		},
		UpdateFunc: func(o, n any) {
			old, _ := o.(*T)
			if t, ok := n.(*T); ok {
				set(old, t)
			}
		},
		DeleteFunc: func(o any) {
			if d, ok := o.(cache.DeletedFinalStateUnknown); ok {
				o = d.Obj
			}
			if t, ok := o.(*T); ok {
				gone(t)
			}
		},
	}
}

func (s *Scheduler) nodeSet(old, now *v1.Node) {
	if old != nil && !nodeMatters(old, now) {
		return
	}
	s.mu.Lock()
	s.cluster.setNode(now)
	s.mu.Unlock()
	s.queue.changed(causeNode | causeResource | causePods)
}

// nodeMatters reports whether a change of a node matters: heartbeats do not.
func nodeMatters(old, now *v1.Node) bool {
	return old.Spec.Unschedulable != now.Spec.Unschedulable || !labels.Equals(old.Labels, now.Labels) ||
		!slices.EqualFunc(old.Spec.Taints, now.Spec.Taints, func(a, b v1.Taint) bool { return a.MatchTaint(&b) && a.Value == b.Value }) ||
		!equality.Semantic.DeepEqual(old.Status.Allocatable, now.Status.Allocatable) ||
		!equality.Semantic.DeepEqual(old.Status.Images, now.Status.Images)
}

func (s *Scheduler) nodeGone(n *v1.Node) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cluster.removeNode(n.Name)
}

func (s *Scheduler) namespaceSet(_, ns *v1.Namespace) {
	s.mu.Lock()
	same := labels.Equals(s.cluster.namespaces[ns.Name], ns.Labels)
	s.cluster.namespaces[ns.Name] = ns.Labels
	if !same {
		s.cluster.dropSelections()
	}
	s.mu.Unlock()
	if !same {
		s.queue.changed(causePods)
	}
}

func (s *Scheduler) namespaceGone(ns *v1.Namespace) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.cluster.namespaces, ns.Name)
}

func (s *Scheduler) podSet(old, now *v1.Pod) {
	switch {
	case podfacts.Terminal(now):
		s.podGone(now)
	case now.Spec.NodeName != "":
		s.queue.forget(now.UID)
		s.mu.Lock()
		s.cluster.setPod(now)
		s.mu.Unlock()
		if what := freedBy(old, now); what != 0 {
			s.queue.changed(what)
		}
	case now.Spec.SchedulerName != s.Name || now.DeletionTimestamp != nil || len(now.Spec.SchedulingGates) > 0:
		s.queue.forget(now.UID)
		s.mu.Lock()
		s.cluster.unnominate(now.UID)
		s.mu.Unlock()
	default:
		if !s.assumed(now, old == nil) {
			s.queue.set(now, old != nil && mayFitNow(old, now))
		}
	}
}

// freedBy returns the causes that a change of a bound pod may have resolved for others.
func freedBy(old, now *v1.Pod) (what cause) {
	if old == nil || old.Spec.NodeName == "" || !labels.Equals(old.Labels, now.Labels) || (old.DeletionTimestamp == nil) != (now.DeletionTimestamp == nil) {
		what |= causePods
	}
	if old != nil && old.Spec.NodeName != "" && shrank(old, now) {
		what |= causeResource
	}
	return what
}

// assumed reports whether the pod is assumed on a node that the API does not show yet. A
// nomination from before this scheduler started is restored.
func (s *Scheduler) assumed(p *v1.Pod, first bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cluster.pods[p.UID] != nil {
		return true
	}
	if name := p.Status.NominatedNodeName; first && name != "" {
		s.cluster.nominate(newPodInfo(p), name)
	}
	return false
}

// mayFitNow reports whether an update may make the pod fit: one of its status does not.
func mayFitNow(old, now *v1.Pod) bool {
	return !labels.Equals(old.Labels, now.Labels) || !equality.Semantic.DeepEqual(old.Spec, now.Spec)
}

// podGone removes a deleted or terminal pod. Pods that are nominated on its node are
// activated.
func (s *Scheduler) podGone(p *v1.Pod) {
	s.queue.forget(p.UID)
	var waiting []types.UID
	s.mu.Lock()
	if n := s.cluster.nodes[p.Spec.NodeName]; n != nil {
		waiting = slices.Collect(maps.Keys(n.nominated))
	}
	freed := s.cluster.removePod(p.UID)
	s.cluster.unnominate(p.UID)
	s.mu.Unlock()
	if !freed {
		return
	}
	for _, uid := range waiting {
		s.queue.activate(uid)
	}
	s.queue.changed(causeResource | causePods)
}
