//go:build !quick

package announce_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mdlayher/packet"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	v1 "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/record"

	"wheelhouse/cluster/announce"
	"wheelhouse/cluster/api/servicefacts"
	"wheelhouse/cluster/client"
	"wheelhouse/cluster/kubelet/network"
	"wheelhouse/cluster/kubelet/network/nettest"
	"wheelhouse/cluster/wait"
)

func TestMain(m *testing.M) { os.Exit(nettest.Main(m)) }

// machine is one on the link; port is its end at the bridge.
type machine struct {
	t    testing.TB
	ns   netns.NsHandle
	port string
	mac  string
	stop func() // ends its announcer, as kill -9 would
}

// lan is a bridge with a client and nodes, each with an announcer.
type lan struct {
	t      testing.TB
	client *fake.Clientset
	events *record.FakeRecorder
	user   *machine
	nodes  map[string]*machine
}

func newLAN(t testing.TB, services ...*v1.Service) *lan {
	t.Helper()
	must(t, netlink.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0"}}))
	bridge, err := netlink.LinkByName("br0")
	must(t, err)
	t.Cleanup(func() { _ = netlink.LinkDel(bridge) })
	must(t, netlink.LinkSetUp(bridge))
	l := &lan{t: t, client: fake.NewClientset(), events: record.NewFakeRecorder(1000), nodes: map[string]*machine{}}
	l.user = l.machine(bridge, "user", "192.0.2.1/24", "2001:db8::1/64")
	for i := 1; i <= 3; i++ {
		name, ip := fmt.Sprintf("n%d", i), fmt.Sprintf("192.0.2.%d", 10+i)
		l.nodes[name] = l.machine(bridge, name, ip+"/24", fmt.Sprintf("2001:db8::%d/64", 10+i))
		_, err := l.client.CoreV1().Nodes().Create(t.Context(), &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: v1.NodeStatus{
			Addresses:  []v1.NodeAddress{{Type: v1.NodeInternalIP, Address: ip}},
			Conditions: []v1.NodeCondition{{Type: v1.NodeReady, Status: v1.ConditionTrue}},
		}}, metav1.CreateOptions{})
		must(t, err)
	}
	for _, svc := range services {
		_, err := l.client.CoreV1().Services("default").Create(t.Context(), svc, metav1.CreateOptions{})
		must(t, err)
	}
	for i := 1; i <= 3; i++ {
		l.start(fmt.Sprintf("n%d", i), netip.AddrFrom4([4]byte{192, 0, 2, byte(10 + i)}))
	}
	return l
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (l *lan) machine(bridge netlink.Link, name string, ips ...string) *machine {
	l.t.Helper()
	_, ns, _ := nettest.Process(l.t)
	m := &machine{t: l.t, ns: ns, port: name, stop: func() {}}
	must(l.t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name, MasterIndex: bridge.Attrs().Index}, PeerName: "eth0", PeerNamespace: netlink.NsFd(ns)}))
	outer, err := netlink.LinkByName(name)
	must(l.t, err)
	l.t.Cleanup(func() { _ = netlink.LinkDel(outer) })
	must(l.t, network.Do(ns, func() error { return os.WriteFile("/proc/sys/net/ipv6/conf/eth0/accept_dad", []byte("0"), 0o644) }))
	h, err := netlink.NewHandleAt(ns)
	must(l.t, err)
	defer h.Close()
	link, err := h.LinkByName("eth0")
	must(l.t, err)
	m.mac = link.Attrs().HardwareAddr.String()
	for _, ip := range ips {
		a, err := netlink.ParseAddr(ip)
		must(l.t, err)
		must(l.t, h.AddrAdd(link, a))
	}
	must(l.t, h.LinkSetUp(link))
	must(l.t, netlink.LinkSetUp(outer))
	return m
}

func (l *lan) start(name string, ip netip.Addr) {
	l.t.Helper()
	n := l.nodes[name]
	ctx, cancel := context.WithCancel(context.Background())
	factory := client.Informers(l.client)
	a, err := announce.New(announce.Config{
		Informers: factory, NodeName: name, NodeIP: ip, Recorder: l.events, Log: slog.New(slog.NewTextHandler(l.t.Output(), nil)),
		Enter: func(f func() error) error { return network.Do(n.ns, f) },
	})
	must(l.t, err)
	factory.Start(ctx.Done())
	done := make(chan struct{})
	go func() { defer close(done); _ = a.Run(ctx) }()
	n.stop = func() { cancel(); <-done }
	l.t.Cleanup(n.stop)
}

