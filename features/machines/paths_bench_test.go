//go:build machines

package machines

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
)

const receivers = `
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec:
  nodeSelector: {kubernetes.io/hostname: two}
  containers: [{name: c, image: "busybox:latest", imagePullPolicy: Never, command: [sleep, "1000000"]}]
---
apiVersion: v1
kind: Pod
metadata: {name: client}
spec:
  nodeSelector: {kubernetes.io/hostname: one}
  containers: [{name: c, image: "busybox:latest", imagePullPolicy: Never, command: [sleep, "1000000"]}]
---
apiVersion: v1
kind: Pod
metadata: {name: near, labels: {app: near}}
spec:
  nodeSelector: {kubernetes.io/hostname: one}
  containers: [{name: c, image: "busybox:latest", imagePullPolicy: Never, command: [sleep, "1000000"]}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8081}]}
---
apiVersion: v1
kind: Service
metadata: {name: near}
spec: {selector: {app: near}, ports: [{port: 80, targetPort: 8081}]}
`

// podNetwork is the network namespace of a pod, as a file.
func podNetwork(t testing.TB, m *machine, pod string) string {
	t.Helper()
	out, err := m.run("sh", "-ec", "docker inspect -f '{{.State.Pid}}' $(docker ps -q --filter label=io.kubernetes.pod.name="+pod+" --filter label=io.kubernetes.container.name=c)")
	if err != nil {
		t.Fatal(err)
	}
	return "/proc/" + out + "/ns/net"
}

// BenchmarkPaths measures one TCP connection on each way between machines and pods: MB/s, and the way of a byte there and back.
func BenchmarkPaths(b *testing.B) {
	for _, network := range []struct {
		name string
		options
	}{
		{"route", options{link: true}},
		{"VXLAN", options{link: true, flags: []string{"--pod-network", "vxlan"}}},
		{"WireGuard", options{link: true, flags: []string{"--pod-network", "wireguard"}}},
	} {
		if network.name == "WireGuard" && exec.Command("sh", "-c", "ip link add whm-wg type wireguard && ip link del whm-wg").Run() != nil {
			b.Log("this kernel has no WireGuard")
			continue
		}
		b.Run(network.name, func(b *testing.B) { measurePaths(b, network.name, network.options) })
	}
}

func measurePaths(b *testing.B, network string, o options) {
	b.Helper()
	c := newClusterOf(b, o)
	c.apply(b, receivers)
	c.sees(b, "pod near runs", "Running", "get", "pod", "near", "-o", "jsonpath={.status.phase}")
	machineNet := func(m *machine) string { return "/run/netns/" + m.ns() }
	client := podNetwork(b, c.one, "client")
	c.two.start(b, as(machineNet(c.two), "receive :8082")...)
	c.two.start(b, as(podNetwork(b, c.two, "web"), "receive :8081")...)
	c.one.start(b, as(podNetwork(b, c.one, "near"), "receive :8081")...)
	ip := func(kind, name, field string) string { return c.get(b, kind, name, "-o", "jsonpath={"+field+"}") }
	for _, way := range []struct{ name, from, to string }{
		{"machine to machine", machineNet(c.one), c.two.address + ":8082"},
		{"pod to pod on a node", client, ip("pod", "near", ".status.podIP") + ":8081"},
		{"pod to service on a node", client, ip("service", "near", ".spec.clusterIP") + ":80"},
		{"pod to pod across nodes by " + network, client, ip("pod", "web", ".status.podIP") + ":8081"},
		{"pod to service across nodes by " + network, client, ip("service", "web", ".spec.clusterIP") + ":80"},
	} {
		out, err := c.one.run(as(way.from, "send "+way.to)...)
		var rate, median, high float64
		if _, scan := fmt.Sscan(out, &rate, &median, &high); err != nil || scan != nil {
			b.Fatalf("%s: %v: %s", way.name, err, out)
		}
		b.Logf("%-42s %6.0f MB/s, there and back %4.0f µs (median), %5.0f µs (99 of 100)", way.name, rate, median, high)
		name := strings.ReplaceAll(way.name, " ", "-")
		b.ReportMetric(rate, "MB/s:"+name)
		b.ReportMetric(median, "µs:"+name)
	}
}
