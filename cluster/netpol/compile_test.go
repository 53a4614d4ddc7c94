//go:build !quick

package netpol

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func testPod(name, ip string, change ...func(*v1.Pod)) *v1.Pod {
	ns, name, _ := strings.Cut(name, "/")
	p := labPod(ns, name)
	p.Status = v1.PodStatus{Phase: v1.PodRunning, PodIP: ip}
	for _, f := range change {
		f(p)
	}
	return p
}

func snapshot(t testing.TB, pods []*v1.Pod, texts ...string) Snapshot {
	t.Helper()
	s := Snapshot{Policies: policies(t, texts...), Pods: pods}
	for _, ns := range []string{"x", "y", "kube-system"} {
		s.Namespaces = append(s.Namespaces, &v1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns, Labels: map[string]string{"ns": ns}}})
	}
	return s
}

// shown returns chains and sets with names that are easy to read: sets by their members.
func shown(r *Ruleset) string {
	var replace []string
	for name, set := range r.Sets {
		var members []string
		for m := range set.Members {
			text := strings.TrimSuffix(m.Prefix.String(), "/32")
			if m.Port != 0 {
				text += fmt.Sprintf(",%d:%d", m.Protocol, m.Port)
			}
			members = append(members, text)
		}
		slices.Sort(members)
		replace = append(replace, name, "{"+strings.Join(members, " ")+"}")
	}
	n := 0
	for _, chain := range slices.Sorted(maps.Keys(r.Chains)) {
		if strings.HasPrefix(chain, inPrefix) || strings.HasPrefix(chain, outPrefix) {
			n++
			replace = append(replace, chain, fmt.Sprintf("%s%d", chain[:len(inPrefix)], n))
		}
	}
	var all strings.Builder
	for _, chain := range slices.Sorted(maps.Keys(r.Chains)) {
		all.WriteString(r.Chains[chain])
	}
	text := strings.NewReplacer(replace...).Replace(all.String())
	for _, noise := range []string{"-m comment --comment ", "-m conntrack ", "-m set --match-set "} {
		text = strings.ReplaceAll(text, noise, "")
	}
	return text
}

// Only pods of the node have chains, each group under the same policies one; a pod is a peer until it has terminated.
func TestCompile(t *testing.T) {
	pods := []*v1.Pod{
		testPod("x/a", "10.246.1.2"), testPod("x/b", "10.246.1.3", func(p *v1.Pod) { p.DeletionTimestamp = &metav1.Time{} }),
		testPod("x/far", "10.246.2.2", func(p *v1.Pod) { p.Spec.NodeName = "minion-2" }),
		testPod("x/done", "10.246.1.4", func(p *v1.Pod) { p.Status.Phase = v1.PodSucceeded }),
		testPod("x/host", "192.168.0.1", func(p *v1.Pod) { p.Spec.HostNetwork = true }),
		testPod("x/new", ""), testPod("x/six", "fd00::1"), testPod("y/a", "10.246.1.5"),
	}
	s := snapshot(t, pods,
		"x: {podSelector: {}, ingress: [{from: [{podSelector: {}}], ports: [{port: 80}, {port: http}, {port: 1, endPort: 9, protocol: UDP}, {port: 1, protocol: SCTP}]}]}",
		"y: {podSelector: {matchLabels: {pod: none}}}")
	want := `-A KUBE-NETPOL --ctstate RELATED,ESTABLISHED -j RETURN
-A KUBE-NETPOL -m mark --mark 0x4000/0x4000 -j KUBE-NETPOL-SELF
-A KUBE-NETPOL -j KUBE-NETPOL-IN
-A KUBE-NETPOL-IN {10.246.1.2 10.246.1.3} dst "namespace x" -g KUBE-NPI-1
-A KUBE-NETPOL-SELF -s 10.246.1.2 -d 10.246.1.2 -j ACCEPT
-A KUBE-NETPOL-SELF -s 10.246.1.3 -d 10.246.1.3 -j ACCEPT
-A KUBE-NPI-1 {10.246.1.2,6:80 10.246.1.3,6:80 10.246.1.5,6:81 10.246.2.2,6:80} dst,dst {10.246.1.2 10.246.1.3 10.246.2.2} src "x/policy-0" -j RETURN
-A KUBE-NPI-1 -p tcp -m multiport --dports 80 {10.246.1.2 10.246.1.3 10.246.2.2} src "x/policy-0" -j RETURN
-A KUBE-NPI-1 -p udp -m multiport --dports 1:9 {10.246.1.2 10.246.1.3 10.246.2.2} src "x/policy-0" -j RETURN
-A KUBE-NPI-1 -j DROP
`
	if got := shown(Compile(thisNode, s)); got != want {
		t.Errorf("rules\n%s\nwant\n%s", got, want)
	}
	r := rand.New(rand.NewPCG(1, 1))
	first := Compile(thisNode, s)
	for range 20 { // whatever the order of the caches
		r.Shuffle(len(s.Pods), func(i, j int) { s.Pods[i], s.Pods[j] = s.Pods[j], s.Pods[i] })
		r.Shuffle(len(s.Policies), func(i, j int) { s.Policies[i], s.Policies[j] = s.Policies[j], s.Policies[i] })
		if again := Compile(thisNode, s); !maps.Equal(again.Chains, first.Chains) || len(again.Sets) != len(first.Sets) {
			t.Fatalf("rules\n%s\nand in another order\n%s", shown(first), shown(again))
		}
	}
	if none := Compile(thisNode, snapshot(t, pods)); shown(none) != "" || len(none.Sets) != 0 {
		t.Errorf("without policies:\n%s%v", shown(none), none.Sets)
	}
}

