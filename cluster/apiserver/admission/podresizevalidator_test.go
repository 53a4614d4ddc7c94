package admission_test

import (
	"errors"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"wheelhouse/cluster/apiserver/admission"
	"wheelhouse/cluster/apiserver/admission/serviceallocator"
)

// A resize is refused at once if not even the empty node could give so much, or if the
// namespace allows no more; the cause can be distinguished by a program.
func TestResizeAdmission(t *testing.T) {
	o := cluster()
	node := &corev1.Node{ObjectMeta: meta("", "n")}
	node.Status.Allocatable = amounts("cpu=2", "memory=1Gi")
	o.Put("", "nodes", node)
	windows := &corev1.Node{ObjectMeta: meta("", "w"), Status: node.Status}
	windows.Labels = map[string]string{corev1.LabelOSStable: "windows"}
	o.Put("", "nodes", windows)
	o.Put("", "limitranges", &corev1.LimitRange{ObjectMeta: meta("a", "limits"), Spec: corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{
		{Type: corev1.LimitTypeContainer, Min: amounts("cpu=100m")},
	}}})
	c := newChain(t, o, serviceallocator.Config{})
	for _, tt := range []struct {
		name, on    string
		asked       corev1.ResourceList
		want, cause string
	}{
		{"all of it", "n", amounts("cpu=2", "memory=1Gi"), "", ""},
		{"too much cpu", "n", amounts("cpu=2001m"), "node didn't have enough allocatable resources: cpu, requested: 2001, allocatable: 2000", "NodeCapacity"},
		{
			"too much of both", "n", amounts("cpu=3", "memory=2Gi"),
			"node didn't have enough allocatable resources: cpu, requested: 3000, allocatable: 2000; memory, requested: 2147483648, allocatable: 1073741824", "NodeCapacity",
		},
		{"on no node yet", "", amounts("cpu=20"), "", ""},
		{"on a node that is gone", "gone", amounts("cpu=1"), `node "gone" not found`, ""},
		{"on windows", "w", amounts("cpu=1"), `pod resize is only supported on linux nodes, node "w" is "windows"`, "UnsupportedPlatform"},
		{"less than the namespace allows", "n", amounts("cpu=50m"), "minimum cpu usage per Container is 100m, but request is 50m", ""},
	} {
		old := podOf(asks("c", amounts("cpu=100m"), nil))
		old.Spec.NodeName, old.Generation = tt.on, 1
		pod := old.DeepCopy()
		pod.Spec.Containers[0].Resources.Requests, pod.Generation = tt.asked, 2
		r := podRequest(pod)
		r.Verb, r.Old, r.Subresource = admission.Update, old, "resize"
		err := c.Validate(bg, r)
		text := tt.want
		if text != "" {
			text = `pods "p" is forbidden: ` + text
		}
		t.Run(tt.name, func(t *testing.T) { want(t, err, text) })
		cause := ""
		var status *apierrors.StatusError
		if errors.As(err, &status) && len(status.ErrStatus.Details.Causes) > 0 {
			cause = string(status.ErrStatus.Details.Causes[0].Type)
		}
		if cause != tt.cause {
			t.Errorf("%s: cause %q, want %q", tt.name, cause, tt.cause)
		}
	}
}
