package netpol

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"wheelhouse/cluster/netfilter"
)

// A namespace can have any number of policies of any size, and so have as many kinds of pods under different ones. maxRules
// bounds the rules of pods under the same policies, maxNamespaceRules those of all pods of a namespace on a node.
const (
	maxRules          = 10_000
	maxNamespaceRules = 50_000
)

// Snapshot is what rules follow from. Its objects must not change.
type Snapshot struct {
	Policies   []*networkingv1.NetworkPolicy
	Pods       []*v1.Pod // of all nodes
	Namespaces []*v1.Namespace
	// DNS is where the cluster's DNS answers outside of pods. Policies select it as a pod of the namespace kube-system with
	// the label k8s-app: kube-dns, which it is on upstream clusters.
	DNS []netip.AddrPort
	// Bridge connects the pods of this node; empty: there is none that broadcasts.
	Bridge string
}

// Ruleset is the desired content of the chains of the table mangle, and of the sets to which they refer.
type Ruleset struct {
	Chains  map[string]string // chain to its rules, each a line "-A CHAIN ...\n"
	Sets    netfilter.Sets
	Refused []Refusal
}

// Refusal is a policy that isolates the pods that it selects, and whose own rules are not in force.
type Refusal struct {
	Policy *networkingv1.NetworkPolicy
	Why    string
}

// Compile returns a node's rules. It does no I/O and does not change its arguments; equal snapshots, whatever their order,
// have equal rules.
func Compile(node string, s Snapshot) *Ruleset {
	c := newCompiler(s)
	egress := c.direction(node, networkingv1.PolicyTypeEgress, outChain, outPrefix)
	ingress := c.direction(node, networkingv1.PolicyTypeIngress, inChain, inPrefix)
	isolated := slices.SortedFunc(maps.Keys(c.isolated), netip.Addr.Compare)
	var main, self strings.Builder
	if len(isolated) > 0 {
		netfilter.WriteRule(&main, mainChain, "-m conntrack --ctstate RELATED,ESTABLISHED", "-j RETURN")
		netfilter.WriteRule(&main, mainChain, "-m mark --mark "+proxied, "-j "+selfChain)
	}
	if egress {
		netfilter.WriteRule(&main, mainChain, "-j "+outChain)
	}
	if ingress && s.Bridge != "" { // it gives these to all pods, and no set has their receivers
		netfilter.WriteRule(&main, mainChain, "-o "+s.Bridge, "-m addrtype --dst-type BROADCAST", "-j DROP")
		netfilter.WriteRule(&main, mainChain, "-o "+s.Bridge, "-m addrtype --dst-type MULTICAST", "-j DROP")
	}
	if ingress {
		netfilter.WriteRule(&main, mainChain, "-j "+inChain)
	}
	for _, ip := range isolated { // no policy keeps a pod from itself
		netfilter.WriteRule(&self, selfChain, "-s "+ip.String(), "-d "+ip.String(), "-j ACCEPT")
	}
	c.out.Chains[mainChain], c.out.Chains[selfChain] = main.String(), self.String()
	return c.out
}

// compiler has what the policies of both directions share.
type compiler struct {
	peers      map[string][]peer // by namespace
	namespaces []*v1.Namespace
	policies   map[string][]*policy // by namespace, in the order of names
	selectors  map[string]bool      // names of sets of pods: whether the cluster's DNS is selected, too
	isolated   map[netip.Addr]bool  // pods of this node under policies
	dns        []netip.AddrPort
	written    map[string]int // rules, by namespace
	out        *Ruleset
}

// policy is one policy, and the rules of each direction once they are computed.
type policy struct {
	*networkingv1.NetworkPolicy
	pods    labels.Selector
	matches map[networkingv1.PolicyType][]string
}

func newCompiler(s Snapshot) *compiler {
	c := &compiler{
		peers: peersOf(s.Pods), namespaces: s.Namespaces, policies: map[string][]*policy{}, selectors: map[string]bool{},
		isolated: map[netip.Addr]bool{}, dns: s.DNS, written: map[string]int{},
		out: &Ruleset{Chains: map[string]string{}, Sets: netfilter.Sets{}},
	}
	for _, p := range s.Policies {
		c.policies[p.Namespace] = append(c.policies[p.Namespace], &policy{
			NetworkPolicy: p, pods: selector(&p.Spec.PodSelector), matches: map[networkingv1.PolicyType][]string{},
		})
	}
	for _, of := range c.policies {
		slices.SortFunc(of, func(a, b *policy) int { return strings.Compare(a.Name, b.Name) })
	}
	return c
}

