//go:build !quick

package network_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"

	"wheelhouse/cluster/kubelet/network"
	"wheelhouse/cluster/kubelet/network/nettest"
	"wheelhouse/cluster/wait"
)

// A far machine behind a router, whose side of the VXLAN is iproute2's: an address of the pod CIDR, and entries for this node.
// It has a second address, 192.168.82.66.
const farMachine = `
ip netns add router; ip netns add far
ip link add near0 type veth peer name near netns router
ip -n router link add far type veth peer name eth0 netns far
ip addr add 192.168.81.1/24 dev near0; ip link set near0 up
ip -n router addr add 192.168.81.254/24 dev near; ip -n router addr add 192.168.82.254/24 dev far
for d in lo near far; do ip -n router link set $d up; done
ip netns exec router sysctl -qw net.ipv4.ip_forward=1
ip -n far addr add 192.168.82.2/24 dev eth0; ip -n far addr add 192.168.82.66/24 dev eth0
for d in lo eth0; do ip -n far link set $d up; done
ip -n far route add default via 192.168.82.254
ip route add 192.168.82.0/24 via 192.168.81.254
`

const farVXLAN = `
ip -n far link del cvxlan0 2>/dev/null
ip -n far link add cvxlan0 address 02:42:0a:f6:05:00 mtu 1450 type vxlan id 87 dstport 8472 local %s nolearning
ip -n far addr replace 10.246.5.0/32 dev cvxlan0; ip -n far addr replace 10.246.5.9/32 dev lo; ip -n far link set cvxlan0 up
ip -n far neigh replace 10.246.1.0 lladdr 02:42:0a:f6:01:00 dev cvxlan0 nud permanent
bridge -n far fdb replace 02:42:0a:f6:01:00 dev cvxlan0 dst 192.168.81.1
ip -n far route replace 10.246.1.0/24 via 10.246.1.0 dev cvxlan0 onlink
`

// flushPeers is a damage for which the tests need no program ipset.
const flushPeers = "ipset flush WHPEERS"

func sh(t *testing.T, script string) {
	t.Helper()
	if out, err := exec.Command("sh", "-c", script).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

func nodeAt(name, cidr, ip string) *v1.Node {
	return &v1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1.NodeSpec{PodCIDR: cidr},
		Status: v1.NodeStatus{Addresses: []v1.NodeAddress{{Type: v1.NodeInternalIP, Address: ip}}},
	}
}

