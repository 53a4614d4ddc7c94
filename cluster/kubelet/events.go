package kubelet

import (
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"wheelhouse/cluster/kubelet/podspec"
)

// podEvent tells about the pod.
func (w *worker) podEvent(kind, reason, message string) { w.event("", kind, reason, message) }

// containerEvent tells about one container of the pod.
func (w *worker) containerEvent(c *v1.Container, kind, reason, message string) {
	field := ""
	if c != nil {
		field = "spec.containers{" + c.Name + "}"
		w.mu.Lock()
		for i := range w.pod.Spec.InitContainers {
			if w.pod.Spec.InitContainers[i].Name == c.Name {
				field = "spec.initContainers{" + c.Name + "}"
			}
		}
		if podspec.EphemeralContainer(w.pod, c.Name) != nil {
			field = "spec.ephemeralContainers{" + c.Name + "}"
		}
		w.mu.Unlock()
	}
	w.event(field, kind, reason, message)
}

func (w *worker) event(field, kind, reason, message string) {
	if w.ref.Namespace == "" { // only a folder is known of it
		return
	}
	w.mu.Lock()
	version := w.pod.ResourceVersion
	w.mu.Unlock()
	w.k.config.Recorder.Event(&v1.ObjectReference{
		Kind: "Pod", APIVersion: "v1", Namespace: w.ref.Namespace, Name: w.ref.Name,
		UID: types.UID(w.ref.UID), ResourceVersion: version, FieldPath: field,
	}, kind, reason, message)
}
