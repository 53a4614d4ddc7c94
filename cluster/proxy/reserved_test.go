//go:build !quick

package proxy_test

import (
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netns"
	v1 "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"wheelhouse/cluster/kubelet/network"
	"wheelhouse/cluster/kubelet/network/nettest"
	"wheelhouse/cluster/proxy"
	"wheelhouse/cluster/wait"
)

// master makes the test's node a master: an API server, a kubelet and a DNS answer at its
// address.
func (c *cluster) master() {
	c.t.Helper()
	nettest.ServeHTTP(c.t, c.own, nodeIP+":443", "api")
	nettest.ServeHTTP(c.t, c.own, nodeIP+":10250", "kubelet")
	nettest.ServeUDP(c.t, c.own, nodeIP+":53", "dns")
	node := &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: "minion-1"}}
	node.Status.Addresses = []v1.NodeAddress{{Type: v1.NodeInternalIP, Address: nodeIP}}
	node.Status.DaemonEndpoints.KubeletEndpoint.Port = 10250
	if _, err := c.client.CoreV1().Nodes().Create(c.t.Context(), node, metav1.CreateOptions{}); err != nil {
		c.t.Fatal(err)
	}
	c.create("default", service("kubernetes", "10.247.0.1"), endpointsAt("kubernetes", nodeIP, port("http", v1.ProtocolTCP, 443)))
	c.create("kube-system", service("kube-dns", "10.247.0.10"), endpointsAt("kube-dns", nodeIP, port("udp", v1.ProtocolUDP, 53)))
}

func port(name string, protocol v1.Protocol, number int32) discovery.EndpointPort {
	return discovery.EndpointPort{Name: &name, Protocol: &protocol, Port: &number}
}

func endpointsAt(svc, ip string, ports ...discovery.EndpointPort) *discovery.EndpointSlice {
	s := slice(svc, ip)
	s.Ports = ports
	return s
}

func (c *cluster) create(namespace string, svc *v1.Service, s *discovery.EndpointSlice) {
	c.t.Helper()
	svc.Namespace, s.Namespace = namespace, namespace
	svc.UID = types.UID(fmt.Sprintf("%s/%s-%d", namespace, svc.Name, len(c.client.Actions())))
	if _, err := c.client.DiscoveryV1().EndpointSlices(namespace).Create(c.t.Context(), s, metav1.CreateOptions{}); err != nil {
		c.t.Fatal(err)
	}
	if _, err := c.client.CoreV1().Services(namespace).Create(c.t.Context(), svc, metav1.CreateOptions{}); err != nil {
		c.t.Fatal(err)
	}
}

// hostile answers at addresses that are not its own, and at port 80 of the node, which
// nobody else has.
func hostile(ips ...string) func(*v1.Service) {
	return func(s *v1.Service) {
		s.Spec.ExternalIPs = ips
		s.Spec.Ports = nil
		for _, n := range []int32{80, 443, 8080, 10250} {
			s.Spec.Ports = append(s.Spec.Ports, v1.ServicePort{Name: fmt.Sprintf("p%d", n), Protocol: v1.ProtocolTCP, Port: n})
		}
		s.Spec.Ports = append(s.Spec.Ports, v1.ServicePort{Name: "dns", Protocol: v1.ProtocolUDP, Port: 53})
	}
}

func hostilePorts() (ports []discovery.EndpointPort) {
	for _, n := range []int32{80, 443, 8080, 10250} {
		ports = append(ports, port(fmt.Sprintf("p%d", n), v1.ProtocolTCP, 8080))
	}
	return append(ports, port("dns", v1.ProtocolUDP, 5353))
}

func (c *cluster) asks(ns netns.NsHandle, addr, want string) {
	c.t.Helper()
	if got, err := nettest.Ask(nettest.DialUDP(c.t, ns, addr), second); err != nil || got != want {
		c.t.Errorf("UDP %s: %q, %v; want %q", addr, got, err, want)
	}
}