// behindARouter sets up a node with a pod, and a far machine; routes run until the test ends.
func behindARouter(t *testing.T) (cs kubernetes.Interface, pod, far netns.NsHandle, repaired chan string) {
	t.Helper()
	sh(t, farMachine)
	t.Cleanup(func() { sh(t, "ip link del near0; ip netns del far; ip netns del router") })
	sh(t, fmt.Sprintf(farVXLAN, "192.168.82.2"))
	n, err := network.New(network.Config{
		PodCIDR: netip.MustParsePrefix("10.246.1.0/24"), ClusterCIDR: netip.MustParsePrefix("10.246.0.0/16"), NodeIP: netip.MustParseAddr("192.168.81.1"),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Setup(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Cleanup(); err != nil {
			t.Error(err)
		}
		for _, left := range []string{"ip link show cvxlan0", "iptables -S WHEELHOUSE-PEERS", "ip route show proto 87 | grep ."} {
			if out, err := exec.Command("sh", "-c", left).CombinedOutput(); err == nil {
				t.Errorf("after the cleanup: %s", out)
			}
		}
	})
	pid, pod, _ := nettest.Process(t)
	if _, err := n.Attach(t.Context(), "before", pid, netip.Addr{}); err != nil {
		t.Fatal(err)
	}
	cs = fake.NewClientset(nodeAt("self", "10.246.1.0/24", "192.168.81.1"), nodeAt("far", "10.246.5.0/24", "192.168.82.2"))
	factory := informers.NewSharedInformerFactory(cs, 0)
	repaired = make(chan string, 10)
	routes, err := network.NewRoutes(network.RoutesConfig{
		Nodes: factory.Core().V1().Nodes(), NodeName: "self", NodeIP: netip.MustParseAddr("192.168.81.1"), PodCIDR: netip.MustParsePrefix("10.246.1.0/24"),
		Overhead: n.Overhead, Repaired: func(what string) { repaired <- what },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	factory.Start(ctx.Done())
	var wg sync.WaitGroup
	wg.Go(func() { _ = routes.Run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	if far, err = netns.GetFromName("far"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = far.Close() })
	nettest.ServeHTTP(t, far, "10.246.5.9:80", "far")
	return cs, pod, far, repaired
}

func reaches(t *testing.T, ns netns.NsHandle, what, want string) {
	t.Helper()
	wait.Within(t, time.Minute, what, func() error {
		got, err := nettest.Get(ns, "10.246.5.9:80", time.Second)
		if err == nil && got != want {
			err = fmt.Errorf("got %q, want %q", got, want)
		}
		return err
	})
}

// A pod reaches one of a machine behind a router without routes to pods, whatever happens between them.
func TestVXLANBehindARouter(t *testing.T) {
	cs, pod, _, repaired := behindARouter(t)
	reaches(t, pod, "the far pod", "far 10.246.1.2")
	reaches(t, nettest.Own(t), "the far pod from the node", "far 10.246.1.0")

	// Every other packet rule, entry and route comes back.
	for _, damage := range []string{
		"ip link del cvxlan0", "ip link set cvxlan0 down", "ip neigh flush dev cvxlan0 nud permanent",
		"bridge fdb del 02:42:0a:f6:05:00 dev cvxlan0 dst 192.168.82.2", "ip route del 10.246.5.0/24",
		"iptables -F INPUT", "iptables -F WHEELHOUSE-PEERS", flushPeers,
	} {
		if damage == flushPeers {
			if err := netlink.IpsetFlush("WHPEERS"); err != nil {
				t.Fatal(err)
			}
		} else {
			sh(t, damage)
		}
		wait.Within(t, time.Minute, "a repair after "+damage, func() error {
			select {
			case got := <-repaired:
				t.Logf("%s: %s", damage, got)
				return nil
			default:
				return wait.Seen(false, "none")
			}
		})
		reaches(t, pod, "the far pod after "+damage, "far 10.246.1.2")
	}

	// The far machine gets another address.
	sh(t, "ip -n far addr add 192.168.82.3/24 dev eth0")
	sh(t, fmt.Sprintf(farVXLAN, "192.168.82.3"))
	sh(t, "ip -n far addr del 192.168.82.2/24 dev eth0; ip -n far addr add 192.168.82.3/24 dev eth0 2>/dev/null; ip -n far route replace default via 192.168.82.254")
	moved := time.Now()
	if _, err := cs.CoreV1().Nodes().Update(t.Context(), nodeAt("far", "10.246.5.0/24", "192.168.82.3"), metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	reaches(t, pod, "the far pod at its new address", "far 10.246.1.2")
	t.Logf("reached %s after the node's new address", time.Since(moved))

	// A link goes and comes.
	sh(t, "ip link set near0 down")
	if got, err := nettest.Get(pod, "10.246.5.9:80", 200*time.Millisecond); err == nil {
		t.Errorf("without a link: %q", got)
	}
	sh(t, "ip link set near0 up; ip route replace 192.168.82.0/24 via 192.168.81.254")
	reaches(t, pod, "the far pod after the link is up again", "far 10.246.1.2")

	// The last node behind a router goes, and with it the interface.
	if err := cs.CoreV1().Nodes().Delete(t.Context(), "far", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	wait.Within(t, time.Minute, "no VXLAN", func() error {
		if _, err := netlink.LinkByName("cvxlan0"); err == nil {
			return wait.Seen(false, "cvxlan0 is there")
		}
		return nil
	})
}

// Pods have the link's MTU less 50; a pod from before sends what fits all the same.
func TestVXLANAndLargePackets(t *testing.T) {
	_, pod, far, _ := behindARouter(t)
	reaches(t, pod, "the far pod", "far 10.246.1.2")
	wait.Within(t, time.Minute, "the bridge's MTU", func() error {
		l, err := netlink.LinkByName(network.Bridge)
		if err != nil {
			return err
		}
		return wait.Seen(l.Attrs().MTU == 1450, l.Attrs().MTU)
	})
	const size = 200_000
	listener := listen(t, far, "10.246.5.9:81")
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte(strings.Repeat("x", size)))
			_ = c.Close()
		}
	}()
	var conn net.Conn
	err := network.Do(pod, func() (err error) {
		conn, err = net.DialTimeout("tcp4", "10.246.5.9:81", time.Minute)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	got, buf := 0, make([]byte, 1<<16)
	for got < size {
		n, err := conn.Read(buf)
		if got += n; err != nil {
			t.Fatalf("%d of %d bytes: %v", got, size, err)
		}
	}
	// 1450 bytes with headers pass unfragmented, one more is refused with the right size.
	if out, err := pingDF(pod, 1450-28); err != nil {
		t.Errorf("a packet of 1450 bytes: %v: %s", err, out)
	}
	if out, err := pingDF(pod, 1450-28+1); err == nil {
		t.Errorf("a packet of 1451 bytes: %s", out)
	}
}

func listen(t *testing.T, ns netns.NsHandle, addr string) (l net.Listener) {
	t.Helper()
	err := network.Do(ns, func() (err error) {
		l, err = net.Listen("tcp4", addr)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func pingDF(ns netns.NsHandle, size int) (out []byte, err error) {
	err = network.Do(ns, func() (err error) {
		out, err = exec.Command("ping", "-c", "2", "-i", "0.2", "-W", "2", "-M", "do", "-s", fmt.Sprint(size), "10.246.5.9").CombinedOutput()
		return err
	})
	return out, err
}

// A machine that is no node sends nothing to pods, although it has all settings of the VXLAN.
func TestVXLANOfAStranger(t *testing.T) {
	cs, pod, far, _ := behindARouter(t)
	reaches(t, pod, "the far pod", "far 10.246.1.2")
	nettest.ServeHTTP(t, pod, ":8080", "pod")
	if got, err := nettest.Get(far, "10.246.1.2:8080", time.Minute); err != nil || got != "pod 10.246.5.0" {
		t.Fatalf("from a node: %q, %v", got, err)
	}
	if _, err := cs.CoreV1().Nodes().Update(t.Context(), nodeAt("far", "10.246.5.0/24", "192.168.82.66"), metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	wait.Within(t, time.Minute, "packets of 192.168.82.2 refused", func() error {
		got, err := nettest.Get(far, "10.246.1.2:8080", 300*time.Millisecond)
		return wait.Seen(err != nil, got)
	})
	sh(t, fmt.Sprintf(farVXLAN, "192.168.82.66"))
	wait.Within(t, time.Minute, "packets of 192.168.82.66", func() error {
		_, err := nettest.Get(far, "10.246.1.2:8080", time.Second)
		return err
	})
}
