package proxy_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	v1 "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"

	"wheelhouse/cluster/kubelet/network"
	"wheelhouse/cluster/kubelet/network/nettest"
	"wheelhouse/cluster/proxy"
)

func TestMain(m *testing.M) { os.Exit(nettest.Main(m)) }

const (
	clusterCIDR = "10.246.0.0/16"
	nodeIP      = "192.168.77.1" // the node's side of the LAN
	second      = time.Second
)

// cluster is a node (the test's own namespace) with pods a, b and c on it, a machine
// outside that routes service addresses to the node, and a running proxy.
type cluster struct {
	t       *testing.T
	client  *fake.Clientset
	own     netns.NsHandle
	outside netns.NsHandle
	pods    map[string]pod
	stop    func()
}

type pod struct {
	ns netns.NsHandle
	ip string
}

func start(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{t: t, client: fake.NewClientset(), own: nettest.Own(t), pods: map[string]pod{}}
	c.outside = nettest.Machine(t, "lan", netip.MustParsePrefix("192.168.77.2/24"))
	lan, err := netlink.LinkByName("lan")
	if err != nil {
		t.Fatal(err)
	}
	// As on any machine with a default route: without one, nothing leaves for a service.
	services := &net.IPNet{IP: net.IPv4(10, 247, 0, 0).To4(), Mask: net.CIDRMask(16, 32)}
	if err := netlink.RouteAdd(&netlink.Route{LinkIndex: lan.Attrs().Index, Dst: services}); err != nil {
		t.Fatal(err)
	}
	pods, err := network.New(network.Config{PodCIDR: netip.MustParsePrefix("10.246.1.0/24"), ClusterCIDR: netip.MustParsePrefix(clusterCIDR)})
	if err != nil {
		t.Fatal(err)
	}
	if err := pods.Setup(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pods.Cleanup() })
	for _, name := range []string{"a", "b", "c"} {
		pid, ns, _ := nettest.Process(t)
		ip, err := pods.Attach(t.Context(), name, pid, netip.Addr{})
		if err != nil {
			t.Fatal(err)
		}
		c.pods[name] = pod{ns, ip.String()}
		nettest.ServeHTTP(t, ns, ":8080", name)
		nettest.ServeUDP(t, ns, ":5353", name)
	}
	c.startProxy()
	t.Cleanup(func() { _ = proxy.Cleanup(context.Background()) })
	return c
}

func (c *cluster) startProxy() {
	c.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	factory := informers.NewSharedInformerFactory(c.client, 0)
	p, err := proxy.New(proxy.Config{Informers: factory, NodeName: "minion-1", ClusterCIDR: clusterCIDR, Log: slog.New(slog.NewTextHandler(c.t.Output(), nil))})
	if err != nil {
		c.t.Fatal(err)
	}
	factory.Start(ctx.Done())
	var wg sync.WaitGroup
	wg.Go(func() { _ = p.Run(ctx) })
	c.stop = func() { cancel(); wg.Wait(); factory.Shutdown() }
	c.t.Cleanup(c.stop)
	select {
	case <-p.Ready():
	case <-time.After(20 * second):
		c.t.Fatal("the proxy does not get ready")
	}
}

func service(name, ip string, change ...func(*v1.Service)) *v1.Service {
	svc := &v1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"},
		Spec: v1.ServiceSpec{Type: v1.ServiceTypeClusterIP, ClusterIP: ip, ClusterIPs: []string{ip}, Ports: []v1.ServicePort{
			{Name: "http", Protocol: v1.ProtocolTCP, Port: 80},
			{Name: "udp", Protocol: v1.ProtocolUDP, Port: 53},
		}},
	}
	for _, f := range change {
		f(svc)
	}
	return svc
}

func nodePorts(svc *v1.Service) {
	svc.Spec.Type = v1.ServiceTypeNodePort
	svc.Spec.Ports[0].NodePort, svc.Spec.Ports[1].NodePort = 30080, 30053
}

