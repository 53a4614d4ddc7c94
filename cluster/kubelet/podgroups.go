package kubelet

import (
	"path"
	"path/filepath"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"wheelhouse/cluster/api/podfacts"
	"wheelhouse/cluster/kubelet/cgroup"
	"wheelhouse/cluster/kubelet/containerspec"
	"wheelhouse/cluster/kubelet/podspec"
)

// cgroupRoot is where control groups are mounted.
const cgroupRoot = "/sys/fs/cgroup"

// nodeGroup is the parent of all that the node runs.
func nodeGroup(cluster, node string) string {
	return filepath.Join("/wheelhouse", cluster, node, "kubepods")
}

// cgroup is the parent of the control groups of the pod's containers: as upstream those
// of a lower class lie in a group of that class.
func (w *worker) cgroup(pod *v1.Pod) string {
	class := ""
	if c := podfacts.QOSClass(pod); c != v1.PodQOSGuaranteed {
		class = strings.ToLower(string(c))
	}
	return filepath.Join(nodeGroup(w.k.config.Cluster, w.k.config.NodeName), class, "pod"+w.ref.UID)
}

// limitGroups sets the limits of the groups above a sandbox, which the runtime has made:
// the pod's, its class's and the node's. The runtime may spell their names in its own
// way, so they are read from the process.
func (w *worker) limitGroups(pod *v1.Pod, pid int) error {
	own, err := cgroup.Of(pid)
	if err != nil {
		return err
	}
	group := path.Dir(own)
	if err := w.limitGroup(pod, group); err != nil {
		return err
	}
	w.published.setGroup(group)
	return nil
}

// limitGroup sets the limits of the pod's group and of those above it.
func (w *worker) limitGroup(pod *v1.Pod, group string) error {
	if err := w.k.groups.Limit(group, w.podLimits(pod)); err != nil {
		return err
	}
	class := path.Dir(group)
	all := class
	if podfacts.QOSClass(pod) != v1.PodQOSGuaranteed {
		all = path.Dir(class)
	}
	if !strings.Contains(path.Base(all), "kubepods") { // made by a kubelet that had no classes
		return nil
	}
	return w.k.limitClass(podfacts.QOSClass(pod), class, all)
}

// limitClass sets what the pods of a class get together, and what all pods may use.
func (k *Kubelet) limitClass(class v1.PodQOSClass, group, all string) error {
	k.mu.Lock()
	k.podsGroup = all
	k.mu.Unlock()
	allocatable := k.allocatable()
	limits := cgroup.Limits{CPUShares: containerspec.Shares(allocatable.Cpu()), Memory: k.podsMemory().Value()}
	if err := k.groups.Limit(all, limits); err != nil {
		return err
	}
	if err := k.weighAbove(all); err != nil {
		return err
	}
	switch class {
	case v1.PodQOSBestEffort:
		return k.groups.Limit(group, cgroup.Limits{CPUShares: containerspec.MinShares})
	case v1.PodQOSBurstable:
		return k.groups.Limit(group, cgroup.Limits{CPUShares: k.burstableShares()})
	}
	return nil
}

// weighAbove gives the groups above all pods the weight of the machine's processors:
// with the default weight of a group, all pods together would get no more of a
// busy machine than one process beside them.
func (k *Kubelet) weighAbove(all string) error {
	machine := cgroup.Limits{CPUShares: containerspec.Shares(k.capacity.Cpu())}
	group := all
	for range strings.Count(nodeGroup("cluster", "node"), "/") - 1 {
		group = path.Dir(group)
		if err := k.groups.Limit(group, machine); err != nil {
			return err
		}
	}
	return nil
}

// burstableShares are the requests of all burstable pods together.
func (k *Kubelet) burstableShares() int64 {
	sum := resource.Quantity{}
	for _, w := range k.allWorkers() {
		pod := w.latest()
		if podfacts.QOSClass(pod) == v1.PodQOSBurstable && !podfacts.Terminal(pod) {
			requests, _ := podspec.Resources(k.allocations.Allocated(pod))
			sum.Add(*requests.Cpu())
		}
	}
	return containerspec.Shares(&sum)
}
