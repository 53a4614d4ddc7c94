package kubelet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"

	"wheelhouse/cluster/api/podfacts"
)

// HostPorts makes ports of the node lead to pods. A Network that implements it is used
// for that; with another one a host port stays closed, with an event.
type HostPorts interface {
	// OpenPorts makes the pod's host ports, and no others, lead to its address, and
	// returns those that stay closed since the node itself has them. Opening what is
	// open changes nothing.
	OpenPorts(ctx context.Context, pod string, ip netip.Addr, ports []v1.ContainerPort) (refused []v1.ContainerPort, err error)
	// ClosePorts undoes it; a pod without open ports is no error.
	ClosePorts(ctx context.Context, pod string) error
}

// hostPorts are the ports of the node that must lead to the pod. In the node's own
// network there is nothing to lead anywhere: the containers listen there themselves.
func hostPorts(pod *v1.Pod) []v1.ContainerPort {
	if pod.Spec.HostNetwork {
		return nil
	}
	return nodePorts(pod)
}

// nodePorts are all ports of the node that the pod requests.
func nodePorts(pod *v1.Pod) []v1.ContainerPort {
	var out []v1.ContainerPort
	take := func(c *v1.Container) {
		for _, p := range c.Ports {
			if p.HostPort != 0 {
				out = append(out, p)
			}
		}
	}
	for i := range pod.Spec.InitContainers {
		if podfacts.Sidecar(&pod.Spec.InitContainers[i]) {
			take(&pod.Spec.InitContainers[i])
		}
	}
	for i := range pod.Spec.Containers {
		take(&pod.Spec.Containers[i])
	}
	return out
}

func samePort(a, b v1.ContainerPort) bool {
	every := func(ip string) bool { return ip == "" || ip == "0.0.0.0" || ip == "::" }
	tcp := func(p v1.Protocol) v1.Protocol { return v1.Protocol(cmp.Or(string(p), string(v1.ProtocolTCP))) }
	return a.HostPort == b.HostPort && tcp(a.Protocol) == tcp(b.Protocol) && (every(a.HostIP) || every(b.HostIP) || a.HostIP == b.HostIP)
}

// podNetwork is the network of one pod. Its methods may be called concurrently.
type podNetwork struct {
	network Network
	uid     string
	events  *podEvents

	ipMu sync.Mutex
	ip   netip.Addr
}

func (n *podNetwork) setIP(ip netip.Addr) {
	n.ipMu.Lock()
	n.ip = ip
	n.ipMu.Unlock()
}

// podIP is the pod's address, empty if it has none.
func (n *podNetwork) podIP() string {
	n.ipMu.Lock()
	defer n.ipMu.Unlock()
	if !n.ip.IsValid() {
		return ""
	}
	return n.ip.String()
}

// detach closes the host ports of the pod and releases its address.
func (n *podNetwork) detach(ctx context.Context, pod *v1.Pod) error {
	if err := n.closeHostPorts(ctx, pod); err != nil {
		return err
	}
	if err := n.network.Detach(ctx, n.uid); err != nil {
		return fmt.Errorf("release the pod's address: %w", err)
	}
	n.setIP(netip.Addr{})
	return nil
}

func (n *podNetwork) openHostPorts(ctx context.Context, pod *v1.Pod, ip netip.Addr) error {
	ports := hostPorts(pod)
	if len(ports) == 0 {
		return nil
	}
	opener, ok := n.network.(HostPorts)
	if !ok {
		n.events.PodEvent(v1.EventTypeWarning, "HostPortNotSupported",
			fmt.Sprintf("Port %d is not opened on the node: its network has no host ports; a Service of type NodePort does that", ports[0].HostPort))
		return nil
	}
	refused, err := opener.OpenPorts(ctx, n.uid, ip, ports)
	for _, p := range refused {
		n.events.PodEvent(v1.EventTypeWarning, "HostPortRefused",
			fmt.Sprintf("Port %d/%s of the node does not lead to the pod: a process of the node itself has it", p.HostPort, cmp.Or(string(p.Protocol), string(v1.ProtocolTCP))))
	}
	return err
}

// closeHostPorts closes what may be open: of a pod of which only labels are left it is
// unknown which ports it had.
func (n *podNetwork) closeHostPorts(ctx context.Context, pod *v1.Pod) error {
	if pod != nil && len(pod.Spec.Containers) > 0 && len(hostPorts(pod)) == 0 {
		return nil
	}
	if opener, ok := n.network.(HostPorts); ok {
		return opener.ClosePorts(ctx, n.uid)
	}
	return nil
}

// A node that shares its machine is a network namespace that the runtime does not have.
// The sandbox of a pod with hostNetwork joins it itself, and the containers join the sandbox.
const joinTimeout = 5 * time.Second

// ownNetNS is a file that stands for the network namespace of this process.
func ownNetNS() string { return fmt.Sprintf("/proc/%d/ns/net", os.Getpid()) }

// waitJoined waits until the sandbox is in the node's network.
func waitJoined(ctx context.Context, pid int) error {
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	for !sameFile(ownNetNS(), fmt.Sprintf("/proc/%d/ns/net", pid)) {
		select {
		case <-ctx.Done():
			return errors.New("the sandbox does not join the node's network")
		case <-time.After(time.Millisecond):
		}
	}
	return nil
}

func sameFile(a, b string) bool {
	x, errX := os.Stat(a)
	y, errY := os.Stat(b)
	return errX == nil && errY == nil && os.SameFile(x, y)
}
