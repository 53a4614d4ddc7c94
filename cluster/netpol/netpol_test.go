//go:build !quick

package netpol

import (
	"context"
	"fmt"
	"log/slog"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	v1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"

	"wheelhouse/cluster/client"
	"wheelhouse/cluster/kubelet/network"
	"wheelhouse/cluster/kubelet/network/nettest"
	"wheelhouse/cluster/netfilter"
	"wheelhouse/cluster/wait"
)

// running is an Enforcer on the objects of a fake API server.
type running struct {
	client   *fake.Clientset
	enforcer *Enforcer
	stop     func()
	repaired chan string
}

func (l *lab) objects(t testing.TB) *fake.Clientset {
	t.Helper()
	c := fake.NewClientset()
	for _, ns := range l.namespaces {
		create(t, c, ns.Name, ns)
	}
	for _, p := range l.parties {
		if p.pod != nil {
			create(t, c, p.pod.Namespace, p.pod)
		}
	}
	return c
}

func create(t testing.TB, c *fake.Clientset, ns string, obj any) {
	t.Helper()
	var err error
	switch obj := obj.(type) {
	case *v1.Namespace:
		_, err = c.CoreV1().Namespaces().Create(t.Context(), obj, metav1.CreateOptions{})
	case *v1.Pod:
		_, err = c.CoreV1().Pods(ns).Create(t.Context(), obj, metav1.CreateOptions{})
	case *networkingv1.NetworkPolicy:
		_, err = c.NetworkingV1().NetworkPolicies(ns).Create(t.Context(), obj, metav1.CreateOptions{})
	}
	if err != nil {
		t.Fatal(err)
	}
}