// A pod that comes, goes or changes its labels changes members of sets, and rules only where nobody was under the same policies.
func TestPodsChangeSetsOnly(t *testing.T) {
	rule := "x: {podSelector: {matchExpressions: [{key: pod, operator: NotIn, values: [free]}]}, ingress: [{from: [{namespaceSelector: {matchLabels: {ns: 'y'}}}]}]}"
	before := Compile(thisNode, snapshot(t, []*v1.Pod{testPod("x/a", "10.246.1.2"), testPod("y/a", "10.246.2.2")}, rule))
	after := Compile(thisNode, snapshot(t, []*v1.Pod{testPod("x/a", "10.246.1.2"), testPod("y/a", "10.246.2.2"), testPod("y/b", "10.246.3.3"), testPod("x/free", "10.246.1.9")}, rule))
	if !maps.Equal(before.Chains, after.Chains) {
		t.Errorf("chains before\n%s\nand after\n%s", shown(before), shown(after))
	}
	if !strings.Contains(shown(Compile(thisNode, snapshot(t, []*v1.Pod{testPod("x/a", "10.246.1.2"), testPod("y/b", "10.246.3.3")}, rule))), "{10.246.3.3} src") {
		t.Error("the new peer is in no set")
	}
}

// The cluster's DNS, which is no pod here, is selected as the pod that it is elsewhere, at its port alone.
func TestDNSIsAPeer(t *testing.T) {
	for to, want := range map[string]bool{
		"{namespaceSelector: {matchLabels: {ns: kube-system}}, podSelector: {matchLabels: {k8s-app: kube-dns}}}": true,
		"{namespaceSelector: {}}": true,
		"{namespaceSelector: {matchLabels: {ns: kube-system}}, podSelector: {matchLabels: {k8s-app: other}}}": false,
		"{podSelector: {}}": false,
	} {
		s := snapshot(t, []*v1.Pod{testPod("x/a", "10.246.1.2")}, "x: {podSelector: {}, policyTypes: [Egress], egress: [{to: ["+to+"], ports: [{port: 53, protocol: UDP}]}]}")
		s.DNS = []netip.AddrPort{netip.MustParseAddrPort("10.99.0.2:53")}
		if got := strings.Contains(shown(Compile(thisNode, s)), "{10.99.0.2,17:53 10.99.0.2,6:53} dst,dst"); got != want {
			t.Errorf("%s selects the DNS: %v, want %v", to, got, want)
		}
	}
}

// Ranges are written without what they except, and many ports in several matches.
func TestBlocksAndPorts(t *testing.T) {
	peers := []networkingv1.NetworkPolicyPeer{
		{IPBlock: &networkingv1.IPBlock{CIDR: "10.0.0.0/8", Except: []string{"10.128.0.0/9", "10.0.0.0/9"}}},
		{IPBlock: &networkingv1.IPBlock{CIDR: "0.0.0.0/0"}},
		{IPBlock: &networkingv1.IPBlock{CIDR: "192.168.0.0/30", Except: []string{"192.168.0.1/32"}}},
		{IPBlock: &networkingv1.IPBlock{CIDR: "fd00::/8"}},
		{IPBlock: &networkingv1.IPBlock{CIDR: "010.0.0.0/8"}},
	}
	if got := fmt.Sprint(blocksOf(peers)); got != "[0.0.0.0/1 128.0.0.0/1 192.168.0.0/32 192.168.0.2/31]" {
		t.Errorf("ranges: %s", got)
	}
	var many []string
	for i := range 20 {
		many = append(many, fmt.Sprint(i+1))
	}
	got := multiport("tcp", append(many[:14:14], "100:200", "300"))
	if want := []string{"-p tcp -m multiport --dports " + strings.Join(many[:14], ","), "-p tcp -m multiport --dports 100:200,300"}; !slices.Equal(got, want) {
		t.Errorf("ports: %q", got)
	}
}

