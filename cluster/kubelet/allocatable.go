package kubelet

import (
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// allocatable is what pods may ask for: the capacity less what is reserved, and less
// what the node keeps free by evicting pods.
func (k *Kubelet) allocatable() v1.ResourceList {
	out := k.capacity.DeepCopy()
	for name, reserved := range k.config.Reserved {
		subtract(out, name, reserved)
	}
	for _, t := range k.config.Eviction.Hard {
		name, ok := map[Signal]v1.ResourceName{SignalMemory: v1.ResourceMemory, SignalNodeFS: v1.ResourceEphemeralStorage}[t.Signal]
		if !ok {
			continue
		}
		capacity := k.capacity[name]
		subtract(out, name, *resource.NewQuantity(t.amount(capacity.Value()), resource.BinarySI))
	}
	return out
}

func subtract(from v1.ResourceList, name v1.ResourceName, q resource.Quantity) {
	have, ok := from[name]
	if !ok {
		return
	}
	have.Sub(q)
	if have.Sign() < 0 {
		have = resource.Quantity{Format: have.Format}
	}
	from[name] = have
}

// podsMemory limits all pods together: to what is not reserved. That evictions begin
// before it is reached is what their thresholds are for.
func (k *Kubelet) podsMemory() *resource.Quantity {
	out := v1.ResourceList{v1.ResourceMemory: k.capacity[v1.ResourceMemory]}
	subtract(out, v1.ResourceMemory, k.config.Reserved[v1.ResourceMemory])
	memory := out[v1.ResourceMemory]
	return &memory
}