// slice has endpoints such as "10.246.1.2" or "10.246.9.9@minion-2".
func slice(svc string, addrs ...string) *discovery.EndpointSlice {
	tcp, udp, http, dns := v1.ProtocolTCP, v1.ProtocolUDP, "http", "udp"
	httpPort, dnsPort := int32(8080), int32(5353)
	s := &discovery.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Name: svc + "-1", Namespace: "default", Labels: map[string]string{discovery.LabelServiceName: svc}},
		AddressType: discovery.AddressTypeIPv4,
		Ports:       []discovery.EndpointPort{{Name: &http, Protocol: &tcp, Port: &httpPort}, {Name: &dns, Protocol: &udp, Port: &dnsPort}},
	}
	for _, a := range addrs {
		ip, node, ok := strings.Cut(a, "@")
		if !ok {
			node = "minion-1"
		}
		yes := true
		s.Endpoints = append(s.Endpoints, discovery.Endpoint{Addresses: []string{ip}, NodeName: &node, Conditions: discovery.EndpointConditions{Ready: &yes}})
	}
	return s
}

func (c *cluster) put(svc *v1.Service, s *discovery.EndpointSlice) {
	c.t.Helper()
	ctx := c.t.Context()
	if svc != nil {
		if _, err := c.client.CoreV1().Services("default").Create(ctx, svc, metav1.CreateOptions{}); err != nil {
			c.t.Fatal(err)
		}
	}
	if s == nil {
		return
	}
	if _, err := c.client.DiscoveryV1().EndpointSlices("default").Update(ctx, s, metav1.UpdateOptions{}); err == nil {
		return
	}
	if _, err := c.client.DiscoveryV1().EndpointSlices("default").Create(ctx, s, metav1.CreateOptions{}); err != nil {
		c.t.Fatal(err)
	}
}

// answers waits until addr answers from ns with the wanted text.
func (c *cluster) answers(ns netns.NsHandle, addr, want string) {
	c.t.Helper()
	nettest.Eventually(c.t, 5*second, func() error {
		got, err := nettest.Get(ns, addr, second)
		if err == nil && got != want {
			err = fmt.Errorf("%s answers %q, want %q", addr, got, want)
		}
		return err
	})
}

func (c *cluster) refused(ns netns.NsHandle, addr string) {
	c.t.Helper()
	nettest.Eventually(c.t, 5*second, func() error {
		got, err := nettest.Get(ns, addr, second)
		if err == nil || !strings.Contains(err.Error(), "connection refused") {
			return fmt.Errorf("%s: %q, %v; want connection refused", addr, got, err)
		}
		return nil
	})
}

func TestServiceFromEverywhere(t *testing.T) {
	c := start(t)
	a, b := c.pods["a"], c.pods["b"]
	c.put(service("web", "10.247.0.20", nodePorts, func(s *v1.Service) { s.Spec.ExternalIPs = []string{"203.0.113.9"} }), slice("web", a.ip))
	c.answers(b.ns, "10.247.0.20:80", "a "+b.ip)           // another pod keeps its address
	c.answers(a.ns, "10.247.0.20:80", "a 10.246.1.1")      // itself, through its service
	c.answers(c.own, "10.247.0.20:80", "a 10.246.1.1")     // the node
	c.answers(c.outside, "10.247.0.20:80", "a 10.246.1.1") // a machine outside
	c.answers(c.outside, nodeIP+":30080", "a 10.246.1.1")  // node port from outside
	c.answers(c.own, nodeIP+":30080", "a 10.246.1.1")      // from the node
	c.answers(c.own, "127.0.0.1:30080", "a 10.246.1.1")    // on localhost
	c.answers(b.ns, "10.246.1.1:30080", "a 10.246.1.1")    // from a pod, at any node address
	c.answers(a.ns, nodeIP+":30080", "a 10.246.1.1")       // from the pod itself
	c.answers(c.outside, "203.0.113.9:80", "a 10.246.1.1") // external address
	if got, err := nettest.Get(c.outside, "127.0.0.1:30080", second); err == nil {
		t.Errorf("the machine outside has our port on its localhost: %q", got)
	}
	for from, ns := range map[string]netns.NsHandle{"pod": b.ns, "self": a.ns, "outside": c.outside} {
		for _, addr := range []string{"10.247.0.20:53", nodeIP + ":30053"} {
			if got, err := nettest.Ask(nettest.DialUDP(t, ns, addr), second); err != nil || got != "a" {
				t.Errorf("UDP %s from %s: %q, %v", addr, from, got, err)
			}
		}
	}
}

