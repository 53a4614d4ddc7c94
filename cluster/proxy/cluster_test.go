//go:build !quick

package proxy_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	v1 "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/record"

	"wheelhouse/cluster/client"
	"wheelhouse/cluster/kubelet/network"
	"wheelhouse/cluster/kubelet/network/nettest"
	"wheelhouse/cluster/proxy"
	"wheelhouse/cluster/wait"
)

const (
	clusterCIDR = "10.246.0.0/16"
	nodeIP      = "192.168.77.1" // the node's side of the LAN
	second      = time.Second
)

// cluster is a node (the test's own namespace) with pods a, b and c on it, a machine
// outside that routes service addresses to the node, and a running proxy.
type cluster struct {
	t       testing.TB
	client  *fake.Clientset
	events  *record.FakeRecorder
	own     netns.NsHandle
	outside netns.NsHandle
	pods    map[string]pod
	stop    func()

	repaired chan string // what the proxy has repaired
}

type pod struct {
	ns netns.NsHandle
	ip string
}

func start(t testing.TB) *cluster {
	t.Helper()
	c := &cluster{t: t, client: fake.NewClientset(), events: record.NewFakeRecorder(100), own: nettest.Own(t), pods: map[string]pod{}, repaired: make(chan string, 100)}
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
	p := c.newProxy(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { _ = p.Run(ctx) })
	c.stop = func() { cancel(); wg.Wait() }
	c.t.Cleanup(c.stop)
	select {
	case <-p.Ready():
	case <-time.After(60 * second):
		c.t.Fatal("the proxy does not get ready")
	}
}

func (c *cluster) newProxy(ctx context.Context) *proxy.Proxy {
	c.t.Helper()
	factory := client.Informers(c.client)
	p, err := proxy.New(proxy.Config{
		Informers: factory, NodeName: "minion-1", ClusterCIDR: clusterCIDR, ServiceCIDR: "10.247.0.0/16",
		Recorder: c.events, Repaired: func(what string) { c.repaired <- what }, Log: slog.New(slog.NewTextHandler(c.t.Output(), nil)),
	})
	if err != nil {
		c.t.Fatal(err)
	}
	factory.Start(ctx.Done())
	return p
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
	wait.For(c.t, want+" at "+addr, func() error {
		got, err := nettest.Get(ns, addr, second)
		if err == nil && got != want {
			err = fmt.Errorf("%s answers %q, want %q", addr, got, want)
		}
		return err
	})
}

// refused waits until addr refuses connections from ns, by the answer to the first packet: an attempt ends before the
// second one.
func (c *cluster) refused(ns netns.NsHandle, addr string) {
	c.t.Helper()
	wait.For(c.t, "refusal at "+addr, func() error {
		got, err := nettest.Get(ns, addr, second)
		if err == nil || !strings.Contains(err.Error(), "connection refused") {
			return fmt.Errorf("%s: %q, %v; want connection refused", addr, got, err)
		}
		return nil
	})
}