// selector returns what a stored selector selects: nothing where the API server had to take one that is not valid.
func selector(s *metav1.LabelSelector) labels.Selector {
	sel, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		return labels.Nothing()
	}
	return sel
}

// applies reports whether a policy isolates in a direction, as upstream where policyTypes is missing.
func (p *policy) applies(t networkingv1.PolicyType) bool {
	if len(p.Spec.PolicyTypes) > 0 {
		return slices.Contains(p.Spec.PolicyTypes, t)
	}
	return t == networkingv1.PolicyTypeIngress || len(p.Spec.Egress) > 0
}

// profile is the pods of this node that the same policies select.
type profile struct {
	namespace string
	policies  []*policy
	set       *netfilter.Set
}

// direction writes a chain that goes to the chain of the profile that a packet's pod has, and reports whether there is one. Those chains
// return if a policy admits the packet, and drop it else.
func (c *compiler) direction(node string, t networkingv1.PolicyType, chain, prefix string) bool {
	profiles := c.profiles(node, t)
	var dispatch strings.Builder
	side := "dst"
	if t == networkingv1.PolicyTypeEgress {
		side = "src"
	}
	for _, key := range slices.Sorted(maps.Keys(profiles)) {
		p := profiles[key]
		set := hashed(setPrefix, "profile", string(t), key)
		c.out.Sets[set] = p.set
		target := hashed(prefix, key)
		netfilter.WriteRule(&dispatch, chain, matchSet(set, side), comment("namespace "+p.namespace), "-g "+target)
		c.out.Chains[target] = c.admitted(p, t, target)
	}
	c.out.Chains[chain] = dispatch.String()
	return len(profiles) > 0
}

// profiles returns the profiles of this node's pods by their key.
func (c *compiler) profiles(node string, t networkingv1.PolicyType) map[string]*profile {
	all := map[string]*profile{}
	for namespace, policies := range c.policies {
		for _, pod := range c.peers[namespace] {
			if pod.node != node {
				continue
			}
			key := namespace
			var selecting []*policy
			for _, p := range policies {
				if p.applies(t) && p.pods.Matches(pod.labels) {
					selecting = append(selecting, p)
					key += "/" + p.Name
				}
			}
			if len(selecting) == 0 {
				continue
			}
			if all[key] == nil {
				all[key] = &profile{namespace: namespace, policies: selecting, set: &netfilter.Set{Type: netfilter.Addresses, Members: map[netfilter.Member]struct{}{}}}
			}
			all[key].set.Members[pod.member()] = struct{}{}
			c.isolated[pod.ip] = true
		}
	}
	return all
}

// admitted returns the chain of a profile.
func (c *compiler) admitted(p *profile, t networkingv1.PolicyType, chain string) string {
	var w strings.Builder
	rules := 0
	for _, policy := range p.policies {
		matches := c.matches(policy, t)
		switch {
		case rules+len(matches) > maxRules:
			c.refuse(policy, fmt.Sprintf("with it, the policies of a pod make more than %d rules", maxRules))
			continue
		case c.written[p.namespace]+len(matches) > maxNamespaceRules:
			c.refuse(policy, fmt.Sprintf("with it, the policies of the namespace make more than %d rules on a node", maxNamespaceRules))
			continue
		}
		rules += len(matches)
		c.written[p.namespace] += len(matches)
		for _, match := range matches {
			netfilter.WriteRule(&w, chain, match, comment(policy.Namespace+"/"+policy.Name), "-j RETURN")
		}
	}
	netfilter.WriteRule(&w, chain, "-j DROP")
	return w.String()
}

func (c *compiler) refuse(p *policy, why string) {
	r := Refusal{p.NetworkPolicy, why}
	if !slices.Contains(c.out.Refused, r) {
		c.out.Refused = append(c.out.Refused, r)
	}
}

// comment returns a rule's comment, which the kernel limits to 255 characters.
func comment(text string) string {
	return `-m comment --comment "` + text[:min(len(text), 250)] + `"`
}

func matchSet(name, sides string) string { return "-m set --match-set " + name + " " + sides }
