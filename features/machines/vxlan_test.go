//go:build machines

package machines

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"wheelhouse/cluster/wait"
)

const (
	image = "busybox:latest"
	cable = time.Minute // as long as a cable is pulled
)

const workload = `
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec:
  nodeSelector: {kubernetes.io/hostname: two}
  containers:
  - {name: web, image: "busybox:latest", imagePullPolicy: Never, command: [sh, -c, "mkdir /www; head -c 2000000 /dev/zero >/www/large; echo hello >/www/index.html; echo serving; exec httpd -f -p 8080 -h /www"]}
---
apiVersion: v1
kind: Pod
metadata: {name: client}
spec:
  nodeSelector: {kubernetes.io/hostname: one}
  containers:
  - {name: client, image: "busybox:latest", imagePullPolicy: Never, command: [sleep, "1000000"]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
`

// cluster is a server and two nodes, each behind the router.
type cluster struct {
	server, one, two *machine
}

// newCluster starts them; more are further flags of the nodes.
func newCluster(t *testing.T, more ...string) *cluster {
	t.Helper()
	host(t, "ip netns add "+routerNS+"; ip -n "+routerNS+" link set lo up; ip netns exec "+routerNS+" sysctl -qw net.ipv4.ip_forward=1")
	t.Cleanup(func() { host(t, "ip netns del "+routerNS) })
	c := &cluster{server: newMachine(t, "server", 0), one: newMachine(t, "one", 1), two: newMachine(t, "two", 2)}
	c.server.start(t, program(), "server", "--address", c.server.address, "--state-dir", filepath.Join(c.server.dir, "server"), "--ui-port", "0")
	c.server.sees(t, "the server is ready", "ok", program(), "kubectl", "get", "--raw", "/readyz")
	for _, m := range []*machine{c.one, c.two} {
		m.startDocker(t, image)
		t.Cleanup(func() { // between the ends of the node and of the Docker Engine
			if _, err := m.run(append([]string{program(), "node", "--cleanup"}, m.flags()...)...); err != nil {
				t.Error(err)
			}
		})
		c.join(t, m, more...)
	}
	for _, m := range []*machine{c.one, c.two} {
		c.sees(t, "node "+m.name+" is ready", "True", "get", "node", m.name, "-o", `jsonpath={.status.conditions[?(@.type=="Ready")].status}`)
	}
	return c
}

// join runs a node with a token of its own.
func (c *cluster) join(t *testing.T, m *machine, more ...string) {
	t.Helper()
	line, err := c.server.run(program(), "token", "--kubeconfig", filepath.Join(c.server.dir, "server", "admin.kubeconfig"), "--node", m.name)
	if err != nil {
		t.Fatal(err)
	}
	words := strings.Fields(line)
	args := append([]string{program()}, words[1:8]...) // node --server URL --token TOKEN --ca-pin HASH
	args = append(args, m.flags()...)
	args = append(args, "--eviction-hard", "memory.available<100Mi,nodefs.available<1%,imagefs.available<1%") // the disk is the computer's
	m.start(t, append(args, more...)...)
}

// flags name the node and its directory: it finds its address on its own, and gets its pod CIDR from the server.
func (m *machine) flags() []string {
	return []string{"--name", m.name, "--state-dir", filepath.Join(m.dir, "node"), "--cluster", "machines"}
}

// sees is what kubectl on the server prints.
func (c *cluster) sees(t *testing.T, what, want string, args ...string) time.Duration {
	t.Helper()
	return c.server.sees(t, what, want, append([]string{program(), "kubectl"}, args...)...)
}

func (c *cluster) fromClient(t *testing.T, what, want string, args ...string) time.Duration {
	t.Helper()
	return c.sees(t, what, want, append([]string{"exec", "client", "--"}, args...)...)
}

// Pods, services, names, exec and logs cross a router by VXLAN, which no flag asks for.
func TestVXLANAcrossARouter(t *testing.T) {
	crosses(t, "via VTEP dev cvxlan0", 1450)
}

// The same by WireGuard. A kernel without it says so at the start, and what to do.
func TestWireGuardAcrossARouter(t *testing.T) {
	if exec.Command("sh", "-c", "modprobe -q wireguard; ip link add whm-wg type wireguard && ip link del whm-wg").Run() == nil {
		crosses(t, "dev cwg0", 1440, "--pod-network", "wireguard")
		return
	}
	m := &machine{name: "none", dir: t.TempDir(), address: "127.0.0.1"}
	c := exec.Command(program(), append([]string{"node", "--kubeconfig", filepath.Join(m.dir, "none"), "--pod-network", "wireguard"}, m.flags()...)...)
	out, err := c.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "modprobe wireguard") {
		t.Errorf("%v: %s", err, out)
	}
	t.Logf("this kernel has no WireGuard: %s", out)
}