func (c *cluster) event(parts ...string) {
	c.t.Helper()
	var seen []string
	for {
		select {
		case e := <-c.events.Events:
			missing := false
			for _, p := range parts {
				missing = missing || !strings.Contains(e, p)
			}
			if !missing {
				return
			}
			seen = append(seen, e)
		case <-time.After(5 * second):
			c.t.Errorf("no event with %q; seen: %q", parts, seen)
			return
		}
	}
}

// A service of somebody takes away neither the API server nor kubelets nor DNS, nor
// other services' or pods' addresses; what is free it gets.
func TestServicesTakeNothingAway(t *testing.T) {
	c := start(t)
	c.master()
	a, b := c.pods["a"], c.pods["b"]
	c.create("victim", service("web", "10.247.0.20"), slice("web", a.ip))
	c.answers(b.ns, "10.247.0.20:80", "a "+b.ip)
	balancer := func(s *v1.Service) {
		s.Spec.Type = v1.ServiceTypeLoadBalancer
		for _, ip := range []string{nodeIP, "10.247.0.20", a.ip} {
			s.Status.LoadBalancer.Ingress = append(s.Status.LoadBalancer.Ingress, v1.LoadBalancerIngress{IP: ip})
		}
		s.Spec.ExternalIPs = []string{"203.0.113.1"}
	}
	for name, change := range map[string]func(*v1.Service){
		"external": hostile(nodeIP, "10.247.0.20", a.ip, "127.0.0.1", "203.0.113.1"),
		"balancer": func(s *v1.Service) { hostile()(s); balancer(s) },
		"ports": func(s *v1.Service) {
			hostile("203.0.113.1")(s)
			s.Spec.Type, s.Spec.Ports[1].NodePort, s.Spec.Ports[3].NodePort, s.Spec.Ports[4].NodePort = v1.ServiceTypeNodePort, 443, 10250, 53
		},
	} {
		for _, eps := range [][]string{{b.ip}, nil} {
			s := service("thief", "10.247.0.30", change)
			addrs := endpointsAt("thief", b.ip, hostilePorts()...)
			if eps == nil {
				addrs.Endpoints = nil
			}
			c.create("aaa", s, addrs)
			if eps != nil {
				c.answers(c.outside, "203.0.113.1:80", "b 10.246.1.1") // the rest works; and the rules are in place
			} else {
				c.refused(c.outside, "10.247.0.30:80")
			}
			t.Run(fmt.Sprintf("%s with endpoints %v", name, eps), func(t *testing.T) {
				c := *c
				c.t = t
				for from, ns := range map[string]netns.NsHandle{"outside": c.outside, "node": c.own, "pod": a.ns} {
					for port, want := range map[string]string{":443": "api", ":10250": "kubelet"} {
						if got, err := nettest.Get(ns, nodeIP+port, second); err != nil || !strings.HasPrefix(got, want) {
							t.Errorf("%s from %s: %q, %v; want %s", port, from, got, err, want)
						}
					}
					c.asks(ns, nodeIP+":53", "dns")
				}
				c.answers(b.ns, "10.247.0.20:80", "a "+b.ip)
				if got, err := nettest.Get(b.ns, a.ip+":8080", second); err != nil || got != "a "+b.ip {
					t.Errorf("a pod's own address: %q, %v", got, err)
				}
			})
			c.event("AddressRefused", "443")
			c.remove("aaa", "thief")
		}
	}
}

func (c *cluster) remove(namespace, name string) {
	c.t.Helper()
	if err := c.client.CoreV1().Services(namespace).Delete(c.t.Context(), name, metav1.DeleteOptions{}); err != nil {
		c.t.Fatal(err)
	}
	if err := c.client.DiscoveryV1().EndpointSlices(namespace).Delete(c.t.Context(), name+"-1", metav1.DeleteOptions{}); err != nil {
		c.t.Fatal(err)
	}
}

