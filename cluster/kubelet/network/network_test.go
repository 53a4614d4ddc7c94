//go:build !quick

package network_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"

	"wheelhouse/cluster/kubelet/network"
	"wheelhouse/cluster/kubelet/network/nettest"
	"wheelhouse/cluster/wait"
)

func TestMain(m *testing.M) { os.Exit(nettest.Main(m)) }

func setup(t *testing.T) *network.Network {
	t.Helper()
	n, err := network.New(network.Config{
		PodCIDR:     netip.MustParsePrefix("10.246.1.0/24"),
		ClusterCIDR: netip.MustParsePrefix("10.246.0.0/16"),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Setup(t.Context()); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestPodsReachEachOtherAndTheNode(t *testing.T) {
	n := setup(t)
	t.Cleanup(func() { _ = n.Cleanup() })
	pidA, nsA, _ := nettest.Process(t)
	pidB, nsB, _ := nettest.Process(t)
	began := time.Now()
	a, err := n.Attach(t.Context(), "uid-a", pidA, netip.Addr{})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("attached in %s", time.Since(began))
	b, err := n.Attach(t.Context(), "uid-b", pidB, netip.MustParseAddr("10.246.1.77"))
	if err != nil {
		t.Fatal(err)
	}
	if a == b || b.String() != "10.246.1.77" {
		t.Errorf("addresses %s and %s", a, b)
	}
	nettest.ServeHTTP(t, nsB, ":8080", "b")
	for from, ns := range map[string]struct {
		get  func() (string, error)
		want string
	}{
		"pod a":    {func() (string, error) { return nettest.Get(nsA, "10.246.1.77:8080", time.Second) }, "b " + a.String()},
		"itself":   {func() (string, error) { return nettest.Get(nsB, "10.246.1.77:8080", time.Second) }, "b 10.246.1.77"},
		"loopback": {func() (string, error) { return nettest.Get(nsB, "127.0.0.1:8080", time.Second) }, "b 127.0.0.1"},
		"the node": {func() (string, error) { return nettest.Get(nettest.Own(t), "10.246.1.77:8080", time.Second) }, "b 10.246.1.1"},
	} {
		if got, err := ns.get(); err != nil || got != ns.want {
			t.Errorf("from %s: %q, %v; want %q", from, got, err, ns.want)
		}
	}
	if err := n.Detach(t.Context(), "uid-b"); err != nil {
		t.Fatal(err)
	}
	if got, err := nettest.Get(nsA, "10.246.1.77:8080", 100*time.Millisecond); err == nil {
		t.Errorf("a detached pod still answers: %q", got)
	}
	if err := n.Detach(t.Context(), "uid-b"); err != nil {
		t.Errorf("detaching twice: %v", err)
	}
}

func TestRestartAdopts(t *testing.T) {
	before := setup(t)
	pid, ns, _ := nettest.Process(t)
	ip, err := before.Attach(t.Context(), "uid-a", pid, netip.Addr{})
	if err != nil {
		t.Fatal(err)
	}
	nettest.ServeHTTP(t, ns, ":8080", "a")

	after := setup(t)
	t.Cleanup(func() { _ = after.Cleanup() })
	pidNew, _, _ := nettest.Process(t)
	got, err := after.Attach(t.Context(), "uid-new", pidNew, netip.Addr{})
	if err != nil || got == ip {
		t.Errorf("a new pod got %s (%v), which pod a has", got, err)
	}
	again, err := after.Attach(t.Context(), "uid-a", pid, ip)
	if err != nil || again != ip {
		t.Errorf("adopting: %s, %v; want %s", again, err, ip)
	}
	if got, err := nettest.Get(nettest.Own(t), ip.String()+":8080", time.Second); err != nil {
		t.Errorf("the adopted pod does not answer: %q, %v", got, err)
	}
}

func TestSandboxOfTheSamePodReplaced(t *testing.T) {
	n := setup(t)
	t.Cleanup(func() { _ = n.Cleanup() })
	pid, _, stop := nettest.Process(t)
	ip, err := n.Attach(t.Context(), "uid-a", pid, netip.Addr{})
	if err != nil {
		t.Fatal(err)
	}
	stop()
	pid, ns, _ := nettest.Process(t)
	if got, err := n.Attach(t.Context(), "uid-a", pid, ip); err != nil || got != ip {
		t.Fatalf("second sandbox: %s, %v; want %s", got, err, ip)
	}
	nettest.ServeHTTP(t, ns, ":8080", "second")
	if got, err := nettest.Get(nettest.Own(t), ip.String()+":8080", time.Second); err != nil || !strings.HasPrefix(got, "second") {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestLeavingTheClusterTakesTheNodesAddress(t *testing.T) {
	n := setup(t)
	t.Cleanup(func() { _ = n.Cleanup() })
	outside := nettest.Machine(t, "outside", netip.MustParsePrefix("192.168.77.2/24"))
	nettest.ServeHTTP(t, outside, ":80", "outside")
	pid, ns, _ := nettest.Process(t)
	if _, err := n.Attach(t.Context(), "uid-a", pid, netip.Addr{}); err != nil {
		t.Fatal(err)
	}
	// The machine outside is new on its link: its first packet may be lost.
	wait.Within(t, 5*time.Second, "an answer from outside", func() error {
		if got, err := nettest.Get(ns, "192.168.77.2:80", time.Second); err != nil || got != "outside 192.168.77.1" {
			return fmt.Errorf("got %q, %v", got, err)
		}
		return nil
	})
}

func TestManyAtOnce(t *testing.T) {
	n := setup(t)
	t.Cleanup(func() { _ = n.Cleanup() })
	const pods = 40
	pids := make([]int, pods)
	for i := range pids {
		pids[i], _, _ = nettest.Process(t)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	seen := map[netip.Addr]bool{}
	began := time.Now()
	for i, pid := range pids {
		wg.Go(func() {
			ip, err := n.Attach(t.Context(), fmt.Sprint("uid-", i), pid, netip.Addr{})
			mu.Lock()
			defer mu.Unlock()
			if err != nil || seen[ip] {
				t.Errorf("pod %d: %s, %v", i, ip, err)
			}
			seen[ip] = true
		})
	}
	wg.Wait()
	t.Logf("%d pods attached in %s", pods, time.Since(began))
}

func TestRoutesFollowTheNodes(t *testing.T) {
	nettest.Machine(t, "lan", netip.MustParsePrefix("192.168.78.2/24"))
	node := func(name, cidr, ip string) *v1.Node {
		return &v1.Node{
			ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1.NodeSpec{PodCIDR: cidr},
			Status: v1.NodeStatus{Addresses: []v1.NodeAddress{{Type: v1.NodeInternalIP, Address: ip}}},
		}
	}
	client := fake.NewClientset(node("self", "10.246.0.0/24", "192.168.78.1"), node("other", "10.246.5.0/24", "192.168.78.5"))
	factory := informers.NewSharedInformerFactory(client, 0)
	repaired := make(chan string, 10)
	routes, err := network.NewRoutes(network.RoutesConfig{Nodes: factory.Core().V1().Nodes(), NodeName: "self", Repaired: func(what string) { repaired <- what }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	factory.Start(ctx.Done())
	var wg sync.WaitGroup
	wg.Go(func() { _ = routes.Run(ctx) })
	defer wg.Wait()
	defer cancel()
	expect := func(want string) {
		t.Helper()
		wait.Within(t, 10*time.Second, "the routes", func() error {
			list, err := netlink.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Protocol: network.RouteProtocol}, netlink.RT_FILTER_PROTOCOL)
			if err != nil {
				return err
			}
			var got []string
			for _, r := range list {
				got = append(got, r.Dst.String()+" "+r.Gw.String())
			}
			if s := strings.Join(got, ","); s != want {
				return fmt.Errorf("routes %q, want %q", s, want)
			}
			return nil
		})
	}
	expect("10.246.5.0/24 192.168.78.5")
	_, other, err := net.ParseCIDR("10.246.5.0/24")
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.RouteDel(&netlink.Route{Dst: other, Protocol: network.RouteProtocol}); err != nil { // as another program does
		t.Fatal(err)
	}
	expect("10.246.5.0/24 192.168.78.5")
	if got := <-repaired; !strings.Contains(got, "1 of the routes") {
		t.Errorf("repaired %q", got)
	}
	if _, err := client.CoreV1().Nodes().Update(ctx, node("other", "10.246.5.0/24", "192.168.78.6"), metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	expect("10.246.5.0/24 192.168.78.6")
	if err := client.CoreV1().Nodes().Delete(ctx, "other", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	expect("")
}