func run(t testing.TB, c *fake.Clientset) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	factory := client.Informers(c)
	repaired := make(chan string, 100)
	e, err := New(Config{Informers: factory, NodeName: thisNode, Repaired: func(what string) { repaired <- what }, Attached: isAttached, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	factory.Start(ctx.Done())
	var done sync.WaitGroup
	done.Go(func() { _ = e.Run(ctx) })
	r := &running{client: c, enforcer: e, repaired: repaired, stop: func() { cancel(); done.Wait() }}
	t.Cleanup(r.stop)
	select {
	case <-e.Ready():
	case <-time.After(time.Minute):
		t.Fatal("the rules are not written")
	}
	return r
}

func isAttached(pod types.UID) bool { return network.Attached(string(pod)) }

// reaches waits until packets from one party to another's TCP port 80 arrive, or no longer do.
func (l *lab) reaches(t testing.TB, from, to string, want bool) {
	t.Helper()
	find := func(name string) *party {
		return l.parties[slices.IndexFunc(l.parties, func(p *party) bool { return p.name == name })]
	}
	p := packet{find(from), find(to), v1.ProtocolTCP, 80}
	patience := silence
	if want {
		patience = 5 * time.Second
	}
	wait.For(t, fmt.Sprintf("%s answers: %v", p, want), func() error {
		return wait.Seen(p.send(patience) == want, "not so")
	})
}

// Changes of policies, pods and namespaces reach the packets; what another process removes is written again, and a restart, whatever it
// finds, keeps to what is stored now.
func TestEnforcer(t *testing.T) {
	l := newLab(t)
	c := l.objects(t)
	r := run(t, c)
	l.reaches(t, "y/a", "x/a", true)
	deny := policies(t, "x: {podSelector: {}}", "x: {podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: red}}, podSelector: {matchLabels: {role: client}}}]}]}")
	create(t, c, "x", deny[0])
	l.reaches(t, "y/a", "x/a", false)
	l.reaches(t, "node", "x/a", true)
	create(t, c, "x", deny[1])
	client := l.parties[2].pod.DeepCopy()
	client.Labels["role"] = "client"
	if _, err := c.CoreV1().Pods("y").Update(t.Context(), client, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	l.reaches(t, "y/a", "x/a", false) // its namespace has no team yet
	red := l.namespaces[1].DeepCopy()
	red.Labels["team"] = "red"
	if _, err := c.CoreV1().Namespaces().Update(t.Context(), red, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	l.reaches(t, "y/a", "x/a", true)
	l.reaches(t, "y/b", "x/a", false)

	if out, err := exec.CommandContext(t.Context(), "iptables", "-w", "-t", "mangle", "-F").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	l.reaches(t, "y/b", "x/a", true)
	l.reaches(t, "y/b", "x/a", false) // within the time of a check
	r.stop()

	if err := c.NetworkingV1().NetworkPolicies("x").Delete(t.Context(), deny[1].Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := netlink.IpsetCreate(setPrefix+"LEFT", netfilter.Addresses, netlink.IpsetCreateOptions{}); err != nil {
		t.Fatal(err)
	}
	l.reaches(t, "y/a", "x/a", true) // rules outlive the process
	r = run(t, c)
	l.reaches(t, "y/a", "x/a", false)
	if left, err := netlink.IpsetListAll(); err != nil || slices.ContainsFunc(left, func(s netlink.IPSetResult) bool { return s.SetName == setPrefix+"LEFT" }) {
		t.Errorf("a set of an earlier process is left: %v", err)
	}
	r.stop()
	if err := Cleanup(t.Context()); err != nil {
		t.Fatal(err)
	}
	l.reaches(t, "y/a", "x/a", true)
	if out, err := exec.CommandContext(t.Context(), "iptables-save").Output(); err != nil || strings.Contains(string(out), "NETPOL") {
		t.Errorf("rules are left: %v\n%s", err, out)
	}
	if left, err := netlink.IpsetListAll(); err != nil || len(left) > 0 {
		t.Errorf("sets are left: %d, %v", len(left), err)
	}
}

// Whatever another program removes of the jumps, the rules or the sets, or adds to them, policies are in force again within
// ten seconds, and that is reported.
func TestPoliciesAreRepaired(t *testing.T) {
	l := newLab(t)
	c := l.objects(t)
	create(t, c, "x", policies(t, "x: {podSelector: {}, ingress: [{from: [{podSelector: {}}]}]}")[0])
	r := run(t, c)
	l.reaches(t, "y/a", "x/a", false)
	l.reaches(t, "x/b", "x/a", true)
	iptables := func(args string) func() error {
		return func() error {
			out, err := exec.CommandContext(t.Context(), "iptables", append([]string{"-w", "-t", "mangle"}, strings.Fields(args)...)...).CombinedOutput()
			if err != nil {
				err = fmt.Errorf("%w: %s", err, out)
			}
			return err
		}
	}
	sets, err := netlink.IpsetListAll()
	if err != nil || len(sets) < 2 {
		t.Fatalf("%d sets, %v", len(sets), err)
	}
	damages := map[string]func() error{
		"no jump": iptables("-F FORWARD"), "no rules": iptables("-F KUBE-NETPOL-IN"), "another rule": iptables("-I KUBE-NETPOL -j ACCEPT"), "no table": iptables("-F"),
	}
	for _, set := range sets {
		damages["no member of "+set.SetName] = func() error { return netlink.IpsetFlush(set.SetName) }
	}
	for name, damage := range damages {
		if err := damage(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		wait.Within(t, 10*time.Second, "a repair after "+name, func() error {
			select {
			case what := <-r.repaired:
				return wait.Seen(what == "rules of network policies", what)
			default:
				return wait.Seen(false, "none")
			}
		})
		l.reaches(t, "y/a", "x/a", false)
		l.reaches(t, "x/b", "x/a", true)
	}
}

// A policy does not keep a pod from itself, which it reaches through a service with the node's address.
func TestPodReachesItself(t *testing.T) {
	l := newLab(t)
	a := l.parties[0]
	for _, rule := range []string{ // what the service proxy writes
		"-A PREROUTING -s " + a.ip + " -d 10.247.0.9 -j MARK --set-xmark 0x4000/0x4000",
		"-A PREROUTING -d 10.247.0.9 -p tcp --dport 80 -j DNAT --to-destination " + a.ip + ":80",
		"-A POSTROUTING -m mark --mark 0x4000/0x4000 -j MASQUERADE",
	} {
		if out, err := exec.CommandContext(t.Context(), "iptables", append([]string{"-w", "-t", "nat"}, strings.Fields(rule)...)...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", rule, err, out)
		}
	}
	t.Cleanup(func() {
		if out, err := exec.Command("iptables", "-w", "-t", "nat", "-F").CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
	l.apply(t, policies(t, "x: {podSelector: {}, policyTypes: [Ingress, Egress]}"))
	wait.For(t, "the pod to reach itself", func() error {
		_, err := nettest.Get(a.ns, "10.247.0.9:80", 5*time.Second)
		return err
	})
	if got, err := nettest.Get(l.parties[1].ns, "10.247.0.9:80", silence); err == nil {
		t.Errorf("another pod gets %q", got)
	}
}

// BenchmarkChangeAmong100Policies is the time from the write of a policy, among 100 and 500 pods, until it is in force on a node with 50 of them.
func BenchmarkChangeAmong100Policies(b *testing.B) {
	c := fake.NewClientset()
	s := manyPolicies(b, 100, 500)
	for _, ns := range s.Namespaces {
		create(b, c, "", ns)
	}
	for _, p := range s.Pods {
		create(b, c, p.Namespace, p)
	}
	for _, p := range s.Policies {
		create(b, c, p.Namespace, p)
	}
	run(b, c)
	b.Cleanup(func() {
		if err := Cleanup(context.Background()); err != nil {
			b.Error(err)
		}
	})
	policy := s.Policies[0].DeepCopy()
	var all []time.Duration
	for b.Loop() {
		policy.Spec.Ingress[0].Ports[0].Port.IntVal++
		policy.Generation++
		began := time.Now()
		if _, err := c.NetworkingV1().NetworkPolicies(policy.Namespace).Update(b.Context(), policy.DeepCopy(), metav1.UpdateOptions{}); err != nil {
			b.Fatal(err)
		}
		want := fmt.Sprintf("--dports %d ", policy.Spec.Ingress[0].Ports[0].Port.IntVal)
		for {
			out, err := exec.Command("iptables", "-w", "-t", "mangle", "-S").Output()
			if err != nil {
				b.Fatal(err)
			}
			took := time.Since(began)
			if strings.Contains(string(out), want) {
				all = append(all, took)
				break
			}
			if took > time.Minute {
				b.Fatalf("%q is not in force after %s", want, took)
			}
		}
	}
	slices.Sort(all)
	b.ReportMetric(float64(all[len(all)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(all[len(all)-1].Microseconds())/1000, "max-ms")
}