// An external address belongs to the service that had it first, whatever its name, even
// while that one has no endpoints.
func TestExternalAddressOfAnother(t *testing.T) {
	c := start(t)
	if out, err := exec.Command("ip", "route", "add", "203.0.113.0/24", "dev", "lan").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	a, b := c.pods["a"], c.pods["b"]
	external := func(created int64) func(*v1.Service) {
		return func(s *v1.Service) {
			s.CreationTimestamp = metav1.Unix(created, 0)
			s.Spec.ExternalIPs = []string{"203.0.113.9"}
		}
	}
	c.create("zzz", service("first", "10.247.0.20", external(1)), slice("first", a.ip))
	c.answers(c.outside, "203.0.113.9:80", "a 10.246.1.1")
	c.create("aaa", service("second", "10.247.0.21", external(2)), slice("second", b.ip))
	c.answers(c.outside, "10.247.0.21:80", "b 10.246.1.1")
	c.answers(c.outside, "203.0.113.9:80", "a 10.246.1.1")
	c.event("AddressRefused", "203.0.113.9:80/tcp", "zzz/first has it")
	none := slice("first")
	none.Namespace = "zzz"
	if _, err := c.client.DiscoveryV1().EndpointSlices("zzz").Update(t.Context(), none, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	c.refused(c.outside, "203.0.113.9:80")
	c.remove("zzz", "first")
	c.answers(c.outside, "203.0.113.9:80", "b 10.246.1.1")
}

// The host port of a pod does not come before what the node itself answers at.
func TestHostPortsTakeNothingAway(t *testing.T) {
	c := start(t)
	out, err := exec.Command("sh", "-c", `iptables -t nat -N HP; iptables -t nat -A HP -p tcp --dport 443 -j DNAT --to-destination `+c.pods["b"].ip+`:8080
		iptables -t nat -A PREROUTING -m addrtype --dst-type LOCAL -j HP; iptables -t nat -A OUTPUT -m addrtype --dst-type LOCAL -j HP`).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Cleanup(func() {
		_ = exec.Command("sh", "-c", `iptables -t nat -F PREROUTING; iptables -t nat -F OUTPUT; iptables -t nat -F HP; iptables -t nat -X HP`).Run()
	})
	c.master()
	c.answers(c.outside, nodeIP+":443", "api 192.168.77.2")
	c.answers(c.own, nodeIP+":443", "api "+nodeIP)
	c.answers(c.pods["a"].ns, nodeIP+":443", "api "+c.pods["a"].ip)
}

// Rules of an earlier process do not keep the next one from the API server.
func TestOldRulesDoNotHideTheAPIServer(t *testing.T) {
	c := start(t)
	nettest.ServeHTTP(t, c.own, nodeIP+":443", "api")
	c.stop()
	rules := "*nat\n-I KUBE-SERVICES -d " + nodeIP + "/32 -p tcp -m tcp --dport 443 -j DNAT --to-destination " + c.pods["b"].ip + ":8080\nCOMMIT\n" +
		"*filter\n-I KUBE-SERVICES -d " + nodeIP + "/32 -p tcp -m tcp --dport 443 -j REJECT\nCOMMIT\n"
	cmd := exec.Command("iptables-restore", "--noflush")
	cmd.Stdin = strings.NewReader(rules)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	c.answers(c.outside, nodeIP+":443", "b 192.168.77.2")
	for range 2 { // a process that starts again does so
		if err := proxy.KeepReachable(netip.MustParseAddrPort(nodeIP + ":443")); err != nil {
			t.Fatal(err)
		}
	}
	c.answers(c.outside, nodeIP+":443", "api 192.168.77.2")
	c.answers(c.own, nodeIP+":443", "api "+nodeIP)
}

// Where the proxy runs and accepts packets to the API server, a start that asks for it again changes no rule of the proxy's.
func TestReachableAlready(t *testing.T) {
	c := start(t)
	rules := func() string {
		t.Helper()
		out, err := exec.Command("sh", "-c", "iptables -t nat -S KUBE-SERVICES; iptables -S KUBE-SERVICES").CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return string(out)
	}
	c.master()
	wait.For(t, "the proxy to accept packets to the API server", func() error {
		return wait.Seen(strings.Contains(rules(), "-d "+nodeIP+"/32 -p tcp -m tcp --dport 443 ") && strings.Contains(rules(), "--dport 53 "), rules())
	})
	before := rules()
	if err := proxy.KeepReachable(netip.MustParseAddrPort(nodeIP + ":443")); err != nil {
		t.Fatal(err)
	}
	if after := rules(); after != before {
		t.Errorf("rules before:\n%s\nafter:\n%s", before, after)
	}
	// Nor does one leave its rule that began before the proxy.
	own := " KUBE-SERVICES -d " + nodeIP + "/32 -p tcp -m tcp --dport 443 -j "
	if out, err := exec.Command("sh", "-ec", "iptables -t nat -I"+own+"ACCEPT; iptables -I"+own+"RETURN").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := proxy.KeepReachable(netip.MustParseAddrPort(nodeIP + ":443")); err != nil {
		t.Fatal(err)
	}
	if after := rules(); after != before {
		t.Errorf("rules before:\n%s\nafter a start beside the proxy's:\n%s", before, after)
	}
	if err := proxy.KeepReachable(netip.MustParseAddrPort("192.0.2.1:443")); err != nil || rules() == before {
		t.Errorf("an API server of which the proxy has no rule: %v", err)
	}
}

// Endpoints that mean each node itself lead nowhere, whoever wrote them.
func TestNobodyIsLedToLoopback(t *testing.T) {
	c := start(t)
	nettest.ServeHTTP(t, c.own, "127.0.0.1:8080", "private")
	c.put(service("web", "10.247.0.20"), slice("web", "127.0.0.1", "169.254.1.1"))
	c.refused(c.pods["b"].ns, "10.247.0.20:80")
	// A neighbour is answered at once, by a reset: the kernel withholds ICMP messages after the redirects it sends.
	if got, err := nettest.Get(c.outside, "10.247.0.20:80", 5*second); err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("the outside: %q, %v; want connection refused", got, err)
	}
}

