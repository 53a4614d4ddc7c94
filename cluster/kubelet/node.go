package kubelet

import (
	"context"
	"fmt"
	"maps"
	"os"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	coordinationv1 "k8s.io/api/coordination/v1"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// How the node shows that it lives, as upstream.
const (
	leaseRenew     = 10 * time.Second
	leaseSeconds   = 40
	statusCheck    = 2 * time.Second // a change is reported so soon
	settleCheck    = 50 * time.Millisecond
	settleTime     = 3 * time.Second // a kubelet that starts says nothing worse than before for so long
	statusPeriod   = 5 * time.Minute // and without a change so often
	leaseTimeout   = 5 * time.Second
	kubeletVersion = "v1.36.3-wheelhouse"
)

// keepNode registers the node, renews its Lease and reports its status.
func (k *Kubelet) keepNode(ctx context.Context) {
	began := time.Now()
	var renewed, reported time.Time
	var last v1.NodeStatus
	var given bool // somebody gave the node resources that are not allocatable yet
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		timer.Reset(statusCheck)
		status := k.nodeStatus(ctx)
		// Not to be ready yet is no news: a restarted kubelet would only send traffic
		// away from pods that never stopped.
		if reported.IsZero() && !ready(&status) && time.Since(began) < settleTime {
			timer.Reset(settleCheck)
			continue
		}
		if given || time.Since(reported) >= statusPeriod || !sameStatus(&last, &status) {
			if err := k.reportNode(ctx, &status); err != nil {
				k.log.Warn("report the node's status", "error", err)
				timer.Reset(500 * time.Millisecond)
				continue
			}
			if ready(&last) != ready(&status) {
				k.nodeReadyEvent(ready(&status))
			}
			last, reported, given = status, time.Now(), false
		}
		if time.Since(renewed) >= leaseRenew {
			err := k.renewLease(ctx)
			if apierrors.IsConflict(err) || apierrors.IsNotFound(err) { // somebody else wrote or removed it
				err = k.renewLease(ctx)
			}
			if err != nil {
				k.log.Warn("renew the node's lease", "error", err)
				continue
			}
			renewed = time.Now()
			given = k.wasGiven(ctx)
		}
	}
}

// wasGiven says whether somebody gave or took away resources that the kubelet does not
// count, so that what is allocatable has to follow.
func (k *Kubelet) wasGiven(ctx context.Context) bool {
	node, err := k.config.Client.CoreV1().Nodes().Get(ctx, k.config.NodeName, metav1.GetOptions{ResourceVersion: "0"})
	if err != nil {
		return false // the next report finds out
	}
	s := &node.Status
	return !equality.Semantic.DeepEqual(keepExtended(nil, s.Capacity), keepExtended(nil, s.Allocatable))
}

func ready(s *v1.NodeStatus) bool {
	for _, c := range s.Conditions {
		if c.Type == v1.NodeReady {
			return c.Status == v1.ConditionTrue
		}
	}
	return false
}

func (k *Kubelet) nodeReadyEvent(ready bool) {
	reason := "NodeReady"
	if !ready {
		reason = "NodeNotReady"
	}
	k.nodeEvent(v1.EventTypeNormal, reason, fmt.Sprintf("Node %s status is now: %s", k.config.NodeName, reason))
}

func (k *Kubelet) nodeEvent(kind, reason, message string) {
	k.config.Recorder.Event(&v1.ObjectReference{Kind: "Node", APIVersion: "v1", Name: k.config.NodeName, UID: types.UID(k.config.NodeName)},
		kind, reason, message)
}

// sameStatus compares without the times of heartbeats.
func sameStatus(a, b *v1.NodeStatus) bool {
	x, y := a.DeepCopy(), b.DeepCopy()
	for _, s := range []*v1.NodeStatus{x, y} {
		for i := range s.Conditions {
			s.Conditions[i].LastHeartbeatTime, s.Conditions[i].LastTransitionTime = metav1.Time{}, metav1.Time{}
		}
	}
	return equality.Semantic.DeepEqual(x, y)
}

