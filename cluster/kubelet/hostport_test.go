package kubelet

import (
	"testing"

	v1 "k8s.io/api/core/v1"
)

func TestSamePort(t *testing.T) {
	port := func(n int32, protocol v1.Protocol, ip string) v1.ContainerPort {
		return v1.ContainerPort{HostPort: n, Protocol: protocol, HostIP: ip}
	}
	for _, c := range []struct {
		a, b v1.ContainerPort
		want bool
	}{
		{port(80, "", ""), port(80, v1.ProtocolTCP, "0.0.0.0"), true},
		{port(80, v1.ProtocolTCP, ""), port(80, v1.ProtocolTCP, "127.0.0.1"), true},
		{port(80, v1.ProtocolTCP, "10.0.0.1"), port(80, v1.ProtocolTCP, "127.0.0.1"), false},
		{port(80, v1.ProtocolTCP, ""), port(80, v1.ProtocolUDP, ""), false},
		{port(80, v1.ProtocolTCP, ""), port(81, v1.ProtocolTCP, ""), false},
	} {
		if got := samePort(c.a, c.b); got != c.want {
			t.Errorf("%+v and %+v: %v", c.a, c.b, got)
		}
	}
}

// Where the containers listen on the node themselves nothing needs to lead to them; an
// init container that stays is one of them, one that ends is not.
func TestHostPorts(t *testing.T) {
	always := v1.ContainerRestartPolicyAlways
	with := func(n int32) []v1.ContainerPort { return []v1.ContainerPort{{HostPort: n}, {ContainerPort: n}} }
	pod := &v1.Pod{Spec: v1.PodSpec{
		InitContainers: []v1.Container{{Ports: with(1)}, {Ports: with(2), RestartPolicy: &always}},
		Containers:     []v1.Container{{Ports: with(3)}},
	}}
	if got := hostPorts(pod); len(got) != 2 || got[0].HostPort != 2 || got[1].HostPort != 3 {
		t.Errorf("%+v", got)
	}
	pod.Spec.HostNetwork = true
	if got := hostPorts(pod); got != nil || len(nodePorts(pod)) != 2 {
		t.Errorf("in the node's network: %+v", got)
	}
}
