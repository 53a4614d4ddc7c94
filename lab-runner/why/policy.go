package why

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// selects reports whether a selector of the API selects labels; an invalid one selects nothing.
func selects(s *metav1.LabelSelector, set map[string]string) bool {
	sel, err := metav1.LabelSelectorAsSelector(s)
	return err == nil && sel.Matches(labels.Set(set))
}

// policies is the hop of NetworkPolicies: whether they admit any connection to the Service's pods.
func (c *chain) policies(s *corev1.Service, pods []*corev1.Pod) {
	if c.over() || len(pods) == 0 {
		return
	}
	p := pods[0]
	var selecting []string
	var near []string
	open := false
	for _, np := range c.isolating(p) {
		selecting = append(selecting, np.Name)
		for _, rule := range np.Spec.Ingress {
			admits, why := c.admits(rule, s, p)
			open = open || admits
			if why != "" {
				near = append(near, "policy "+np.Name+": "+why)
			}
		}
	}
	switch {
	case len(selecting) == 0:
	case open:
		c.fine("policies", "NetworkPolicy %s admits connections to the pods", strings.Join(selecting, ", "))
	default:
		c.broken(cause{
			hop: "policies", reason: "PolicyBlocks", text: fmt.Sprintf("NetworkPolicy %s selects the pods, and no rule admits a connection to the Service's target port", strings.Join(selecting, ", ")),
			do: "Add a rule that admits those who shall connect: " + c.kubectl("edit networkpolicy %s", selecting[len(selecting)-1]), details: near,
		})
	}
}

// isolating returns the policies that restrict which connections a pod gets.
func (c *chain) isolating(p *corev1.Pod) (all []*networkingv1.NetworkPolicy) {
	for i := range c.f.Policies {
		np := &c.f.Policies[i]
		if (len(np.Spec.PolicyTypes) == 0 || slices.Contains(np.Spec.PolicyTypes, networkingv1.PolicyTypeIngress)) && selects(&np.Spec.PodSelector, p.Labels) {
			all = append(all, np)
		}
	}
	return all
}

// restricted reports whether a pod of the Service gets no connection from everywhere, by policies: the API server's, which comes from a node, and
// those from outside need not be answered then.
func (c *chain) restricted(s *corev1.Service) bool {
	if len(s.Spec.Selector) == 0 {
		return false
	}
	return slices.ContainsFunc(c.f.podsWith(s.Spec.Selector), func(p *corev1.Pod) bool {
		all := c.isolating(p)
		return len(all) > 0 && !slices.ContainsFunc(all, func(np *networkingv1.NetworkPolicy) bool {
			return slices.ContainsFunc(np.Spec.Ingress, func(r networkingv1.NetworkPolicyIngressRule) bool { return len(r.From) == 0 })
		})
	})
}

// admits reports whether a rule admits a connection of some pod of the namespace, or of others, to a port of the Service.
// Of what it admits that cannot be known here (other namespaces' pods, addresses), it is taken that there is some.
func (c *chain) admits(rule networkingv1.NetworkPolicyIngressRule, s *corev1.Service, p *corev1.Pod) (ok bool, why string) {
	port := len(rule.Ports) == 0
	for _, sp := range s.Spec.Ports {
		number, _ := targetOf(sp, p)
		for _, rp := range rule.Ports {
			if rp.Protocol != nil && *rp.Protocol != sp.Protocol {
				continue
			}
			switch {
			case rp.Port == nil:
				port = true
			case rp.Port.Type == intstr.String:
				n, _ := targetOf(corev1.ServicePort{TargetPort: *rp.Port, Protocol: sp.Protocol}, p)
				port = port || n == number
			case rp.EndPort != nil:
				port = port || number >= rp.Port.IntVal && number <= *rp.EndPort
			default:
				port = port || number == rp.Port.IntVal
			}
		}
	}
	if !port {
		return false, "its rule admits other ports than the Service's target port (a policy names the pods' port, not the Service's)"
	}
	if len(rule.From) == 0 {
		return true, ""
	}
	for _, from := range rule.From {
		if from.IPBlock != nil || from.NamespaceSelector != nil {
			return true, ""
		}
		for i := range c.f.Pods {
			if selects(from.PodSelector, c.f.Pods[i].Labels) {
				return true, ""
			}
		}
		var sets []map[string]string
		for i := range c.f.Pods {
			sets = append(sets, c.f.Pods[i].Labels)
		}
		why = "its rule admits pods with " + pairs(from.PodSelector.MatchLabels) + ", and the namespace has none"
		if d := nearLabels(from.PodSelector.MatchLabels, sets); d != "" {
			why += "; nearly: a pod has " + d
		}
	}
	return false, why
}