// reportNode writes the status, registering the node if it is not there, and
// keeps the labels up that are the kubelet's to set.
func (k *Kubelet) reportNode(ctx context.Context, status *v1.NodeStatus) error {
	nodes := k.config.Client.CoreV1().Nodes()
	node, err := nodes.Get(ctx, k.config.NodeName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		k.config.Recorder.Event(&v1.ObjectReference{Kind: "Node", APIVersion: "v1", Name: k.config.NodeName, UID: types.UID(k.config.NodeName)},
			v1.EventTypeNormal, "Starting", "Starting kubelet.")
		node, err = nodes.Create(ctx, k.newNode(), metav1.CreateOptions{})
	}
	if err != nil {
		return err
	}
	labels := k.nodeLabels()
	missing := false
	for name, value := range labels {
		missing = missing || node.Labels[name] != value
	}
	if missing {
		node = node.DeepCopy()
		if node.Labels == nil {
			node.Labels = map[string]string{}
		}
		maps.Copy(node.Labels, labels)
		if node, err = nodes.Update(ctx, node, metav1.UpdateOptions{}); err != nil {
			return err
		}
	}
	node = node.DeepCopy()
	mergeNodeStatus(&node.Status, status)
	_, err = nodes.UpdateStatus(ctx, node, metav1.UpdateOptions{})
	return err
}

// mergeNodeStatus keeps what is not the kubelet's: conditions and resources of others, and the
// time since which a condition has its value.
func mergeNodeStatus(into, status *v1.NodeStatus) {
	var conditions []v1.NodeCondition
	for _, c := range into.Conditions {
		own := false
		for i := range status.Conditions {
			if n := &status.Conditions[i]; n.Type == c.Type {
				own = true
				if n.Status == c.Status {
					n.LastTransitionTime = c.LastTransitionTime
				}
			}
		}
		if !own {
			conditions = append(conditions, c)
		}
	}
	attached, used := into.VolumesAttached, into.VolumesInUse
	capacity := into.Capacity
	*into = *status.DeepCopy()
	into.Capacity = keepExtended(into.Capacity, capacity)
	into.Allocatable = keepExtended(into.Allocatable, into.Capacity)
	into.VolumesAttached, into.VolumesInUse = attached, used
	into.Conditions = append(conditions, into.Conditions...)
}

// keepExtended keeps resources of others' domains, such as example.com/dongle, that
// somebody gave the node as its capacity; all of it is allocatable.
func keepExtended(list, before v1.ResourceList) v1.ResourceList {
	for name, q := range before {
		if _, ours := list[name]; !ours && strings.Contains(string(name), "/") {
			if list == nil {
				list = v1.ResourceList{}
			}
			list[name] = q
		}
	}
	return list
}

func (k *Kubelet) newNode() *v1.Node {
	n := &v1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: k.config.NodeName, Labels: k.nodeLabels()},
		Spec:       v1.NodeSpec{PodCIDR: k.config.PodCIDR, Unschedulable: k.config.Unschedulable, Taints: k.config.Taints},
	}
	if k.config.PodCIDR != "" {
		n.Spec.PodCIDRs = []string{k.config.PodCIDR}
	}
	return n
}

func (k *Kubelet) nodeLabels() map[string]string {
	labels := map[string]string{
		v1.LabelHostname: k.config.NodeName, v1.LabelOSStable: runtime.GOOS, v1.LabelArchStable: runtime.GOARCH,
	}
	maps.Copy(labels, k.config.Labels)
	return labels
}

// nodeStatus is the node as it is now.
func (k *Kubelet) nodeStatus(ctx context.Context) v1.NodeStatus {
	ctx, cancel := context.WithTimeout(ctx, leaseTimeout)
	defer cancel()
	version, err := k.runtime.Version(ctx)
	k.mu.Lock()
	if err == nil && !k.watched {
		err = fmt.Errorf("the runtime's events are not followed yet")
	}
	k.health = err
	k.mu.Unlock()
	status := v1.NodeStatus{
		Capacity: k.capacity, Allocatable: k.allocatable(),
		Addresses: []v1.NodeAddress{
			{Type: v1.NodeInternalIP, Address: k.config.NodeIP.String()},
			{Type: v1.NodeHostName, Address: k.config.NodeName},
		},
		DaemonEndpoints: v1.NodeDaemonEndpoints{KubeletEndpoint: v1.DaemonEndpoint{Port: k.port()}},
		NodeInfo:        nodeInfo(version),
		RuntimeHandlers: runtimeHandlers(),
		Conditions:      conditionsOf(err, k.conditionsOfPressure()),
	}
	status.Images = k.imagesNow(ctx)
	return status
}

