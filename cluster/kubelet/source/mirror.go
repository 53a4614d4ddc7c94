package source

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"wheelhouse/cluster/kubelet/cri"
	"wheelhouse/cluster/kubelet/podspec"
)

// mirrors are the pods at the API server that stand for static ones.
type mirrors struct {
	mu    sync.Mutex
	known map[types.NamespacedName]*v1.Pod
}

// RecordMirror records a mirror as the API server has it.
func (s *Static) RecordMirror(mirror *v1.Pod) {
	s.mu.Lock()
	s.known[types.NamespacedName{Namespace: mirror.Namespace, Name: mirror.Name}] = mirror
	s.mu.Unlock()
	s.notify()
	s.Pods.Mirrored(mirror)
}

// MirrorRemoved records that the API server has dropped a mirror.
func (s *Static) MirrorRemoved(mirror *v1.Pod) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := types.NamespacedName{Namespace: mirror.Namespace, Name: mirror.Name}
	if have := s.known[name]; have != nil && have.UID == mirror.UID {
		delete(s.known, name)
	}
	s.notify()
}

func (s *Static) notify() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// reconcile has each static pod have a mirror, and each mirror a pod. A mirror that
// is deleted is recreated; the static pod runs on.
func (s *Static) reconcile(ctx context.Context, pods map[types.UID]*v1.Pod) error {
	s.mu.Lock()
	known := maps.Clone(s.known)
	s.mu.Unlock()
	var errs []error
	for _, pod := range pods {
		if known[types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name}] == nil {
			errs = append(errs, s.create(ctx, pod))
		}
	}
	for _, m := range known {
		uid := types.UID(m.Annotations[v1.MirrorPodAnnotationKey])
		if m.DeletionTimestamp != nil || pods[uid] == nil && !s.Pods.Runs(uid) {
			errs = append(errs, Delete(ctx, s.Client, cri.PodRef{Namespace: m.Namespace, Name: m.Name, UID: string(m.UID)}))
		}
	}
	return errors.Join(errs...)
}

func (s *Static) create(ctx context.Context, pod *v1.Pod) error {
	mirror := pod.DeepCopy()
	mirror.UID, mirror.ResourceVersion = "", ""
	mirror.Annotations[v1.MirrorPodAnnotationKey] = string(pod.UID)
	node, err := s.Client.CoreV1().Nodes().Get(ctx, s.NodeName, metav1.GetOptions{})
	if err != nil { // the API server takes no mirror without its node
		return fmt.Errorf("get the node that owns the mirror of static pod %s/%s: %w", mirror.Namespace, mirror.Name, err)
	}
	yes := true
	mirror.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: node.Name, UID: node.UID, Controller: &yes}}
	made, err := s.Client.CoreV1().Pods(mirror.Namespace).Create(ctx, mirror, metav1.CreateOptions{})
	switch {
	case apierrors.IsAlreadyExists(err): // its event is on the way, or another pod has the name
		return nil
	case err != nil:
		return fmt.Errorf("create the mirror of static pod %s/%s: %w", mirror.Namespace, mirror.Name, err)
	}
	s.RecordMirror(made)
	return nil
}

// Ending is a static pod whose manifest is gone, as one that is deleted.
func Ending(pod *v1.Pod, now time.Time) *v1.Pod {
	out := pod.DeepCopy()
	grace, at := podspec.GracePeriod(pod), metav1.NewTime(now)
	out.DeletionTimestamp, out.DeletionGracePeriodSeconds = &at, &grace
	return out
}
