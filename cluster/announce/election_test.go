package announce

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"wheelhouse/cluster/api/servicefacts"
)

func node(name string, status v1.ConditionStatus, edit ...func(*v1.Node)) *v1.Node {
	n := &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: v1.NodeStatus{Conditions: []v1.NodeCondition{{Type: v1.NodeReady, Status: status}}}}
	for _, e := range edit {
		e(n)
	}
	return n
}

func service(name string, policy v1.ServiceExternalTrafficPolicy, ips ...string) *v1.Service {
	s := &v1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}, Spec: v1.ServiceSpec{ExternalTrafficPolicy: policy}}
	s.Status.Conditions = []metav1.Condition{{Type: servicefacts.FromPool, Status: metav1.ConditionTrue}}
	for _, ip := range ips {
		s.Status.LoadBalancer.Ingress = append(s.Status.LoadBalancer.Ingress, v1.LoadBalancerIngress{IP: ip})
	}
	return s
}

func slice(of string, endpoints ...discovery.Endpoint) map[types.NamespacedName][]*discovery.EndpointSlice {
	return map[types.NamespacedName][]*discovery.EndpointSlice{{Namespace: "default", Name: of}: {{Endpoints: endpoints}}}
}

func endpoint(on string, ready, serving, terminating bool) discovery.Endpoint {
	return discovery.Endpoint{NodeName: &on, Conditions: discovery.EndpointConditions{Ready: &ready, Serving: &serving, Terminating: &terminating}}
}

func TestPlan(t *testing.T) {
	nodes := []*v1.Node{
		node("a", v1.ConditionTrue), node("b", v1.ConditionTrue), node("silent", v1.ConditionUnknown),
		node("excluded", v1.ConditionTrue, func(n *v1.Node) { n.Labels = map[string]string{v1.LabelNodeExcludeBalancers: ""} }),
		node("leaves", v1.ConditionTrue, func(n *v1.Node) { now := metav1.Now(); n.DeletionTimestamp = &now }),
	}
	nodes[0].Status.Addresses = []v1.NodeAddress{{Address: "192.0.2.1"}}
	foreign := service("foreign", "", "192.0.2.50")
	foreign.Status.Conditions = nil
	local := v1.ServiceExternalTrafficPolicyLocal
	tests := []struct {
		name string
		svc  *v1.Service
		of   map[types.NamespacedName][]*discovery.EndpointSlice
		want string // the candidates by name, of each address
	}{
		{"all ready nodes", service("s", "", "192.0.2.7", "2001:db8::7"), nil, "map[192.0.2.7:[a b] 2001:db8::7:[a b]]"},
		{"another controller's", foreign, nil, "map[]"},
		{"a node's own address", service("s", "", "192.0.2.1"), nil, "map[]"},
		{"Local without endpoints", service("s", local, "192.0.2.7"), nil, "map[192.0.2.7:[]]"},
		{"Local", service("s", local, "192.0.2.7"), slice("s", endpoint("b", true, true, false), endpoint("a", false, false, false)), "map[192.0.2.7:[b]]"},
		{"Local, terminating", service("s", local, "192.0.2.7"), slice("s", endpoint("a", false, true, true), endpoint("b", false, false, true)), "map[192.0.2.7:[a]]"},
		{"Local on a node that is not ready", service("s", local, "192.0.2.7"), slice("s", endpoint("silent", true, true, false)), "map[192.0.2.7:[]]"},
	}
	for _, tt := range tests {
		got := map[string][]string{}
		for ip, a := range plan(snapshot{services: []*v1.Service{tt.svc}, slices: tt.of, nodes: nodes}) {
			slices.Sort(a.candidates)
			got[ip.String()] = a.candidates
		}
		if fmt.Sprint(got) != tt.want {
			t.Errorf("%s: %v, want %s", tt.name, got, tt.want)
		}
	}
}

// Addresses spread over nodes, and a node that goes moves its own only.
func TestRanked(t *testing.T) {
	first := map[string]int{}
	for i := range 90 {
		ip := netip.AddrFrom4([4]byte{192, 0, 2, byte(i)})
		all := ranked(ip, []string{"a", "b", "c"})
		first[all[0]]++
		if left := ranked(ip, []string{"c", "b"}); all[0] != "a" && left[0] != all[0] {
			t.Errorf("%s moved from %s to %s when a went", ip, all[0], left[0])
		}
	}
	for _, n := range []string{"a", "b", "c"} {
		if first[n] < 15 {
			t.Errorf("%v", first)
		}
	}
}

