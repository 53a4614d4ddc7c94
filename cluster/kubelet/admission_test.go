package kubelet

import (
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func TestMisfit(t *testing.T) {
	asking := func(uid, name, amount string) *v1.Pod {
		return &v1.Pod{ObjectMeta: metav1.ObjectMeta{UID: types.UID(uid)}, Spec: v1.PodSpec{Containers: []v1.Container{{
			Resources: v1.ResourceRequirements{Requests: v1.ResourceList{v1.ResourceName(name): resource.MustParse(amount)}},
		}}}}
	}
	k := &Kubelet{capacity: v1.ResourceList{
		v1.ResourceCPU: resource.MustParse("2"), v1.ResourceMemory: resource.MustParse("1Gi"), v1.ResourceEphemeralStorage: resource.MustParse("10Gi"),
	}}
	k.workers = map[types.UID]*worker{"o": {input: newInput(asking("o", "cpu", "500m"))}, "me": {input: newInput(asking("me", "cpu", "3"))}}
	windows := asking("me", "cpu", "1")
	windows.Spec.OS = &v1.PodOS{Name: v1.Windows}
	full := &v1.Pod{Spec: v1.PodSpec{InitContainers: make([]v1.Container, 100), Containers: make([]v1.Container, 400)}}
	crowded := &v1.Pod{Spec: v1.PodSpec{InitContainers: make([]v1.Container, 100), Containers: make([]v1.Container, 401)}}
	linux := asking("me", "cpu", "2")
	linux.Spec.OS = &v1.PodOS{Name: v1.Linux}
	for _, c := range []struct {
		pod             *v1.Pod
		reason, message string
	}{
		{linux, "", ""},
		{full, "", ""},
		{crowded, "TooManyContainers", "The node runs pods of at most 500 containers, and this one has 501"},
		{windows, "PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS"},
		{asking("me", "cpu", "3"), "OutOfcpu", "Node didn't have enough resource: cpu, requested: 3000, used: 500, capacity: 2000"},
		{asking("me", "memory", "2Gi"), "OutOfmemory", "Node didn't have enough resource: memory, requested: 2147483648, used: 0, capacity: 1073741824"},
		{asking("me", "ephemeral-storage", "11Gi"), "OutOfephemeral-storage", "Node didn't have enough resource: ephemeral-storage, requested: 11811160064, used: 0, capacity: 10737418240"},
		{asking("me", "example.com/dongle", "3"), "", ""},
	} {
		if reason, message := k.admissionFailure(c.pod); reason != c.reason || message != c.message {
			t.Errorf("%q %q, want %q %q", reason, message, c.reason, c.message)
		}
	}
}
