package kubelet

import (
	"fmt"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"wheelhouse/cluster/kubelet/nodefs"
)

// limitsDisk tells whether anything of the pod says how much it may write.
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

// overDiskLimit says, as upstream does, which limit a pod exceeds; empty if none. A
// volume in memory keeps its limit by itself.
func overDiskLimit(pod *v1.Pod, volumes, containers map[string]nodefs.Usage, files nodefs.Usage) string {
	total := files.Bytes
	for _, v := range pod.Spec.Volumes {
		used := volumes[v.Name].Bytes
		total += used
		if v.EmptyDir == nil || v.EmptyDir.Medium != v1.StorageMediumDefault {
			continue
		}
		if limit := v.EmptyDir.SizeLimit; limit != nil && !limit.IsZero() && used > limit.Value() {
			return fmt.Sprintf("Usage of EmptyDir volume %q exceeds the limit %q. ", v.Name, limit.String())
		}
	}
	for i := range pod.Spec.Containers {
		total += containers[pod.Spec.Containers[i].Name].Bytes
	}
	if limit, ok := podDiskLimit(pod); ok && total > limit.Value() {
		return fmt.Sprintf("Pod ephemeral local storage usage exceeds the total limit of containers %s. ", limit.String())
	}
	for i := range pod.Spec.Containers {
		c := &pod.Spec.Containers[i]
		if limit, ok := c.Resources.Limits[v1.ResourceEphemeralStorage]; ok && containers[c.Name].Bytes > limit.Value() {
			return fmt.Sprintf("Container %s exceeded its local ephemeral storage limit %q. ", c.Name, limit.String())
		}
	}
	return ""
}