// A namespace can have any number of policies: rules are bounded, and what is left out isolates.
func TestRulesAreBounded(t *testing.T) {
	var texts []string
	for range 11 {
		text := "x: {podSelector: {}, ingress: ["
		for i := range 1000 {
			text += fmt.Sprintf("{ports: [{port: %d}]}, ", i+1)
		}
		texts = append(texts, text+"]}")
	}
	r := Compile(thisNode, snapshot(t, []*v1.Pod{testPod("x/a", "10.246.1.2"), testPod("x/b", "10.246.1.3")}, texts...))
	rules := 0
	for _, text := range r.Chains {
		rules += strings.Count(text, "\n")
	}
	if len(r.Refused) != 1 || rules > maxRules+20 || !strings.HasSuffix(strings.TrimSpace(lastChain(r)), "-j DROP") {
		t.Errorf("%d rules; refused: %v", rules, r.Refused)
	}
}

// A namespace bounds its own rules on a node, however many pods it has under different policies.
func TestRulesOfANamespace(t *testing.T) {
	big := "x: {podSelector: {}, ingress: [{ports: ["
	for i := range maxRules / 2 {
		big += fmt.Sprintf("{port: p%d},", i)
	}
	texts := []string{big + "]}]}", "y: {podSelector: {}, ingress: [{ports: [{port: 1}]}]}"}
	pods := []*v1.Pod{testPod("y/a", "10.246.1.200")}
	for i := range 20 {
		name := fmt.Sprintf("p%d", i)
		pods = append(pods, testPod("x/"+name, fmt.Sprintf("10.246.1.%d", 10+i)))
		pods[len(pods)-1].Labels = map[string]string{"pod": name}
		texts = append(texts, "x: {podSelector: {matchLabels: {pod: "+name+"}}, ingress: [{ports: [{port: 1}]}]}")
	}
	r := Compile(thisNode, snapshot(t, pods, texts...))
	rules, other := 0, false
	for _, text := range r.Chains {
		rules += strings.Count(text, "\n")
		other = other || strings.Contains(text, `"y/`)
	}
	if rules > maxNamespaceRules+200 || len(r.Refused) == 0 || !other {
		t.Errorf("%d rules, those of the other namespace: %v; refused: %d", rules, other, len(r.Refused))
	}
}

func lastChain(r *Ruleset) string {
	for name, text := range r.Chains {
		if strings.HasPrefix(name, inPrefix) {
			return text
		}
	}
	return ""
}

// BenchmarkCompile computes the rules of 100 policies among 500 pods.
func BenchmarkCompile(b *testing.B) {
	s := manyPolicies(b, 100, 500)
	for b.Loop() {
		Compile(thisNode, s)
	}
}

// manyPolicies has policies of ten namespaces, each with two selectors, a range and ports, and pods of ten nodes.
func manyPolicies(t testing.TB, n, pods int) (s Snapshot) {
	t.Helper()
	for i := range 10 {
		ns := fmt.Sprintf("ns-%d", i)
		s.Namespaces = append(s.Namespaces, &v1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns, Labels: map[string]string{"ns": ns}}})
	}
	var texts []string
	for i := range n {
		texts = append(texts, fmt.Sprintf("ns-%d: {podSelector: {matchLabels: {app: app-%d}}, policyTypes: [Ingress, Egress], ingress: [{from: [{namespaceSelector: {matchLabels: {ns: ns-%d}}}, "+
			"{podSelector: {matchLabels: {app: app-%d}}}, {ipBlock: {cidr: 192.168.0.0/16, except: [192.168.%d.0/24]}}], ports: [{port: 80}, {port: http}]}], egress: [{}]}", i%10, i/10, (i+1)%10, (i/10+1)%10, i))
	}
	s.Policies = policies(t, texts...)
	for i := range pods {
		p := testPod(fmt.Sprintf("ns-%d/pod-%d", i%10, i), fmt.Sprintf("10.246.%d.%d", 1+i/10%10, 2+i/100*10+i%10))
		p.Labels["app"] = fmt.Sprintf("app-%d", i/10%10)
		p.Spec.NodeName = fmt.Sprintf("minion-%d", 1+i/10%10)
		s.Pods = append(s.Pods, p)
	}
	return s
}
