package kubelet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"

	"wheelhouse/cluster/api/podfacts"
	"wheelhouse/cluster/kubelet/cgroup"
	"wheelhouse/cluster/kubelet/containerspec"
	"wheelhouse/cluster/kubelet/cri"
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

// podGroups returns the paths of the control groups of pods that are on the node, by the pod's uid.
func (k *Kubelet) podGroups() map[types.UID][]string {
	all := map[types.UID][]string{}
	for _, class := range []string{"", "burstable", "besteffort"} {
		for _, group := range k.groups.Below(filepath.Join(nodeGroup(k.config.Cluster, k.config.NodeName), class)) {
			name, slice := strings.CutSuffix(path.Base(group), ".slice")
			if slice {
				name = strings.ReplaceAll(name[strings.LastIndex(name, "-")+1:], "_", "-")
			}
			if uid, ok := strings.CutPrefix(name, "pod"); ok && uid != "" {
				all[types.UID(uid)] = append(all[types.UID(uid)], group)
			}
		}
	}
	return all
}

// removeGroups removes what is left of the pod's control groups: the runtime does so with the sandbox, if that was not
// removed by others. One that a process is still in stays for the next relist.
func (w *worker) removeGroups(ctx context.Context) error {
	var errs []error
	for _, group := range w.k.podGroups()[w.podUID()] {
		if err := w.k.groups.Remove(ctx, group); errors.Is(err, syscall.EBUSY) {
			w.log.Warn("a control group of the pod is in use", "group", group)
		} else if err != nil {
			errs = append(errs, fmt.Errorf("remove the pod's control group %s: %w", group, err))
		}
	}
	return errors.Join(errs...)
}

// limitGroups sets the limits of the groups above a sandbox, which the runtime has made:
// the pod's, its class's and the node's. The runtime may spell their names in its own
// way, so they are read from the process.
// It reports whether the pod's had others.
func (w *worker) limitGroups(ctx context.Context, pod *v1.Pod, pid int) (changed bool, err error) {
	own, err := cgroup.Of(pid)
	if err != nil {
		return false, err
	}
	group := path.Dir(own)
	if changed, err = w.limitGroup(ctx, pod, group); err == nil {
		w.published.setGroup(group)
	}
	return changed, err
}

// repairContainerLimits gives the groups of running containers the limits back that the runtime has set, and returns what had others.
// What a container's process has made below its group is its own.
func (w *worker) repairContainerLimits(context.Context, *v1.Pod, int) (string, error) {
	if size := &w.observed.size; size.Began != 0 || len(size.Changes(&w.observed.Observed)) > 0 {
		return "", nil // they are being changed
	}
	running := map[string]bool{}
	var changed []string
	var errs []error
	for name := range w.observed.Containers {
		c := w.observed.Current(name)
		if c == nil || c.State != cri.Running || c.Pid == 0 {
			continue
		}
		running[c.ID] = true
		group, err := cgroup.Of(c.Pid)
		if err != nil || !strings.Contains(path.Base(group), c.ID) {
			continue // it has ended
		}
		size, err := json.Marshal(w.observed.size.Actual[name]) // which a resize changes, and no other program
		if err != nil {
			return "", err
		}
		restored, err := w.observed.limits.Restore(w.k.groups, c.ID, group, string(size))
		if err != nil {
			errs = append(errs, fmt.Errorf("limits of container %s: %w", name, err))
		} else if restored {
			changed = append(changed, name)
		}
	}
	w.observed.limits.Retain(running)
	if len(changed) == 0 {
		return "", errors.Join(errs...)
	}
	slices.Sort(changed)
	return "the limits of containers (" + strings.Join(changed, ", ") + ")", errors.Join(errs...)
}

// limitGroup sets the limits of the pod's group and of those above it, and reports whether the
// pod's had others.
func (w *worker) limitGroup(ctx context.Context, pod *v1.Pod, group string) (changed bool, err error) {
	if changed, err = w.k.groups.Limit(ctx, group, w.podLimits(pod)); err != nil {
		return changed, err
	}
	class := path.Dir(group)
	all := class
	if podfacts.QOSClass(pod) != v1.PodQOSGuaranteed {
		all = path.Dir(class)
	}
	if !strings.Contains(path.Base(all), "kubepods") { // made by a kubelet that had no classes
		return changed, nil
	}
	return changed, w.k.limitClass(ctx, podfacts.QOSClass(pod), class, all)
}

// limitClass sets what the pods of a class get together, and what all pods may use: no swap,
// as upstream's swapBehavior NoSwap has it.
func (k *Kubelet) limitClass(ctx context.Context, class v1.PodQOSClass, group, all string) error {
	k.mu.Lock()
	k.podsGroup = all
	k.mu.Unlock()
	allocatable := k.allocatable()
	limits := cgroup.Limits{CPUShares: containerspec.Shares(allocatable.Cpu()), Memory: k.podsMemory().Value(), Pids: k.config.Pids, NoSwap: true}
	if _, err := k.groups.Limit(ctx, all, limits); err != nil {
		return err
	}
	if err := k.weighAbove(ctx, all); err != nil {
		return err
	}
	shares := int64(containerspec.MinShares)
	switch class {
	case v1.PodQOSGuaranteed: // which has no group of its own
		return nil
	case v1.PodQOSBurstable:
		shares = k.burstableShares()
	}
	_, err := k.groups.Limit(ctx, group, cgroup.Limits{CPUShares: shares})
	return err
}

// weighAbove gives the groups above all pods the weight of the machine's processors:
// with the default weight of a group, all pods together would get no more of a
// busy machine than one process beside them.
func (k *Kubelet) weighAbove(ctx context.Context, all string) error {
	machine := cgroup.Limits{CPUShares: containerspec.Shares(k.capacity.Cpu())}
	group := all
	for range strings.Count(nodeGroup("cluster", "node"), "/") - 1 {
		group = path.Dir(group)
		if _, err := k.groups.Limit(ctx, group, machine); err != nil {
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
