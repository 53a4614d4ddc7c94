//go:build machines

package machines

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"wheelhouse/cluster/wait"
)

const cable = time.Minute // as long as a cable is pulled

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
	c := exec.Command(program(), append([]string{"node", "--kubeconfig", filepath.Join(m.dir, "none"), "--pod-network", "wireguard"}, m.flags("none")...)...)
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
	c.apply(t, workload)
	ip, uid := c.get(t, "pod", "web", "-o", "jsonpath={.status.podIP}"), c.get(t, "pod", "web", "-o", "jsonpath={.metadata.uid}")
	url := "http://" + ip + ":8080/"
	reaches := func(when string) time.Duration {
		t.Helper()
		return c.fromClient(t, "pod to pod "+when, "hello", "wget", "-T", "2", "-qO-", url)
	}

	cidr := c.get(t, "node", "two", "-o", "jsonpath={.spec.podCIDR}")
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

	// A cable is pulled for a minute, while somebody follows the logs, a command and the pods.
	kubectl := func(args ...string) *service {
		return c.server.start(t, append([]string{program(), "kubectl"}, args...)...)
	}
	logs, exec, watch := kubectl("logs", "-f", "web"), kubectl("exec", "web", "--", "sh", "-c", "while sleep 1; do date +exec-%s; done"), kubectl("get", "pod", "web", "-w", "-o", `jsonpath={.status.conditions[?(@.type=="Ready")].status}{"\n"}`)
	logs.says(t, "the logs are followed", "tick-")
	exec.says(t, "a command runs", "exec-")
	watch.says(t, "the pod is watched", "True")
	link := func(state string) { host(t, "ip -n "+routerNS+" link set two "+state) }
	link("down")
	pulled := time.Now()
	if out, err := c.server.run(program(), "kubectl", "exec", "client", "--", "wget", "-T", "2", "-qO-", url); err == nil {
		t.Errorf("without a cable: %s", out)
	}
	c.sees(t, "the node is not ready", "Unknown", "get", "node", "two", "-o", readiness)
	time.Sleep(time.Until(pulled.Add(cable))) // the fault has a length
	link("up")
	back := time.Now().Unix()
	reaches("after the cable")
	c.ready(t, "two")
	c.same(t, uid)
	later := func(s *service, mark string) error {
		last, err := lastTime(s, mark)
		if err != nil {
			return err
		}
		return wait.Seen(last > back, last)
	}
	wait.Within(t, limit, "the logs go on", func() error { return later(logs, "tick-") })
	changes := regexp.MustCompile(`True\n(False\n)+True\n`)
	wait.Within(t, limit, "the watch goes on", func() error { return wait.Seen(changes.MatchString(watch.log.String()), watch.log.String()) })
	wait.Within(t, limit, "the command goes on, or its kubectl says why it ended", func() error {
		select {
		case <-exec.ended: // it gives up when nothing was answered for 61 s, which a cable of a minute can take
			return wait.Seen(strings.Contains(exec.log.String(), "i/o timeout"), exec.log.String())
		default:
			return later(exec, "exec-")
		}
	})
}

// lastTime is the Unix time in the last whole line that begins with mark.
func lastTime(s *service, mark string) (last int64, err error) {
	for line := range strings.Lines(s.log.String()) {
		if at, ok := strings.CutPrefix(line, mark); ok && strings.HasSuffix(line, "\n") {
			if last, err = strconv.ParseInt(strings.TrimSpace(at), 10, 64); err != nil {
				return 0, err
			}
		}
	}
	return last, nil
}
