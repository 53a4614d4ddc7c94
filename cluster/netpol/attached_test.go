//go:build !quick

package netpol

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"wheelhouse/cluster/kubelet/network/nettest"
	"wheelhouse/cluster/netfilter"
	"wheelhouse/cluster/wait"
)

// starts attaches a pod whose status has no address yet.
func (l *lab) starts(t *testing.T, name string) *party {
	t.Helper()
	pid, ns, _ := nettest.Process(t)
	ip, err := l.network.Attach(t.Context(), "x/"+name, pid, netip.Addr{})
	if err != nil {
		t.Fatal(err)
	}
	p := &party{name: "x/" + name, ns: ns, ip: ip.String(), pod: labPod("x", name)}
	nettest.ServeHTTP(t, ns, ":80", p.name)
	l.parties = append(l.parties, p)
	return p
}

func (l *lab) party(name string) *party {
	return l.parties[slices.IndexFunc(l.parties, func(p *party) bool { return p.name == name })]
}

// Policies hold for a pod that starts before the API server has its address, from its first packet on.
func TestStarting(t *testing.T) {
	l := newLab(t)
	c := l.objects(t)
	create(t, c, "x", policies(t, "x: {podSelector: {matchLabels: {pod: c}}, policyTypes: [Ingress, Egress]}")[0])
	r := run(t, c)
	p := l.starts(t, "c")
	create(t, c, "x", p.pod)
	l.reaches(t, "x/c", "y/a", true) // nothing isolates it so far
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := r.enforcer.Starting(ctx, p.pod, netip.MustParseAddr(p.ip)); err != nil {
		t.Fatal(err)
	}
	for _, of := range [][2]*party{{p, l.party("y/a")}, {l.party("y/a"), p}} {
		if (packet{of[0], of[1], v1.ProtocolTCP, 80}).send(silence) {
			t.Errorf("%s reaches %s after its start", of[0].name, of[1].name)
		}
	}
	l.reaches(t, "node", "x/c", true)
	// Its status comes later, and changes nothing.
	p.pod.Status.PodIP = p.ip
	if _, err := c.CoreV1().Pods("x").UpdateStatus(t.Context(), p.pod, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	l.reaches(t, "y/a", "x/c", false)

	// A pod that no policy selects does not wait, and one whose rules nobody writes waits for as long as it may.
	r.stop()
	ended, end := context.WithCancel(t.Context())
	end()
	if err := r.enforcer.Starting(ended, l.party("x/a").pod, netip.MustParseAddr(l.party("x/a").ip)); err != nil {
		t.Errorf("without policies: %v", err)
	}
	if err := r.enforcer.Starting(ended, p.pod, netip.MustParseAddr(p.ip)); !errors.Is(err, context.Canceled) {
		t.Errorf("no rules are written: %v", err)
	}
}

// A node that cannot write rules, as its kernel has no sets, does not delay its pods.
func TestStartingWhereNothingIsEnforced(t *testing.T) {
	e := &Enforcer{cfg: Config{NodeName: thisNode, Attached: func(types.UID) bool { return true }}, changes: netfilter.NewChanges(), ready: make(chan struct{})}
	e.attached.pods, e.attached.recheck = map[types.UID]attachedPod{}, time.AfterFunc(time.Hour, func() {})
	defer e.attached.recheck.Stop()
	e.synced = []cache.InformerSynced{func() bool { return false }} // any policy may select the pod
	failure := errors.New("no sets")
	e.end(nil, failure)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- e.Starting(ctx, labPod("x", "a"), netip.MustParseAddr("10.246.1.9")) }()
	<-e.changes
	_, waiting := e.begin(nil)
	e.end(waiting, failure)
	if err := <-done; !errors.Is(err, failure) || ctx.Err() != nil {
		t.Errorf("after two failures: %v", err)
	}
	if err := e.Starting(ctx, labPod("x", "b"), netip.MustParseAddr("10.246.1.10")); !errors.Is(err, failure) || ctx.Err() != nil {
		t.Errorf("the next pod: %v", err)
	}
}

// A static pod is known at the API server by its mirror, which has another uid: nothing is looked at again for it.
func TestStaticPod(t *testing.T) {
	e := &Enforcer{cfg: Config{NodeName: thisNode, Attached: func(types.UID) bool { return true }}}
	e.attached.pods = map[types.UID]attachedPod{}
	rechecks := make(chan struct{}, 10)
	e.attached.recheck = time.AfterFunc(time.Hour, func() { rechecks <- struct{}{} })
	e.attached.recheck.Stop()
	e.attach(labPod("x", "static"), netip.MustParseAddr("10.246.1.9"))
	mirror := withAddress(labPod("x", "static"), "10.246.1.9")
	mirror.UID = "mirror"
	pods, _ := e.begin([]*v1.Pod{mirror})
	if len(pods) != 1 || pods[0].UID != "mirror" {
		t.Errorf("the rules are made from %v", pods)
	}
	if e.attached.recheck.Stop() {
		t.Error("the pods are looked at again")
	}
	mirror.Status.PodIP = ""
	if pods, _ = e.begin([]*v1.Pod{mirror}); len(pods) != 2 {
		t.Errorf("while the mirror has no address the rules are made from %v", pods)
	}
	select {
	case <-rechecks:
	case <-time.After(time.Minute):
		t.Error("the pods are not looked at again while the mirror has no address")
	}
}

// A pod that is deleted by force, or has just terminated, is isolated until its interface is gone.
func TestPodsAreIsolatedUntilTheyAreGone(t *testing.T) {
	l := newLab(t)
	c := l.objects(t)
	create(t, c, "x", policies(t, "x: {podSelector: {}, policyTypes: [Ingress, Egress]}")[0])
	r := run(t, c)
	l.reaches(t, "x/a", "y/a", false)
	if err := c.CoreV1().Pods("x").Delete(t.Context(), "a", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	failed := l.party("x/b").pod.DeepCopy()
	failed.Status.Phase = v1.PodFailed
	if _, err := c.CoreV1().Pods("x").UpdateStatus(t.Context(), failed, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	barrier := policies(t, "y: {podSelector: {}, policyTypes: [Ingress]}")[0]
	create(t, c, "y", barrier)
	l.reaches(t, "outside", "y/a", false) // so that both are in what the rules are made from
	if err := c.NetworkingV1().NetworkPolicies("y").Delete(t.Context(), barrier.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	l.reaches(t, "outside", "y/a", true)
	for _, name := range []string{"x/a", "x/b"} {
		l.reaches(t, name, "y/a", false)
		if (packet{l.party("y/a"), l.party(name), v1.ProtocolTCP, 80}).send(silence) {
			t.Errorf("%s is reached", name)
		}
		if err := l.network.Detach(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	wait.For(t, "the addresses to be free", func() error {
		sets, err := netlink.IpsetListAll()
		if err != nil {
			return err
		}
		for _, set := range sets {
			for _, have := range set.Entries {
				if ip, _ := netip.AddrFromSlice(have.IP); ip.String() == l.party("x/a").ip || ip.String() == l.party("x/b").ip {
					return wait.Seen(false, set.SetName, ip)
				}
			}
		}
		return nil
	})
	select {
	case what := <-r.repaired:
		t.Errorf("%s are said to be repaired", what)
	default:
	}
}