// What listens on a node's loopback is not reached by a neighbour, nor by a pod, whatever
// source it writes into its packets (CVE-2020-8558).
func TestNeighboursDoNotReachLoopback(t *testing.T) {
	c := start(t)
	var private net.PacketConn
	err := network.Do(c.own, func() (err error) {
		private, err = net.ListenPacket("udp4", "127.0.0.1:9999")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = private.Close() })
	send := func(ns netns.NsHandle, from, text string) {
		t.Helper()
		err := network.Do(ns, func() error {
			conn, err := net.DialUDP("udp4", &net.UDPAddr{IP: net.ParseIP(from)}, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9999})
			if err == nil {
				_, err = conn.Write([]byte(text))
				_ = conn.Close()
			}
			return err
		})
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	for _, from := range []struct {
		ns          netns.NsHandle
		gateway, ip string
	}{{c.outside, nodeIP, "192.168.77.2"}, {c.pods["a"].ns, "10.246.1.1", c.pods["a"].ip}} {
		err := network.Do(from.ns, func() error {
			out, err := exec.Command("sh", "-ec", `echo 1 > /proc/sys/net/ipv4/conf/all/route_localnet; ip addr flush dev lo
				ip addr add 127.0.0.2/32 dev eth0; ip route add 127.0.0.1/32 via `+from.gateway+` dev eth0`).CombinedOutput()
			if err != nil {
				err = fmt.Errorf("%w: %s", err, out)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		send(from.ns, from.ip, "a packet from "+from.ip)
		send(from.ns, "127.0.0.2", "a packet from "+from.ip+" as 127.0.0.2")
	}
	send(c.own, "127.0.0.1", "the last")
	buf := make([]byte, 100)
	if n, _, err := private.ReadFrom(buf); err != nil || string(buf[:n]) != "the last" {
		t.Errorf("the loopback got %q, %v", buf[:n], err)
	}
}