func TestSpreadAndChange(t *testing.T) {
	c := start(t)
	a, b, d := c.pods["a"], c.pods["b"], c.pods["c"]
	c.put(service("web", "10.247.0.20"), slice("web", a.ip, b.ip, d.ip))
	c.answersOneOf(c.outside, "10.247.0.20:80", "a")
	count := map[string]int{}
	for range 90 {
		got, err := nettest.Get(c.outside, "10.247.0.20:80", second)
		if err != nil {
			t.Fatal(err)
		}
		count[got[:1]]++
	}
	for _, name := range []string{"a", "b", "c"} {
		if count[name] < 12 || count[name] > 50 { // 30 expected; 4 standard deviations
			t.Errorf("not spread: %v", count)
		}
	}
	c.put(nil, slice("web", d.ip))
	// By chance c answers under the old rules too; not twenty times, though.
	nettest.Eventually(t, 5*second, func() error {
		for range 20 {
			if got, err := nettest.Get(b.ns, "10.247.0.20:80", second); err != nil || got[:1] != "c" {
				return fmt.Errorf("removed endpoints still get traffic: %q, %v", got, err)
			}
		}
		return nil
	})
	if err := c.client.CoreV1().Services("default").Delete(t.Context(), "web", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	nettest.Eventually(t, 5*second, func() error {
		if got, err := nettest.Get(b.ns, "10.247.0.20:80", 50*time.Millisecond); err == nil {
			return fmt.Errorf("deleted service answers %q", got)
		}
		return nil
	})
	if out, _ := exec.Command("iptables-save").CombinedOutput(); strings.Contains(string(out), "KUBE-SVC-") {
		t.Error("chains of the deleted service are left")
	}
}

func (c *cluster) answersOneOf(ns netns.NsHandle, addr, name string) {
	c.t.Helper()
	nettest.Eventually(c.t, 5*second, func() error {
		got, err := nettest.Get(ns, addr, second)
		if err == nil && !strings.HasPrefix(got, name) {
			err = fmt.Errorf("%s answered, not %s yet", got, name)
		}
		return err
	})
}

func TestAffinity(t *testing.T) {
	c := start(t)
	a, b, d := c.pods["a"], c.pods["b"], c.pods["c"]
	sticky := func(s *v1.Service) {
		timeout := int32(2)
		s.Spec.SessionAffinity = v1.ServiceAffinityClientIP
		s.Spec.SessionAffinityConfig = &v1.SessionAffinityConfig{ClientIP: &v1.ClientIPConfig{TimeoutSeconds: &timeout}}
	}
	c.put(service("web", "10.247.0.20", sticky), slice("web", a.ip, b.ip, d.ip))
	c.answersOneOf(c.outside, "10.247.0.20:80", "")
	first, err := nettest.Get(c.outside, "10.247.0.20:80", second)
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if got, err := nettest.Get(c.outside, "10.247.0.20:80", second); err != nil || got != first {
			t.Fatalf("client left %q for %q, %v", first, got, err)
		}
	}
	// Without traffic for longer than the time-out, it is spread again.
	seen := map[string]bool{}
	for range 20 {
		idle := time.NewTimer(2300 * time.Millisecond)
		<-idle.C
		got, err := nettest.Get(c.outside, "10.247.0.20:80", second)
		if err != nil {
			t.Fatal(err)
		}
		if seen[got] = true; len(seen) > 1 {
			return
		}
	}
	t.Errorf("after twenty time-outs always %v", seen)
}

func TestNothingReady(t *testing.T) {
	c := start(t)
	b := c.pods["b"]
	c.put(service("web", "10.247.0.20", nodePorts), slice("web"))
	c.refused(b.ns, "10.247.0.20:80")
	c.refused(c.own, "10.247.0.20:80")
	c.refused(c.outside, "10.247.0.20:80")
	c.refused(c.outside, nodeIP+":30080")
	c.put(nil, slice("web", c.pods["a"].ip))
	c.answers(b.ns, "10.247.0.20:80", "a "+b.ip)
	notReady := slice("web", c.pods["a"].ip)
	no := false
	notReady.Endpoints[0].Conditions.Ready = &no
	c.put(nil, notReady)
	c.refused(b.ns, "10.247.0.20:80")
}

