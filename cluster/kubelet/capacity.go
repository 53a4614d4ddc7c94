package kubelet

import (
	"fmt"
	"maps"
	"runtime"
	"syscall"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"wheelhouse/cluster/kubelet/eviction"
	"wheelhouse/cluster/kubelet/hostinfo"
)

// allocatable is what pods may request: the capacity less what is reserved, and less
// what the node keeps free by evicting pods.
func (k *Kubelet) allocatable() v1.ResourceList {
	out := k.capacity.DeepCopy()
	for name, reserved := range k.config.Reserved {
		subtract(out, name, reserved)
	}
	for _, t := range k.config.Eviction.Hard {
		name, ok := map[eviction.Signal]v1.ResourceName{eviction.SignalMemory: v1.ResourceMemory, eviction.SignalNodeFS: v1.ResourceEphemeralStorage}[t.Signal]
		if !ok {
			continue
		}
		capacity := k.capacity[name]
		subtract(out, name, *resource.NewQuantity(t.Amount(capacity.Value()), resource.BinarySI))
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

// machineCapacity is what the machine has, as far as the configuration does not replace it.
func machineCapacity(config Config) (v1.ResourceList, error) {
	memory, err := hostinfo.Memory()
	if err != nil {
		return nil, err
	}
	var disk syscall.Statfs_t
	if err := syscall.Statfs(config.RootDir, &disk); err != nil {
		return nil, fmt.Errorf("size of the disk: %w", err)
	}
	out := v1.ResourceList{
		v1.ResourceCPU:              *resource.NewQuantity(int64(runtime.NumCPU()), resource.DecimalSI),
		v1.ResourceMemory:           *resource.NewQuantity(memory, resource.BinarySI),
		v1.ResourceEphemeralStorage: *resource.NewQuantity(int64(disk.Blocks)*int64(disk.Bsize), resource.BinarySI),
		v1.ResourcePods:             *resource.NewQuantity(int64(config.MaxPods), resource.DecimalSI),
	}
	maps.Copy(out, config.Capacity)
	return out, nil
}