// election is some nodes' claims for one address, on a link on which all hear each other unless
// they are cut off, and a clock.
type election struct {
	now    time.Time
	claims map[string]*claim
	cut    map[string]bool
	dead   map[string]bool
}

func newElection(names ...string) *election {
	e := &election{now: time.Unix(1_000_000, 0), claims: map[string]*claim{}, cut: map[string]bool{}, dead: map[string]bool{}}
	for rank, n := range names {
		c := &claim{address: address{candidates: names}, rank: rank}
		c.begin(e.now)
		e.claims[n] = c
	}
	return e
}

// run passes time until done, and returns how long it took, and for how long of it nobody answered,
// and several did.
func (e *election) run(limit time.Duration, done func() bool) (took, nobody, several time.Duration) {
	for ; took < limit && !done(); took += tick {
		e.now = e.now.Add(tick)
		for _, n := range e.names() {
			if !e.dead[n] && e.claims[n].step(e.now) {
				e.say(n)
			}
		}
		switch len(e.holders()) {
		case 0:
			nobody += tick
		case 1:
		default:
			several += tick
		}
	}
	return took, nobody, several
}

func (e *election) names() (names []string) {
	for n := range e.claims {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

func (e *election) say(from string) {
	for _, n := range e.names() {
		if n != from && !e.dead[n] && !e.cut[n] && !e.cut[from] && e.claims[n].hear(e.now, from) {
			e.say(n)
		}
	}
}

func (e *election) holders() (list []string) {
	for _, n := range e.names() {
		if e.claims[n].holds && !e.dead[n] {
			list = append(list, n)
		}
	}
	return list
}

func (e *election) only(name string) func() bool {
	return func() bool { return slices.Equal(e.holders(), []string{name}) }
}

func TestElection(t *testing.T) {
	e := newElection("a", "b", "c")
	never := func() bool { return false }
	if took, _, _ := e.run(time.Minute, e.only("a")); took > time.Second {
		t.Errorf("the first answer after %v", took)
	}
	if _, nobody, several := e.run(time.Minute, never); nobody+several > 0 || !e.only("a")() {
		t.Errorf("in a quiet minute nobody answered for %v, several for %v, at last %v", nobody, several, e.holders())
	}
	// The holder dies: the next one answers, and goes on when the first one is back.
	e.dead["a"] = true
	if took, _, several := e.run(time.Minute, e.only("b")); took > 2500*time.Millisecond || several > 0 {
		t.Errorf("b took over after %v; several answered for %v", took, several)
	}
	e.dead["a"] = false
	e.claims["a"].begin(e.now)
	if _, nobody, several := e.run(time.Minute, never); nobody+several > 0 || !e.only("b")() {
		t.Errorf("a is back: nobody answered for %v, several for %v, at last %v", nobody, several, e.holders())
	}
	// b is cut off from the link with nothing to see it by, and is back.
	e.cut["b"] = true
	if took, _, _ := e.run(time.Minute, func() bool { return e.claims["a"].holds }); took > 2500*time.Millisecond {
		t.Errorf("a took over after %v", took)
	}
	e.cut["b"] = false
	if took, _, _ := e.run(time.Minute, e.only("a")); took > announceEvery {
		t.Errorf("two answered for %v", took)
	}
	// A candidate no more: another one answers.
	e.claims["a"].rank = -1
	if took, _, several := e.run(time.Minute, e.only("b")); took > 2500*time.Millisecond || several > 0 {
		t.Errorf("b took over after %v; several answered for %v", took, several)
	}
	// The endpoints move to c, which all nodes see: nobody waits for silence.
	for n, rank := range map[string]int{"a": -1, "b": -1, "c": 0} {
		e.claims[n].candidates, e.claims[n].rank = []string{"c"}, rank
	}
	if took, _, several := e.run(time.Minute, e.only("c")); took > 2*tick || several > 0 {
		t.Errorf("c took over after %v; several answered for %v", took, several)
	}
}

// Whatever others send, a node defends its address a bounded number of times.
func TestDefend(t *testing.T) {
	c := &claim{address: address{candidates: []string{"a", "b"}}, holds: true}
	now, sent := time.Unix(1_000_000, 0), 0
	for range 10_000 {
		now = now.Add(100 * time.Microsecond)
		if c.hear(now, "b") {
			sent++
		}
	}
	if sent < 9 || sent > 10 {
		t.Errorf("%d announcements in a second", sent)
	}
	if c.hear(now, "unknown"); !c.holds {
		t.Error("a node that is no candidate made it stop")
	}
}
