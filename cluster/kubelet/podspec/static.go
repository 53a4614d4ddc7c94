package podspec

import v1 "k8s.io/api/core/v1"

// The annotations of static pods and of their mirrors.
const (
	AnnotationSource = "kubernetes.io/config.source"
	AnnotationHash   = "kubernetes.io/config.hash"
	AnnotationSeen   = "kubernetes.io/config.seen"
)

// IsStatic reports whether a pod comes from a manifest of the node itself.
func IsStatic(pod *v1.Pod) bool { return pod.Annotations[AnnotationSource] == "file" && !IsMirror(pod) }

// IsMirror reports whether a pod is the API server's object for a static pod.
func IsMirror(pod *v1.Pod) bool {
	_, ok := pod.Annotations[v1.MirrorPodAnnotationKey]
	return ok
}
