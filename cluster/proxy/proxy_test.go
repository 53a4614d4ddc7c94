//go:build !quick

package proxy_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netns"
	v1 "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/cluster/kubelet/network"
	"wheelhouse/cluster/kubelet/network/nettest"
	"wheelhouse/cluster/proxy"
	"wheelhouse/cluster/wait"
)

func TestMain(m *testing.M) { os.Exit(nettest.Main(m)) }

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
	wait.For(t, "only the endpoint that is left", func() error {
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
	wait.For(t, "no answer of the deleted service", func() error {
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
	wait.For(c.t, name+" at "+addr, func() error {
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
	// Without traffic for longer than the timeout, it is spread again.
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
	t.Errorf("after twenty timeouts always %v", seen)
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
			wait.For(t, want+" to answer "+name, func() error {
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
	wait.For(t, "silence", func() error {
		if got, err := nettest.Get(c.outside, nodeIP+":30080", 100*time.Millisecond); err == nil || !strings.Contains(err.Error(), "exceeded") && !strings.Contains(err.Error(), "timeout") {
			return fmt.Errorf("%q, %v; want silence", got, err)
		}
		return nil
	})
}

// Slices and services that bear the label of headless ones lead nobody anywhere.
func TestHeadlessLabel(t *testing.T) {
	c := start(t)
	a, b := c.pods["a"], c.pods["b"]
	c.put(service("web", "10.247.0.20"), slice("web", a.ip))
	c.answers(b.ns, "10.247.0.20:80", "a "+b.ip)
	labelled := slice("web", a.ip)
	labelled.Labels[v1.IsHeadlessService] = ""
	c.put(nil, labelled)
	c.refused(b.ns, "10.247.0.20:80")
	c.put(nil, slice("web", a.ip))
	c.answers(b.ns, "10.247.0.20:80", "a "+b.ip)
	svc := service("web", "10.247.0.20", func(s *v1.Service) { s.Labels = map[string]string{v1.IsHeadlessService: ""} })
	if _, err := c.client.CoreV1().Services("default").Update(t.Context(), svc, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	wait.For(t, "no answer", func() error {
		if got, err := nettest.Get(b.ns, "10.247.0.20:80", 100*time.Millisecond); err == nil {
			return fmt.Errorf("still answered by %q", got)
		}
		return nil
	})
}

// A load balancer sends its traffic to the nodes that have ready endpoints: each node
// reports separately whether it has.
func TestHealthCheckNodePort(t *testing.T) {
	c := start(t)
	balanced := func(s *v1.Service) {
		nodePorts(s)
		s.Spec.Type, s.Spec.ExternalTrafficPolicy = v1.ServiceTypeLoadBalancer, v1.ServiceExternalTrafficPolicyLocal
		s.Spec.HealthCheckNodePort = 30099
	}
	expect := func(code int, weight string) {
		t.Helper()
		wait.For(t, fmt.Sprintf("%d of the health check", code), func() error {
			resp, err := nettest.Client(c.outside, second).Get("http://" + nodeIP + ":30099/healthz")
			if err != nil {
				return err
			}
			_ = resp.Body.Close()
			if got := resp.Header.Get("X-Load-Balancing-Endpoint-Weight"); resp.StatusCode != code || got != weight {
				return fmt.Errorf("%s with %s endpoints, want %d with %s", resp.Status, got, code, weight)
			}
			return nil
		})
	}
	c.put(service("web", "10.247.0.20", balanced), slice("web", c.pods["a"].ip, c.pods["b"].ip, "10.246.9.9@minion-2"))
	expect(200, "2")
	leaving := slice("web", c.pods["a"].ip, "10.246.9.9@minion-2")
	yes, no := true, false
	leaving.Endpoints[0].Conditions = discovery.EndpointConditions{Ready: &no, Serving: &yes, Terminating: &yes}
	c.put(nil, leaving)
	expect(503, "0")
	c.answers(c.outside, nodeIP+":30080", "a 192.168.77.2") // until the balancers have heard, it serves
	if err := c.client.CoreV1().Services("default").Delete(t.Context(), "web", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	c.refused(c.outside, nodeIP+":30099")
}

func TestProxyTellsHowItDoes(t *testing.T) {
	c := start(t)
	for address, want := range map[string]string{
		nodeIP + ":10256/healthz":   "lastUpdated",
		"127.0.0.1:10249/proxyMode": "iptables",
	} {
		resp, err := nettest.Client(c.own, second).Get("http://" + address)
		if err != nil {
			t.Error(err)
			continue
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != 200 || !strings.Contains(string(body), want) {
			t.Errorf("%s: %s %q, %v; want %q", address, resp.Status, body, err, want)
		}
	}
}

// The kernel keeps a connection whose one side is closed for an hour, not a minute.
func TestHalfClosedConnectionsAreKept(t *testing.T) {
	start(t)
	got, err := os.ReadFile("/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_close_wait")
	if err != nil || strings.TrimSpace(string(got)) != "3600" {
		t.Errorf("%q, %v; want 3600 seconds", got, err)
	}
}

// A service that prefers its clients' node is served there, as long as the node has an endpoint.
func TestPreferSameNode(t *testing.T) {
	c := start(t)
	a, b := c.pods["a"], c.pods["b"]
	hinted := func(s *discovery.EndpointSlice) *discovery.EndpointSlice {
		for i := range s.Endpoints {
			s.Endpoints[i].Hints = &discovery.EndpointHints{ForNodes: []discovery.ForNode{{Name: *s.Endpoints[i].NodeName}}}
		}
		return s
	}
	c.put(service("web", "10.247.0.20"), hinted(slice("web", a.ip, b.ip+"@minion-2"))) // b only claims to be elsewhere
	c.answers(c.own, "10.247.0.20:80", "a 10.246.1.1")
	for range 15 {
		c.answers(c.own, "10.247.0.20:80", "a 10.246.1.1")
	}
	c.put(nil, hinted(slice("web", b.ip+"@minion-2")))
	c.answers(c.own, "10.247.0.20:80", "b 10.246.1.1")
}

// The zone is that of the node's label, also when the label is set later.
func TestPreferSameZone(t *testing.T) {
	c := start(t)
	a, b := c.pods["a"], c.pods["b"]
	hinted := slice("web", a.ip+"@minion-3", b.ip+"@minion-2")
	for i, zone := range []string{"east", "west"} {
		hinted.Endpoints[i].Hints = &discovery.EndpointHints{ForZones: []discovery.ForZone{{Name: zone}}}
	}
	c.put(service("web", "10.247.0.20"), hinted)
	c.answersOneOf(c.own, "10.247.0.20:80", "b")
	c.answersOneOf(c.own, "10.247.0.20:80", "a")
	nodes := c.client.CoreV1().Nodes()
	_, err := nodes.Create(t.Context(), &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: "minion-1", Labels: map[string]string{v1.LabelTopologyZone: "west"}}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	// By chance b answers without the zone too; not twenty times, though.
	wait.For(t, "only the endpoint of the zone", func() error {
		for range 20 {
			if got, err := nettest.Get(c.own, "10.247.0.20:80", second); err != nil || got[:1] != "b" {
				return fmt.Errorf("another zone gets traffic: %q, %v", got, err)
			}
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
		// The proxy may write a jump between the two commands: then its chain cannot be deleted.
		wait.For(t, "the tables to be empty", func() error {
			out, err := exec.Command("sh", "-c", "iptables -t nat -F; iptables -t nat "+flush).CombinedOutput()
			if err != nil {
				err = fmt.Errorf("%w: %s", err, out)
			}
			return err
		})
		wait.For(t, "an answer", func() error {
			_, err := nettest.Get(b.ns, "10.247.0.20:80", 200*time.Millisecond)
			return err
		})
	}
	c.stop()
	if err := proxy.Cleanup(t.Context()); err != nil {
		t.Error(err)
	}
	if out, _ := exec.Command("iptables-save").CombinedOutput(); strings.Contains(string(out), "KUBE-") {
		t.Errorf("left after cleanup:\n%s", out)
	}
}

// Whatever another program removes of the rules is there again within ten seconds, and reported.
func TestRulesAreRepaired(t *testing.T) {
	c := start(t)
	a, b := c.pods["a"], c.pods["b"]
	c.put(service("web", "10.247.0.20", nodePorts), slice("web", a.ip))
	c.answers(b.ns, "10.247.0.20:80", "a "+b.ip)
	for _, damage := range []string{
		"iptables -t nat -F KUBE-SERVICES", "iptables -t nat -F PREROUTING", "iptables -t nat -F KUBE-NODEPORTS", "iptables -t nat -F POSTROUTING",
		"iptables -t nat -F $(iptables -t nat -S | grep -o -m 1 'KUBE-SVC-[A-Z0-9]*')", "iptables -F KUBE-FIREWALL",
		"iptables -t nat -I KUBE-SERVICES -j RETURN", "iptables -t nat -F",
		"iptables -t nat -R $(iptables -t nat -S | grep -o -m 1 'KUBE-SEP-[A-Z0-9]*') 2 -p tcp -m tcp -j DNAT --to-destination 10.246.9.9:80",
	} {
		if out, err := exec.Command("sh", "-ec", damage).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", damage, err, out)
		}
		wait.Within(t, 10*time.Second, "a repair after "+damage, func() error {
			select {
			case what := <-c.repaired:
				return wait.Seen(what == "service rules", what)
			default:
				return wait.Seen(false, "none")
			}
		})
		c.answers(b.ns, "10.247.0.20:80", "a "+b.ip)
		c.answers(c.outside, nodeIP+":30080", "a 10.246.1.1")
	}
	select {
	case what := <-c.repaired:
		t.Errorf("repaired once more: %s", what)
	default:
	}
}

// A client that takes the same port again is not sent to the endpoint that did not answer it, and is none any more.
func TestUnansweredConnections(t *testing.T) {
	c := start(t)
	silent, answers := c.pods["a"], c.pods["b"]
	err := network.Do(silent.ns, func() error {
		out, err := exec.Command("iptables", "-A", "INPUT", "-p", "tcp", "--dport", "8080", "-j", "DROP").CombinedOutput()
		if err != nil {
			err = fmt.Errorf("%w: %s", err, out)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	connect := func(from netns.NsHandle, timeout time.Duration) error {
		return network.Do(from, func() error {
			d := net.Dialer{Timeout: timeout, LocalAddr: &net.TCPAddr{Port: 33333}}
			conn, err := d.Dial("tcp4", "10.247.0.10:80")
			if err == nil {
				_ = conn.Close()
			}
			return err
		})
	}
	clients := map[string]netns.NsHandle{"a pod": c.pods["c"].ns, "the node": c.own, "the outside": c.outside}
	c.put(service("web", "10.247.0.10"), slice("web", answers.ip))
	c.answers(c.own, "10.247.0.10:80", "b 10.246.1.1")
	c.put(nil, slice("web", silent.ip))
	wait.For(t, "the endpoint that is silent", func() error {
		if got, err := nettest.Get(c.pods["c"].ns, "10.247.0.10:80", second); err == nil {
			return fmt.Errorf("answered by %s", got)
		}
		return nil
	})
	for name, from := range clients {
		if err := connect(from, second); err == nil {
			t.Fatalf("%s is answered", name)
		}
	}
	c.put(nil, slice("web", answers.ip))
	c.answers(c.own, "10.247.0.10:80", "b 10.246.1.1")
	for name, from := range clients {
		if err := connect(from, 10*second); err != nil {
			t.Errorf("%s, from the port that it had before: %v", name, err)
		}
	}
}