// neighbour returns the Ethernet address by which a machine reaches an address; it asks if it
// has none. The kernel renews what it has with each packet.
func (m *machine) neighbour(ip string) string {
	m.t.Helper()
	var mac string
	must(m.t, network.Do(m.ns, func() error {
		c, err := net.Dial("udp", net.JoinHostPort(ip, "9"))
		if err != nil {
			return err
		}
		defer c.Close()
		_, _ = c.Write([]byte("?"))
		list, err := netlink.NeighList(0, netlink.FAMILY_ALL)
		for _, n := range list {
			if n.IP.String() == ip && n.State&(netlink.NUD_FAILED|netlink.NUD_INCOMPLETE) == 0 {
				mac = n.HardwareAddr.String()
			}
		}
		return err
	}))
	return mac
}

// reached waits until the client reaches an address through a node other than those, and returns
// the node and the time that took.
func (l *lan) reached(ip string, not ...string) (string, time.Duration) {
	l.t.Helper()
	began, at := time.Now(), ""
	wait.For(l.t, ip+" at a node other than "+strings.Join(not, " "), func() error {
		mac := l.user.neighbour(ip)
		for name, n := range l.nodes {
			if n.mac == mac && !slices.Contains(not, name) {
				at = name
				return nil
			}
		}
		return fmt.Errorf("it is at %q", mac)
	})
	return at, time.Since(began)
}

func balancer(name string, ips ...string) *v1.Service {
	s := &v1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}, Spec: v1.ServiceSpec{Type: v1.ServiceTypeLoadBalancer}}
	s.Status.Conditions = []metav1.Condition{{Type: servicefacts.FromPool, Status: metav1.ConditionTrue}}
	for _, ip := range ips {
		s.Status.LoadBalancer.Ingress = append(s.Status.LoadBalancer.Ingress, v1.LoadBalancerIngress{IP: ip})
	}
	return s
}

// One node answers for an address; when it goes, by its process or by its cable, another one does,
// and one only when it is back.
func TestAnnouncer(t *testing.T) {
	const v4, v6 = "192.0.2.200", "2001:db8::200"
	l := newLAN(t, balancer("web", v4, v6))
	first4, _ := l.reached(v4)
	first6, _ := l.reached(v6)
	wait.Within(t, time.Minute, "one node alone to answer for "+v4, func() error { // all have begun at once
		first4, _ = l.reached(v4)
		answers := l.answers(t, v4)
		return wait.Seen(len(answers) == 1 && answers[0] == l.nodes[first4].mac, answers, " answer, reached is ", l.nodes[first4].mac)
	})
	l.nodes[first4].stop()
	second4, took := l.reached(v4, first4)
	t.Logf("%s: %s after %s was ended, %v", v4, second4, first4, took)
	// The cable is pulled from the node that answers now.
	port, err := netlink.LinkByName(l.nodes[second4].port)
	must(t, err)
	must(t, netlink.LinkSetDown(port))
	third4, took := l.reached(v4, first4, second4)
	t.Logf("%s: %s after the cable of %s was pulled, %v", v4, third4, second4, took)
	at6, _ := l.reached(v6, first4, second4)
	t.Logf("%s: %s, at first %s", v6, at6, first6)
	must(t, netlink.LinkSetUp(port))
	wait.For(t, "the second node on the link", func() error {
		if l.user.neighbour("192.0.2.1"+second4[1:]) == "" {
			return fmt.Errorf("it does not answer for its own address")
		}
		return nil
	})
	wait.For(t, "one answer, now that the second node is back", func() error {
		if answers := l.answers(t, v4); len(answers) != 1 {
			return fmt.Errorf("%v", answers)
		}
		return nil
	})
}

