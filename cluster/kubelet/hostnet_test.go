//go:build !quick

package kubelet_test

import (
	"os"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"

	"wheelhouse/cluster/wait"
)

// A pod in the node's network is in the network namespace of the kubelet, with the
// node's address and no address of its own.
func TestHostNetwork(t *testing.T) {
	n := newNode(t)
	p := pod("onhost", "echo in $(readlink /proc/self/ns/net) $(readlink /proc/self/ns/ipc) $(readlink /proc/self/ns/pid); cat /etc/hosts; trap exit TERM; sleep 1000 & wait")
	p.Spec.HostNetwork, p.Spec.HostPID, p.Spec.HostIPC = true, true, true
	p.Spec.HostAliases = []v1.HostAlias{{IP: "192.0.2.7", Hostnames: []string{"alias"}}}
	n.create(p)
	p = n.wait("onhost", "Ready", isReady)
	want := "in"
	for _, kind := range []string{"net", "ipc", "pid"} {
		ns, err := os.Readlink("/proc/self/ns/" + kind)
		if err != nil {
			t.Fatal(err)
		}
		want += " " + ns
	}
	wait.Within(t, patience, "the container to be "+want, func() error {
		log := n.logs(p, containerID(p))
		return wait.Seen(strings.Contains(log, want+"\n") && strings.Contains(log, "(host network)") && strings.Contains(log, "192.0.2.7\talias"), log)
	})
	if p.Status.PodIP != p.Status.HostIP || p.Status.PodIP != "127.0.0.1" {
		t.Errorf("addresses: pod %s, host %s", p.Status.PodIP, p.Status.HostIP)
	}
	n.delete("onhost")
}

// A port of the node belongs to one pod, also without a scheduler.
func TestHostPortTaken(t *testing.T) {
	n := newNode(t)
	with := func(name string, port v1.ContainerPort) {
		p := pod(name, "trap exit TERM; sleep 1000 & wait")
		p.Spec.HostNetwork = true
		p.Spec.Containers[0].Ports = []v1.ContainerPort{port}
		n.create(p)
	}
	with("first", v1.ContainerPort{ContainerPort: 18080, HostPort: 18080, Protocol: v1.ProtocolTCP})
	n.wait("first", "Ready", isReady)
	with("second", v1.ContainerPort{ContainerPort: 18080, HostPort: 18080, HostIP: "127.0.0.1"})
	p := n.wait("second", "Failed", func(p *v1.Pod) bool { return p.Status.Phase == v1.PodFailed })
	if p.Status.Reason != "NodePorts" || p.Status.Message != "Pod was rejected: Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports" {
		t.Errorf("%+v", p.Status)
	}
	n.saysAll("Warning NodePorts Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports")
	with("udp", v1.ContainerPort{ContainerPort: 18080, HostPort: 18080, Protocol: v1.ProtocolUDP})
	n.wait("udp", "Ready", isReady)
	n.delete2("first", "second", "udp")
}
