package eviction

import (
	"fmt"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"wheelhouse/cluster/kubelet/nodefs"
)

// DiskUsage is what a pod has written to the node's disk.
type DiskUsage struct {
	Volumes, Containers map[string]nodefs.Usage // by name; of containers the writable layer and the log
	Files               nodefs.Usage            // those that the kubelet writes for the pod, and that it can write to
}

// Total returns the sum.
func (d DiskUsage) Total() nodefs.Usage {
	sum := d.Files
	for _, list := range []map[string]nodefs.Usage{d.Volumes, d.Containers} {
		for _, u := range list {
			sum.Add(u)
		}
	}
	return sum
}

// limitsDisk reports whether a pod has a limit of ephemeral storage.
func limitsDisk(pod *v1.Pod) bool {
	for _, v := range pod.Spec.Volumes {
		if v.EmptyDir != nil && v.EmptyDir.SizeLimit != nil && !v.EmptyDir.SizeLimit.IsZero() {
			return true
		}
	}
	_, limited := podDiskLimit(pod)
	return limited
}

// podDiskLimit is the sum of the limits of the pod's containers, where any has one.
func podDiskLimit(pod *v1.Pod) (resource.Quantity, bool) {
	sum, any := resource.Quantity{Format: resource.BinarySI}, false
	for i := range pod.Spec.Containers {
		if q, ok := pod.Spec.Containers[i].Resources.Limits[v1.ResourceEphemeralStorage]; ok {
			sum.Add(q)
			any = true
		}
	}
	return sum, any
}

// overDiskLimit returns upstream's message about the limit that a pod exceeds; empty if
// none. A volume in memory has its limit from the kernel.
func overDiskLimit(pod *v1.Pod, used DiskUsage) string {
	total := used.Files.Bytes
	for _, v := range pod.Spec.Volumes {
		size := used.Volumes[v.Name].Bytes
		total += size
		if v.EmptyDir == nil || v.EmptyDir.Medium != v1.StorageMediumDefault {
			continue
		}
		if limit := v.EmptyDir.SizeLimit; limit != nil && !limit.IsZero() && size > limit.Value() {
			return fmt.Sprintf("Usage of EmptyDir volume %q exceeds the limit %q. ", v.Name, limit.String())
		}
	}
	for i := range pod.Spec.Containers {
		total += used.Containers[pod.Spec.Containers[i].Name].Bytes
	}
	if limit, ok := podDiskLimit(pod); ok && total > limit.Value() {
		return fmt.Sprintf("Pod ephemeral local storage usage exceeds the total limit of containers %s. ", limit.String())
	}
	for i := range pod.Spec.Containers {
		c := &pod.Spec.Containers[i]
		if limit, ok := c.Resources.Limits[v1.ResourceEphemeralStorage]; ok && used.Containers[c.Name].Bytes > limit.Value() {
			return fmt.Sprintf("Container %s exceeded its local ephemeral storage limit %q. ", c.Name, limit.String())
		}
	}
	return ""
}
