package eviction

import (
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"wheelhouse/cluster/kubelet/nodefs"
)

func TestOverDiskLimit(t *testing.T) {
	limit := resource.MustParse("10Mi")
	pod := &v1.Pod{Spec: v1.PodSpec{
		Volumes: []v1.Volume{
			{Name: "small", VolumeSource: v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{SizeLimit: &limit}}},
			{Name: "large", VolumeSource: v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{}}},
		},
		Containers: []v1.Container{
			sized(nil, map[v1.ResourceName]string{"ephemeral-storage": "20Mi"}),
			sized(nil, map[v1.ResourceName]string{"ephemeral-storage": "40Mi"}),
		},
	}}
	pod.Spec.Containers[0].Name, pod.Spec.Containers[1].Name = "a", "b"
	mi := func(n int64) nodefs.Usage { return nodefs.Usage{Bytes: n << 20} }
	for _, c := range []struct {
		small, large, a, b int64
		want               string
	}{
		{10, 10, 10, 10, ""},
		{11, 0, 0, 0, `Usage of EmptyDir volume "small" exceeds the limit "10Mi". `},
		{0, 61, 0, 0, "Pod ephemeral local storage usage exceeds the total limit of containers 60Mi. "},
		{0, 0, 21, 0, `Container a exceeded its local ephemeral storage limit "20Mi". `},
		{0, 0, 20, 41, "Pod ephemeral local storage usage exceeds the total limit of containers 60Mi. "},
	} {
		got := overDiskLimit(pod, DiskUsage{
			Volumes: map[string]nodefs.Usage{"small": mi(c.small), "large": mi(c.large)}, Containers: map[string]nodefs.Usage{"a": mi(c.a), "b": mi(c.b)},
		})
		if got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
	files := DiskUsage{Files: mi(61)}
	if got := overDiskLimit(pod, files); got != "Pod ephemeral local storage usage exceeds the total limit of containers 60Mi. " {
		t.Errorf("files of the kubelet: %q", got)
	}
	if !limitsDisk(pod) || limitsDisk(&v1.Pod{}) {
		t.Error("limitsDisk is wrong")
	}
}