func conditionsOf(err error, pressed map[v1.NodeConditionType]bool) []v1.NodeCondition {
	now := metav1.NewTime(time.Now().Truncate(time.Second))
	condition := func(kind v1.NodeConditionType, status v1.ConditionStatus, reason, message string) v1.NodeCondition {
		return v1.NodeCondition{Type: kind, Status: status, Reason: reason, Message: message, LastHeartbeatTime: now, LastTransitionTime: now}
	}
	var out []v1.NodeCondition
	for _, p := range []struct {
		kind                     v1.NodeConditionType
		reason, message          string
		pressReason, pressureSay string
	}{
		{v1.NodeMemoryPressure, "KubeletHasSufficientMemory", "kubelet has sufficient memory available", "KubeletHasInsufficientMemory", "kubelet has insufficient memory available"},
		{v1.NodeDiskPressure, "KubeletHasNoDiskPressure", "kubelet has no disk pressure", "KubeletHasDiskPressure", "kubelet has disk pressure"},
		{v1.NodePIDPressure, "KubeletHasSufficientPID", "kubelet has sufficient PID available", "KubeletHasInsufficientPID", "kubelet has insufficient PID available"},
	} {
		if pressed[p.kind] {
			out = append(out, condition(p.kind, v1.ConditionTrue, p.pressReason, p.pressureSay))
		} else {
			out = append(out, condition(p.kind, v1.ConditionFalse, p.reason, p.message))
		}
	}
	if err != nil {
		return append(out, condition(v1.NodeReady, v1.ConditionFalse, "KubeletNotReady", "container runtime is down: "+err.Error()))
	}
	return append(out, condition(v1.NodeReady, v1.ConditionTrue, "KubeletReady", "kubelet is posting ready status"))
}

// nodeInfo says what the machine is.
func nodeInfo(runtimeVersion string) v1.NodeSystemInfo {
	info := v1.NodeSystemInfo{
		ContainerRuntimeVersion: runtimeVersion, KubeletVersion: kubeletVersion,
		OperatingSystem: runtime.GOOS, Architecture: runtime.GOARCH, OSImage: "Linux",
		MachineID: readLine("/etc/machine-id"), BootID: readLine("/proc/sys/kernel/random/boot_id"),
		SystemUUID: readLine("/sys/class/dmi/id/product_uuid"),
	}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		info.KernelVersion = unix.ByteSliceToString(u.Release[:])
	}
	data, _ := os.ReadFile("/etc/os-release")
	for line := range strings.Lines(string(data)) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "PRETTY_NAME="); ok {
			info.OSImage = strings.Trim(name, `"`)
		}
	}
	return info
}

func readLine(path string) string {
	data, _ := os.ReadFile(path)
	return strings.TrimSpace(string(data))
}

// machineCapacity is what the machine has, or what the configuration says.
func machineCapacity(config Config) (v1.ResourceList, error) {
	memory, err := machineMemory()
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

// renewLease shows that the node lives. The lease that was last written is enough to write
// the next, as long as nobody else writes it.
func (k *Kubelet) renewLease(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, leaseTimeout)
	defer cancel()
	leases := k.config.Client.CoordinationV1().Leases(v1.NamespaceNodeLease)
	now, seconds, name := metav1.NowMicro(), int32(leaseSeconds), k.config.NodeName
	lease, err := k.lease, error(nil)
	k.lease = nil
	if lease == nil {
		lease, err = leases.Get(ctx, name, metav1.GetOptions{})
	}
	if apierrors.IsNotFound(err) {
		lease = &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: v1.NamespaceNodeLease}}
		if node, err := k.config.Client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{}); err == nil {
			lease.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: name, UID: node.UID}}
		}
		lease.Spec = coordinationv1.LeaseSpec{HolderIdentity: &name, LeaseDurationSeconds: &seconds, RenewTime: &now}
		_, err = leases.Create(ctx, lease, metav1.CreateOptions{})
		return err
	}
	if err != nil {
		return err
	}
	lease = lease.DeepCopy()
	lease.Spec.HolderIdentity, lease.Spec.LeaseDurationSeconds, lease.Spec.RenewTime = &name, &seconds, &now
	renewed, err := leases.Update(ctx, lease, metav1.UpdateOptions{})
	if err == nil {
		k.lease = renewed
	}
	return err
}