// answers asks for an address, once, and returns who has answered within a tenth of a second of
// the first answer.
func (l *lan) answers(t testing.TB, ip string) (macs []string) {
	t.Helper()
	var conn *packet.Conn
	var own net.HardwareAddr
	must(t, network.Do(l.user.ns, func() error {
		iface, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		own = iface.HardwareAddr
		conn, err = packet.Listen(iface, packet.Raw, 0x0806, nil)
		return err
	}))
	defer func() { _ = conn.Close() }()
	everybody := net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	frame := slices.Concat(everybody, own, []byte{8, 6, 0, 1, 8, 0, 6, 4, 0, 1}, own, []byte{192, 0, 2, 1, 0, 0, 0, 0, 0, 0}, netip.MustParseAddr(ip).AsSlice())
	_, err := conn.WriteTo(frame, &packet.Addr{HardwareAddr: everybody})
	must(t, err)
	until := time.Now().Add(time.Minute)
	for buf := make([]byte, 1500); ; {
		must(t, conn.SetReadDeadline(until))
		n, _, err := conn.ReadFrom(buf)
		if err != nil {
			return macs
		}
		if n >= 42 && buf[21] == 2 && string(buf[28:32]) == string(netip.MustParseAddr(ip).AsSlice()) {
			macs = append(macs, net.HardwareAddr(buf[22:28]).String())
			until = time.Now().Add(100 * time.Millisecond)
		}
	}
}

// With policy Local the node with an endpoint answers, and the address moves with the endpoint.
func TestAnnouncerLocal(t *testing.T) {
	const ip = "192.0.2.201"
	svc := balancer("web", ip)
	svc.Spec.ExternalTrafficPolicy = v1.ServiceExternalTrafficPolicyLocal
	l := newLAN(t, svc)
	slice := &discovery.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web-1", Labels: map[string]string{discovery.LabelServiceName: "web"}},
		Endpoints:  []discovery.Endpoint{{Addresses: []string{"10.1.1.1"}}},
	}
	for _, on := range []string{"n2", "n3", "n1"} {
		slice.Endpoints[0].NodeName = &on
		_, err := l.client.DiscoveryV1().EndpointSlices("default").Update(t.Context(), slice, metav1.UpdateOptions{})
		if err != nil {
			_, err = l.client.DiscoveryV1().EndpointSlices("default").Create(t.Context(), slice, metav1.CreateOptions{})
		}
		must(t, err)
		others := slices.DeleteFunc([]string{"n1", "n2", "n3"}, func(n string) bool { return n == on })
		if at, _ := l.reached(ip, others...); at != on {
			t.Errorf("%s, want %s", at, on)
		}
	}
}

// A machine that is no node of the cluster and announces the address does not make the node
// stop: it announces in turn, and an event names the machine.
func TestAnnouncerStranger(t *testing.T) {
	const ip = "192.0.2.202"
	l := newLAN(t, balancer("web", ip))
	at, _ := l.reached(ip)
	must(t, network.Do(l.user.ns, func() error {
		iface, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		conn, err := packet.Listen(iface, packet.Raw, 0x0806, nil)
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close() }()
		everybody, addr := net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, netip.MustParseAddr(ip).AsSlice()
		frame := slices.Concat(everybody, iface.HardwareAddr, []byte{8, 6, 0, 1, 8, 0, 6, 4, 0, 1}, iface.HardwareAddr, addr, []byte{0, 0, 0, 0, 0, 0}, addr)
		_, err = conn.WriteTo(frame, &packet.Addr{HardwareAddr: everybody})
		return err
	}))
	wait.For(t, "an event that names the machine", func() error {
		for {
			select {
			case e := <-l.events.Events:
				if strings.Contains(e, "Warning AddressConflict") && strings.Contains(e, l.user.mac) {
					return nil
				}
			default:
				return fmt.Errorf("there is none")
			}
		}
	})
	if now, _ := l.reached(ip); now != at {
		t.Errorf("at %s, want %s", now, at)
	}
}

// The time from the end of the process that answers to the first question that another node answers,
// with the kernel's own table of a client on the link.
func BenchmarkTakeover(b *testing.B) {
	const ip = "192.0.2.203"
	l := newLAN(b, balancer("web", ip))
	at, _ := l.reached(ip)
	var worst time.Duration
	for b.Loop() {
		l.nodes[at].stop()
		before := at
		next, took := l.reached(ip, before)
		worst, at = max(worst, took), next
		b.StopTimer()
		l.start(before, netip.AddrFrom4([4]byte{192, 0, 2, 10 + before[1] - '0'}))
		b.StartTimer()
	}
	b.ReportMetric(float64(worst.Milliseconds()), "ms-worst")
}