func TestUDPClientMovesOn(t *testing.T) {
	c := start(t)
	a, b := c.pods["a"], c.pods["b"]
	c.put(service("dns", "10.247.0.20", nodePorts), slice("dns", a.ip))
	conns := map[string]net.Conn{
		"cluster IP": nettest.DialUDP(t, c.outside, "10.247.0.20:53"),
		"node port":  nettest.DialUDP(t, c.outside, nodeIP+":30053"),
	}
	expect := func(want string) {
		t.Helper()
		for name, conn := range conns {
			nettest.Eventually(t, 5*second, func() error {
				got, err := nettest.Ask(conn, 200*time.Millisecond)
				if err == nil && got != want {
					err = fmt.Errorf("%s: answered by %q, want %q", name, got, want)
				}
				return err
			})
		}
	}
	expect("a")
	c.put(nil, slice("dns", b.ip)) // the same sockets must reach b now
	expect("b")
}

func TestTrafficPolicyLocal(t *testing.T) {
	c := start(t)
	a, b := c.pods["a"], c.pods["b"]
	local := v1.ServiceInternalTrafficPolicyLocal
	c.put(service("ext", "10.247.0.20", nodePorts, func(s *v1.Service) { s.Spec.ExternalTrafficPolicy = v1.ServiceExternalTrafficPolicyLocal }),
		slice("ext", a.ip, "10.246.9.9@minion-2"))
	c.put(service("int", "10.247.0.21", func(s *v1.Service) { s.Spec.InternalTrafficPolicy = &local }),
		slice("int", b.ip, "10.246.9.9@minion-2"))
	c.answers(c.outside, nodeIP+":30080", "a 192.168.77.2") // client address kept
	for range 15 {                                          // never sent to the other node
		c.answers(c.outside, nodeIP+":30080", "a 192.168.77.2")
		c.answers(a.ns, "10.247.0.21:80", "b "+a.ip)
	}
	c.put(nil, slice("ext", "10.246.9.9@minion-2"))
	nettest.Eventually(t, 5*second, func() error {
		if got, err := nettest.Get(c.outside, nodeIP+":30080", 100*time.Millisecond); err == nil || !strings.Contains(err.Error(), "exceeded") && !strings.Contains(err.Error(), "timeout") {
			return fmt.Errorf("%q, %v; want silence", got, err)
		}
		return nil
	})
}

func TestRestartAndFlush(t *testing.T) {
	c := start(t)
	a, b := c.pods["a"], c.pods["b"]
	c.put(service("web", "10.247.0.20"), slice("web", a.ip))
	c.put(service("old", "10.247.0.21"), slice("old", a.ip))
	c.answers(b.ns, "10.247.0.20:80", "a "+b.ip)
	c.answers(b.ns, "10.247.0.21:80", "a "+b.ip)
	c.stop()
	c.answers(b.ns, "10.247.0.20:80", "a "+b.ip)
	if err := c.client.CoreV1().Services("default").Delete(t.Context(), "old", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	c.startProxy()
	c.answers(b.ns, "10.247.0.20:80", "a "+b.ip)
	if got, err := nettest.Get(b.ns, "10.247.0.21:80", 50*time.Millisecond); err == nil {
		t.Errorf("a service deleted while the proxy was away answers %q", got)
	}
	for _, flush := range []string{"-F", "-X"} {
		if out, err := exec.Command("sh", "-c", "iptables -t nat -F; iptables -t nat "+flush).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		nettest.Eventually(t, 15*second, func() error {
			_, err := nettest.Get(b.ns, "10.247.0.20:80", 200*time.Millisecond)
			return err
		})
	}
	c.stop()
	if err := proxy.Cleanup(t.Context()); err != nil {
		t.Error(err)
	}
	if out, _ := exec.Command("iptables-save").CombinedOutput(); strings.Contains(string(out), "KUBE-") {
		t.Errorf("left after clean-up:\n%s", out)
	}
}
