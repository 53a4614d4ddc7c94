package kubelet

import (
	"fmt"
	"runtime"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"wheelhouse/cluster/api/podfacts"
	"wheelhouse/cluster/kubelet/podspec"
)

// maxContainers is how many a pod may have: an object of 100 kB could ask for thousands,
// which the node's bound on pods does not see.
const maxContainers = 500

// misfit is why the node can never run a pod that was bound to it past the scheduler: it
// is for another system, or asks for more than the node has even when it is empty.
func (k *Kubelet) misfit(pod *v1.Pod) (reason, message string) {
	if os := pod.Spec.OS; os != nil && string(os.Name) != runtime.GOOS {
		return "PodOSNotSupported", "Failed to admit pod as the OS field doesn't match node OS"
	}
	if n := len(pod.Spec.InitContainers) + len(pod.Spec.Containers); n > maxContainers {
		return "TooManyContainers", fmt.Sprintf("The node runs pods of at most %d containers, and this one has %d", maxContainers, n)
	}
	requests, _ := podspec.Resources(pod)
	have := k.allocatable()
	for _, name := range []v1.ResourceName{v1.ResourceCPU, v1.ResourceMemory, v1.ResourceEphemeralStorage} {
		asked, room := requests[name], have[name]
		if asked.Cmp(room) <= 0 {
			continue
		}
		used := k.usedByOthers(pod, name)
		return "OutOf" + string(name), fmt.Sprintf("Node didn't have enough resource: %s, requested: %d, used: %d, capacity: %d",
			name, amountOf(name, asked), amountOf(name, used), amountOf(name, room))
	}
	return "", ""
}

// usedByOthers is what the node's other pods ask for.
func (k *Kubelet) usedByOthers(pod *v1.Pod, name v1.ResourceName) resource.Quantity {
	var sum resource.Quantity
	for _, w := range k.allWorkers() {
		other := w.latest()
		if other.UID != pod.UID && !podfacts.Terminal(other) {
			requests, _ := podspec.Resources(other)
			sum.Add(requests[name])
		}
	}
	return sum
}

// amountOf is a number as upstream's messages have it: of processors in thousandths.
func amountOf(name v1.ResourceName, q resource.Quantity) int64 {
	if name == v1.ResourceCPU {
		return q.MilliValue()
	}
	return q.Value()
}
