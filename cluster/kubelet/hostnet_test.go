package kubelet_test

import (
	"os"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
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
	eventually(t, "the container to be "+want, func() (bool, any) {
		log := n.logs(p, containerID(p))
		return strings.Contains(log, want+"\n") && strings.Contains(log, "(host network)") && strings.Contains(log, "192.0.2.7\talias"), log
	})
	if p.Status.PodIP != p.Status.HostIP || p.Status.PodIP != "127.0.0.1" {
		t.Errorf("addresses: pod %s, host %s", p.Status.PodIP, p.Status.HostIP)
	}
	n.delete("onhost")
}
