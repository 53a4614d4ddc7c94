package node

import (
	"context"
	"errors"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/cluster/kubelet/hostinfo"
)

// status is the node as it is now.
func (n *Node) status(ctx context.Context) v1.NodeStatus {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	version, err := n.Runtime.Version(ctx)
	if err == nil && !n.Kubelet.Watching() {
		err = errors.New("the runtime's events are not followed yet")
	}
	n.mu.Lock()
	n.health = err
	n.mu.Unlock()
	status := v1.NodeStatus{
		Capacity: n.Capacity, Allocatable: n.Allocatable,
		Addresses: []v1.NodeAddress{
			{Type: v1.NodeInternalIP, Address: n.NodeIP.String()},
			{Type: v1.NodeHostName, Address: n.NodeName},
		},
		DaemonEndpoints: v1.NodeDaemonEndpoints{KubeletEndpoint: v1.DaemonEndpoint{Port: n.Port}},
		NodeInfo:        n.systemInfo(version),
		Conditions:      conditions(err, n.Kubelet.Pressures()),
		Images:          n.currentImages(ctx),
	}
	for _, name := range n.Handlers {
		status.RuntimeHandlers = append(status.RuntimeHandlers, v1.NodeRuntimeHandler{Name: name})
	}
	return status
}

// ready reports whether a node is ready.
func ready(s *v1.NodeStatus) bool {
	for _, c := range s.Conditions {
		if c.Type == v1.NodeReady {
			return c.Status == v1.ConditionTrue
		}
	}
	return false
}

// transitionReasons are those of the events of a condition that is true, and of one that is not, as upstream.
var transitionReasons = map[v1.NodeConditionType][2]string{
	v1.NodeReady:          {"NodeReady", "NodeNotReady"},
	v1.NodeMemoryPressure: {"NodeHasInsufficientMemory", "NodeHasSufficientMemory"},
	v1.NodeDiskPressure:   {"NodeHasDiskPressure", "NodeHasNoDiskPressure"},
	v1.NodePIDPressure:    {"NodeHasInsufficientPID", "NodeHasSufficientPID"},
}

// transitions are the reasons of the events of what differs between two statuses. That a condition was not reported before differs, too.
func transitions(last, next *v1.NodeStatus) []string {
	was := map[v1.NodeConditionType]v1.ConditionStatus{}
	for _, c := range last.Conditions {
		was[c.Type] = c.Status
	}
	var reasons []string
	for _, c := range next.Conditions {
		if reason, ok := transitionReasons[c.Type]; ok && was[c.Type] != c.Status {
			if c.Status == v1.ConditionTrue {
				reasons = append(reasons, reason[0])
			} else {
				reasons = append(reasons, reason[1])
			}
		}
	}
	return reasons
}

// conditions are those of the node that the kubelet owns.
func conditions(err error, pressures []v1.NodeConditionType) []v1.NodeCondition {
	now := metav1.NewTime(time.Now().Truncate(time.Second))
	condition := func(kind v1.NodeConditionType, status v1.ConditionStatus, reason, message string) v1.NodeCondition {
		return v1.NodeCondition{Type: kind, Status: status, Reason: reason, Message: message, LastHeartbeatTime: now, LastTransitionTime: now}
	}
	var out []v1.NodeCondition
	for _, p := range []struct {
		kind                            v1.NodeConditionType
		reason, message                 string
		pressureReason, pressureMessage string
	}{
		{v1.NodeMemoryPressure, "KubeletHasSufficientMemory", "kubelet has sufficient memory available", "KubeletHasInsufficientMemory", "kubelet has insufficient memory available"},
		{v1.NodeDiskPressure, "KubeletHasNoDiskPressure", "kubelet has no disk pressure", "KubeletHasDiskPressure", "kubelet has disk pressure"},
		{v1.NodePIDPressure, "KubeletHasSufficientPID", "kubelet has sufficient PID available", "KubeletHasInsufficientPID", "kubelet has insufficient PID available"},
	} {
		if slices.Contains(pressures, p.kind) {
			out = append(out, condition(p.kind, v1.ConditionTrue, p.pressureReason, p.pressureMessage))
		} else {
			out = append(out, condition(p.kind, v1.ConditionFalse, p.reason, p.message))
		}
	}
	if err != nil {
		return append(out, condition(v1.NodeReady, v1.ConditionFalse, "KubeletNotReady", "container runtime is down: "+err.Error()))
	}
	return append(out, condition(v1.NodeReady, v1.ConditionTrue, "KubeletReady", "kubelet is posting ready status"))
}

// systemInfo is what the node reports of its machine.
func (n *Node) systemInfo(runtimeVersion string) v1.NodeSystemInfo {
	info := v1.NodeSystemInfo{
		ContainerRuntimeVersion: runtimeVersion, KubeletVersion: kubeletVersion,
		OperatingSystem: runtime.GOOS, Architecture: runtime.GOARCH, OSImage: "Linux",
		MachineID: hostinfo.ReadLine("/etc/machine-id"), BootID: n.boot,
		SystemUUID: hostinfo.ReadLine("/sys/class/dmi/id/product_uuid"),
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

// sameStatus compares without the times of heartbeats and transitions.
func sameStatus(a, b *v1.NodeStatus) bool {
	x, y := a.DeepCopy(), b.DeepCopy()
	for _, s := range []*v1.NodeStatus{x, y} {
		for i := range s.Conditions {
			s.Conditions[i].LastHeartbeatTime, s.Conditions[i].LastTransitionTime = metav1.Time{}, metav1.Time{}
		}
	}
	return equality.Semantic.DeepEqual(x, y)
}

// mergeStatus replaces what the kubelet owns. The conditions and extended resources of
// others stay, and so does the time since which a condition has its value.
func mergeStatus(into, status *v1.NodeStatus) {
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

// keepExtended adds the extended resources, such as example.com/dongle, that another client
// has written into the capacity of the node; all of them are allocatable.
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