// crosses proves a cluster of nodes with these flags: how one of them sends to the pods of the other, and how large packets are.
func crosses(t *testing.T, route string, mtu int, more ...string) {
	t.Helper()
	c := newCluster(t, more...)
	file := filepath.Join(t.TempDir(), "workload.yaml")
	if err := os.WriteFile(file, []byte(workload), 0o600); err != nil {
		t.Fatal(err)
	}
	c.sees(t, "the workload is created", "service/web", "apply", "-f", file)
	for _, pod := range []string{"web", "client"} {
		c.sees(t, "pod "+pod+" runs", "Running", "get", "pod", pod, "-o", "jsonpath={.status.phase}")
	}
	ip, err := c.server.run(program(), "kubectl", "get", "pod", "web", "-o", "jsonpath={.status.podIP}")
	if err != nil {
		t.Fatal(err)
	}
	url := "http://" + ip + ":8080/"
	reaches := func(when string) time.Duration {
		t.Helper()
		return c.fromClient(t, "pod to pod "+when, "hello", "wget", "-T", "2", "-qO-", url)
	}

	cidr, err := c.server.run(program(), "kubectl", "get", "node", "two", "-o", "jsonpath={.spec.podCIDR}")
	if err != nil {
		t.Fatal(err)
	}
	route = cidr + " " + strings.ReplaceAll(route, "VTEP", strings.TrimSuffix(cidr, "/24"))
	c.one.sees(t, "the route is "+route, route, "ip", "route", "show", "proto", "87")
	reaches("at first")
	c.fromClient(t, "pod to service by name", "hello", "wget", "-T", "5", "-qO-", "http://web.default.svc.cluster.local/")
	c.fromClient(t, "DNS", "Name:", "nslookup", "kubernetes.default.svc.cluster.local")
	c.sees(t, "logs across the router", "serving", "logs", "web")
	c.fromClient(t, "2 MB in large packets", "2000000", "sh", "-c", "wget -T 20 -qO- "+url+"large | wc -c")
	c.one.sees(t, fmt.Sprint(mtu, " bytes pass whole"), " 0% packet loss", "ping", "-c", "2", "-M", "do", "-s", fmt.Sprint(mtu-28), ip)
	if out, err := c.one.run("ping", "-c", "1", "-W", "2", "-M", "do", "-s", fmt.Sprint(mtu-28+1), ip); err == nil {
		t.Errorf("a byte more passes: %s", out)
	}

	// A machine gets another address. Nothing but the address is changed.
	moved := time.Now()
	host(t, fmt.Sprintf("ip -n %[1]s addr flush dev eth0; ip -n %[1]s addr add 10.88.2.3/24 dev eth0; ip -n %[1]s route add default via 10.88.2.1", c.two.ns()))
	c.sees(t, "the node's new address is known", "10.88.2.3", "get", "node", "two", "-o", "jsonpath={.status.addresses[0].address}")
	known := time.Now()
	reaches("at the new address")
	t.Logf("reached %.2f s after the change, %.2f s after the API server had it", time.Since(moved).Seconds(), time.Since(known).Seconds())
	c.sees(t, "exec on the machine that moved", "hello", "exec", "web", "--", "cat", "/www/index.html")

	// A cable is pulled for a minute.
	link := func(state string) { host(t, "ip -n "+routerNS+" link set two "+state) }
	link("down")
	if out, err := c.server.run(program(), "kubectl", "exec", "client", "--", "wget", "-T", "2", "-qO-", url); err == nil {
		t.Errorf("without a cable: %s", out)
	}
	wait.Within(t, limit, "the node is not ready", func() error {
		out, err := c.server.run(program(), "kubectl", "get", "node", "two", "-o", `jsonpath={.status.conditions[?(@.type=="Ready")].status}`)
		if err == nil {
			err = wait.Seen(out == "Unknown", out)
		}
		return err
	})
	time.Sleep(time.Until(known.Add(cable))) // the fault has a length
	link("up")
	reaches("after the cable")
	c.sees(t, "the node is ready again", "True", "get", "node", "two", "-o", `jsonpath={.status.conditions[?(@.type=="Ready")].status}`)
	c.sees(t, "the pod is the same one", "0", "get", "pod", "web", "-o", "jsonpath={.status.containerStatuses[0].restartCount}")
}
