package builtin

import (
	"testing"

	corev1 "k8s.io/api/core/v1"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/api/core"
)

// The mirror annotation is immutable, whichever way a pod is written.
func TestMirrorAnnotationStays(t *testing.T) {
	mirror := read(t, core.Pods, `{metadata: {annotations: {kubernetes.io/config.mirror: x}}, spec: {nodeName: n1}}`).(*corev1.Pod)
	create(core.Pods, mirror)
	plain := read(t, core.Pods, `{spec: {nodeName: n1}}`).(*corev1.Pod)
	create(core.Pods, plain)
	other := mirror.DeepCopy()
	other.Annotations[corev1.MirrorPodAnnotationKey] = "y"
	const field = "metadata.annotations[kubernetes.io/config.mirror]: Forbidden: may not "
	ways := map[string]func(obj, old api.Object) []string{
		"update": func(obj, old api.Object) []string { return lines(core.Pods.ValidateUpdate(obj, old)) },
		"status": func(obj, old api.Object) []string { return lines(core.Pods.ValidateStatus(obj, old)) },
	}
	for name, way := range ways {
		for _, x := range []struct {
			obj, old *corev1.Pod
			want     string
		}{
			{mirror, plain, "add mirror pod annotation"},
			{plain, mirror, "remove or update mirror pod annotation"},
			{other, mirror, "remove or update mirror pod annotation"},
			{mirror, mirror, ""},
		} {
			old := x.old.DeepCopy()
			obj := old.DeepCopy()
			obj.Annotations = x.obj.Annotations
			got := way(obj, old)
			if x.want == "" && len(got) == 0 || len(got) == 1 && got[0] == field+x.want {
				continue
			}
			t.Errorf("%s: %q, want %q", name, got, x.want)
		}
	}
	matches(t, core.Pods.Sub("ephemeralcontainers").Validate(mirror, mirror), "[]: Forbidden: static pods do not support ephemeral containers")
	matches(t, core.Bindings.Validate(&corev1.Binding{ObjectMeta: mirror.ObjectMeta, Target: corev1.ObjectReference{Name: "n1"}}), field+"add mirror pod annotation")
	mirror.Spec.NodeName = ""
	matches(t, core.Pods.Validate(mirror), `metadata.annotations[kubernetes.io/config.mirror]: Invalid value: "x": must set spec.nodeName if mirror pod annotation is set`)
}
