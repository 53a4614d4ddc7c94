package replication

import (
	"fmt"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"
)

// byController is the index of pods by their controller's UID; orphans are under their
// namespace. A set so reads its own pods and the orphans, and not all pods of a large
// namespace.
const byController = "controller"

// indexed returns the store of pods with that index, which both kinds of sets share.
func indexed(pods cache.SharedIndexInformer) (cache.Indexer, error) {
	store := pods.GetIndexer()
	if _, ok := store.GetIndexers()[byController]; ok {
		return store, nil
	}
	err := pods.AddIndexers(cache.Indexers{byController: func(o any) ([]string, error) {
		p, ok := o.(*v1.Pod)
		if !ok {
			return nil, fmt.Errorf("not a pod: %T", o)
		}
		if ref := metav1.GetControllerOfNoCopy(p); ref != nil {
			return []string{string(ref.UID)}, nil
		}
		return []string{orphansOf(p.Namespace)}, nil
	}})
	if err != nil {
		return nil, fmt.Errorf("index pods by their controller: %w", err)
	}
	return store, nil
}

func orphansOf(namespace string) string { return "none/" + namespace }

// controlledBy returns the pods of a controller.
func (r *Controller) controlledBy(uid types.UID) ([]*v1.Pod, error) {
	return r.under(string(uid))
}

// claimable returns the pods that a set controls or may adopt.
func (r *Controller) claimable(s *Set) ([]*v1.Pod, error) {
	own, err := r.controlledBy(s.UID)
	if err != nil {
		return nil, err
	}
	orphans, err := r.under(orphansOf(s.Namespace))
	return append(own, orphans...), err
}

func (r *Controller) under(key string) ([]*v1.Pod, error) {
	list, err := r.pods.ByIndex(byController, key)
	if err != nil {
		return nil, fmt.Errorf("list pods: %w", err)
	}
	out := make([]*v1.Pod, 0, len(list))
	for _, o := range list {
		if p, ok := o.(*v1.Pod); ok {
			out = append(out, p)
		}
	}
	return out, nil
}
