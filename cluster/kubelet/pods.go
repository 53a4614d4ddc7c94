package kubelet

import (
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"wheelhouse/cluster/kubelet/podspec"
	"wheelhouse/cluster/kubelet/source"
)

// handler is the kubelet as the pods of the API server use it: it implements source.Handler.
type handler struct{ *Kubelet }

// PodChanged implements source.Handler.
func (k handler) PodChanged(pod *v1.Pod) {
	if podspec.IsMirror(pod) {
		k.static.RecordMirror(pod)
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if w := k.workers[pod.UID]; w != nil {
		w.update(pod)
		return
	}
	k.startWorker(pod, false)
}

// PodRemoved implements source.Handler.
func (k handler) PodRemoved(pod *v1.Pod) {
	if podspec.IsMirror(pod) {
		k.static.MirrorRemoved(pod)
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if w := k.workers[pod.UID]; w != nil {
		w.remove()
	}
}

// staticPods is the kubelet as static pods use it: it implements source.Pods.
type staticPods struct{ *Kubelet }

// Keep implements source.Pods. A pod whose manifest has changed is another pod: it starts when
// the one before it is gone.
func (k staticPods) Keep(want map[types.UID]*v1.Pod) {
	k.mu.Lock()
	defer k.mu.Unlock()
	running := map[string]bool{}
	for uid, w := range k.workers {
		pod := w.latest()
		if !podspec.IsStatic(pod) {
			continue
		}
		running[w.ref.String()] = true
		if want[uid] == nil && pod.DeletionTimestamp == nil {
			w.update(source.Ending(pod, time.Now()))
		}
	}
	for _, pod := range want {
		if !running[pod.Namespace+"/"+pod.Name] {
			k.startWorker(pod, false)
		}
	}
}

// Runs implements source.Pods.
func (k staticPods) Runs(uid types.UID) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.workers[uid] != nil
}

// Mirrored implements source.Pods.
func (k staticPods) Mirrored(mirror *v1.Pod) {
	if w := k.workerOf(mirror.Namespace, mirror.Name, mirror.Annotations[v1.MirrorPodAnnotationKey]); w != nil {
		w.reporter.record(mirror)
		w.notify()
	}
}

// unfitForPath returns the first of those names of a pod that cannot be part of a path of
// the node: its uid, its volumes', its containers'. Pods do not only come from the API
// server: they also come from the labels of containers.
func unfitForPath(pod *v1.Pod) (string, bool) {
	names := []string{string(pod.UID)}
	for _, v := range pod.Spec.Volumes {
		names = append(names, v.Name)
	}
	for _, list := range [][]v1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for _, c := range list {
			names = append(names, c.Name)
		}
	}
	for _, c := range pod.Spec.EphemeralContainers {
		names = append(names, c.Name)
	}
	for _, name := range names {
		if name == "" || name == "." || name == ".." || len(name) > 253 || strings.ContainsAny(name, "/\x00") {
			return name, true
		}
	}
	return "", false
}

// startWorker is called with mu held.
func (k *Kubelet) startWorker(pod *v1.Pod, removed bool) {
	if k.ctx.Err() != nil {
		return
	}
	if name, ok := unfitForPath(pod); ok { // the API server rejects such pods
		k.log.Error("pod not run: one of its names cannot be part of a path", "pod", pod.Namespace+"/"+pod.Name, "name", name)
		return
	}
	w := newWorker(k, pod)
	w.removed = removed
	k.workers[pod.UID] = w
	k.allocations.Add(resizingPod{w}, pod, w.dir, w.log)
	k.wg.Go(func() {
		w.run(k.ctx)
		w.probes.Retain(nil)
		k.allocations.Remove(resizingPod{w}, pod.UID)
		k.mu.Lock()
		defer k.mu.Unlock()
		if k.workers[pod.UID] == w {
			delete(k.workers, pod.UID)
		}
	})
}
