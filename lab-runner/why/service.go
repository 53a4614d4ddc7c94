package why

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"wheelhouse/lab-runner/near"
)

// service follows a connection to a Service: selector, pods, ports, endpoints, policies, the packet, the nodes.
func (c *chain) service(s *corev1.Service) {
	c.of("service/"+s.Name, func() {
		c.fine("object", "Service %s exists, of type %s%s", s.Name, s.Spec.Type, at(s))
		c.deletion(nil, "Service", &s.ObjectMeta)
		if s.Spec.Type == corev1.ServiceTypeExternalName {
			c.externalName(s)
			return
		}
		if len(s.Spec.Selector) == 0 {
			c.withoutSelector(s)
			return
		}
		pods := c.selector(s)
		c.servicePods(s, pods)
		c.ports(s, pods)
		c.endpoints(s, pods)
		c.policies(s, pods)
		c.packet(s)
		c.nodePorts(s)
		c.loadBalancer(s)
		if !c.over() {
			c.fine("name", "pods of this namespace reach it as %s, those of others as %s.%s", s.Name, s.Name, s.Namespace)
		}
	})
}

func at(s *corev1.Service) string {
	if s.Spec.ClusterIP == corev1.ClusterIPNone {
		return ", headless: its name is that of the pods' addresses"
	}
	if s.Spec.ClusterIP != "" {
		return ", at " + s.Spec.ClusterIP
	}
	return ""
}

func pairs(m map[string]string) string {
	var out []string
	for _, k := range slices.Sorted(keysOf(m)) {
		out = append(out, k+"="+m[k])
	}
	return strings.Join(out, ",")
}

// selector returns the pods that the Service selects.
func (c *chain) selector(s *corev1.Service) []*corev1.Pod {
	if c.over() {
		return nil
	}
	var pods []*corev1.Pod
	for _, p := range c.f.podsWith(s.Spec.Selector) {
		if p.Status.Phase != corev1.PodSucceeded && p.Status.Phase != corev1.PodFailed {
			pods = append(pods, p)
		}
	}
	if len(pods) > 0 {
		c.fine("selector", "%s selects %s", pairs(s.Spec.Selector), podCount(len(pods)))
		return pods
	}
	if text := c.f.Unread["pods"]; text != "" {
		c.unknown("selector", "the pods could not be read: %s", text)
		return nil
	}
	w := cause{
		hop: "selector", reason: "NoPodSelected", text: fmt.Sprintf("no pod of namespace %s has the labels %s, which the Service selects", s.Namespace, pairs(s.Spec.Selector)),
		do: "Correct the selector, or start pods with these labels: " + c.kubectl("edit service %s", s.Name),
	}
	var sets []map[string]string
	for i := range c.f.Pods {
		sets = append(sets, c.f.Pods[i].Labels)
	}
	if maker, follow := c.makerOf(s.Spec.Selector); maker != "" {
		c.fine("selector", "%s selects the pods of %s", pairs(s.Spec.Selector), maker)
		follow()
		return nil
	}
	switch d := nearLabels(s.Spec.Selector, sets); {
	case d != "":
		w.reason, w.text = "SelectorNear", w.text+"; nearly: a pod has "+d
		w.do = "Correct the selector: " + c.kubectl("edit service %s", s.Name)
	case c.partly(s.Spec.Selector, sets) != "":
		w.reason = "SelectorPartly"
		w.text += "; " + c.partly(s.Spec.Selector, sets)
		w.do = "Select only labels that the pods have: " + c.kubectl("edit service %s", s.Name)
	default:
		for _, r := range c.f.Elsewhere {
			if r.Kind == "Pod" && r.Namespace != s.Namespace {
				w.reason = "PodsElsewhere"
				w.text += fmt.Sprintf("; pod %s of namespace %s has them, and a Service selects pods of its own namespace only", r.Name, r.Namespace)
				w.do = fmt.Sprintf("Create the Service in namespace %s, or the pods in namespace %s.", r.Namespace, s.Namespace)
				break
			}
		}
	}
	c.broken(w)
	return nil
}

// partly says which labels of a selector no pod has together, where pods have the others.
func (c *chain) partly(selector map[string]string, sets []map[string]string) string {
	if len(selector) < 2 {
		return ""
	}
	for _, leave := range slices.Sorted(keysOf(selector)) {
		rest := map[string]string{}
		for k, v := range selector {
			if k != leave {
				rest[k] = v
			}
		}
		if anyHas(sets, rest) {
			return fmt.Sprintf("a pod has %s, but not %s=%s", pairs(rest), leave, selector[leave])
		}
	}
	return ""
}

// servicePods is the hop of the readiness of a Service's pods.
func (c *chain) servicePods(s *corev1.Service, pods []*corev1.Pod) {
	if c.over() || len(pods) == 0 {
		return
	}
	ready := 0
	for _, p := range pods {
		if isReady(p) {
			ready++
		}
	}
	switch {
	case ready == len(pods):
		c.fine("pods", "%s ready", isAre(ready, "pod"))
	case ready > 0:
		c.fine("pods", "%d of %d pods are ready, and receive the traffic", ready, len(pods))
	case s.Spec.PublishNotReadyAddresses:
		c.fine("pods", "no pod is ready, and publishNotReadyAddresses sends traffic to them nevertheless")
	default:
		c.firstBroken(pods)
		if !c.over() {
			c.waiting(cause{hop: "pods", reason: "NoPodReady", text: "no pod is ready", do: "Wait a few seconds and ask again."})
		}
	}
}

// firstBroken follows the pod that says most: one that is broken before one that waits.
func (c *chain) firstBroken(pods []*corev1.Pod) {
	var waiting *corev1.Pod
	for _, p := range pods {
		if isReady(p) || p.Status.Phase == corev1.PodSucceeded {
			continue
		}
		probe := &chain{f: c.f, depth: c.depth, out: Explanation{State: Fine}}
		probe.pod(p)
		switch {
		case probe.out.State == Broken:
			c.pod(p)
			return
		case waiting == nil:
			waiting = p
		}
	}
	if waiting != nil {
		c.pod(waiting)
	}
}

func podCount(n int) string {
	if n == 1 {
		return "1 pod"
	}
	return fmt.Sprintf("%d pods", n)
}

func isAre(n int, what string) string {
	if n == 1 {
		return "1 " + what + " is"
	}
	return fmt.Sprintf("%d %ss are", n, what)
}

func (c *chain) externalName(s *corev1.Service) {
	name := strings.TrimSuffix(s.Spec.ExternalName, ".")
	if _, err := netip.ParseAddr(name); err == nil {
		c.broken(cause{
			hop: "external name", reason: "ExternalNameIsAddress", text: "externalName is the address " + name + ", and DNS takes it for a name: it resolves to nothing",
			do: "Make a Service without selector, and an EndpointSlice with the address: " + c.kubectl("edit service %s", s.Name),
		})
		return
	}
	if strings.Contains(name, ".svc.") || strings.HasSuffix(name, ".svc") {
		c.fine("external name", "DNS answers with the name %s", name)
		c.resolve(name)
		return
	}
	if !strings.Contains(name, ".") {
		text := fmt.Sprintf("externalName %s has no dot, and DNS does not complete it: it is no name of a Service", name)
		if find(c.f.Services, name) != nil {
			text += fmt.Sprintf("; the Service %s is %s.%s.svc.cluster.local", name, name, s.Namespace)
		}
		c.broken(cause{hop: "external name", reason: "ExternalNameShort", text: text, do: "Write the whole name in externalName: " + c.kubectl("edit service %s", s.Name)})
		return
	}
	c.fine("external name", "DNS answers with the name %s, which is outside of the cluster", name)
}

// slicesOf are the Service's EndpointSlices.
func (c *chain) slicesOf(s *corev1.Service) []discoveryv1.EndpointSlice {
	var out []discoveryv1.EndpointSlice
	for _, e := range c.f.Slices {
		if e.Labels[discoveryv1.LabelServiceName] == s.Name && e.Namespace == s.Namespace {
			out = append(out, e)
		}
	}
	return out
}

// addresses are those of the Service's endpoints that receive traffic.
func addresses(list []discoveryv1.EndpointSlice) []string {
	var out []string
	for _, s := range list {
		for _, e := range s.Endpoints {
			if e.Conditions.Ready == nil || *e.Conditions.Ready {
				out = append(out, e.Addresses...)
			}
		}
	}
	return out
}

func (c *chain) withoutSelector(s *corev1.Service) {
	if c.over() {
		return
	}
	if text := c.f.Unread["endpointslices"]; text != "" {
		c.unknown("endpoints", "the EndpointSlices could not be read: %s", text)
		return
	}
	own := c.slicesOf(s)
	if len(addresses(own)) == 0 {
		text := "the Service has no selector, and no EndpointSlice with addresses belongs to it"
		for _, e := range c.f.Slices {
			if l := e.Labels[discoveryv1.LabelServiceName]; near.Is(l, s.Name) {
				text += fmt.Sprintf("; EndpointSlice %s has the label %s=%s", e.Name, discoveryv1.LabelServiceName, l)
			}
		}
		c.broken(cause{hop: "selector", reason: "NoSelector", text: text, do: "Give the Service a selector: " + c.kubectl("edit service %s", s.Name)})
		return
	}
	c.fine("endpoints", "the Service has no selector; its EndpointSlices name %s", strings.Join(addresses(own), ", "))
	c.packet(s)
	c.nodePorts(s)
}

// endpoints is the hop of the EndpointSlices, which the controller writes and each node reads.
func (c *chain) endpoints(s *corev1.Service, pods []*corev1.Pod) {
	if c.over() {
		return
	}
	if text := c.f.Unread["endpointslices"]; text != "" {
		c.unknown("endpoints", "the EndpointSlices could not be read: %s", text)
		return
	}
	have := addresses(c.slicesOf(s))
	for _, p := range pods {
		if !isReady(p) || slices.Contains(have, p.Status.PodIP) || p.Status.PodIP == "" {
			continue
		}
		w := cause{hop: "endpoints", reason: "EndpointMissing", text: fmt.Sprintf("pod %s is ready, and its address %s is not in the Service's EndpointSlices", p.Name, p.Status.PodIP)}
		if since := condition(p, corev1.PodReady).LastTransitionTime; c.f.age(since) < 10*time.Second || c.f.age(s.CreationTimestamp) < 10*time.Second {
			w.do = "Wait a few seconds and ask again."
			c.waiting(w)
			return
		}
		w.do = "See whether the controllers run: kubectl -n kube-system get lease kube-controller-manager"
		c.broken(w)
		return
	}
	c.fine("endpoints", "the EndpointSlices name %s", short(strings.Join(have, ", "), 200))
}

// packet is the hop of a request through the API server's proxy. Other ports than those of HTTP are answered, too: with
// what is no HTTP.
func (c *chain) packet(s *corev1.Service) {
	var good []string
	for _, port := range s.Spec.Ports {
		a, asked := c.f.Answers[fmt.Sprintf("service %s %d", s.Name, port.Port)]
		switch {
		case !asked || c.over():
		case a.OK:
			good = append(good, fmt.Sprintf("port %d: %s", port.Port, short(a.Text, 60)))
		case c.restricted(s):
			c.unknown("packet", "a request to port %d, sent by the API server, is not answered, and NetworkPolicies need not admit it; try from a pod that they admit", port.Port)
		case slices.ContainsFunc(c.f.podsWith(s.Spec.Selector), c.justStarted):
			c.waiting(cause{hop: "packet", reason: "NoAnswerYet", text: fmt.Sprintf("port %d is not answered yet, and a pod has just been started", port.Port), do: "Wait half a minute and ask again.", details: []string{"the answer: " + short(a.Text, 300)}})
		default:
			c.broken(cause{
				hop: "packet", reason: "NoAnswer", text: fmt.Sprintf("a request to port %d of the Service, sent by the API server, is not answered", port.Port),
				do: "See what the program does with connections: " + c.kubectl("logs -l %s", pairs(s.Spec.Selector)), details: []string{"the answer: " + short(a.Text, 300)},
			})
		}
	}
	if len(good) > 0 && !c.over() {
		c.fine("packet", "a request by the API server was answered; %s", strings.Join(good, "; "))
	}
}

// nodePorts is the hop of each node's rules, tried from where this program runs.
func (c *chain) nodePorts(s *corev1.Service) {
	for _, port := range s.Spec.Ports {
		if port.NodePort == 0 || port.Protocol != corev1.ProtocolTCP || c.over() {
			continue
		}
		var good, bad, details []string
		refused := false
		for i := range c.f.Nodes {
			n := &c.f.Nodes[i]
			a, tried := c.f.NodePorts[fmt.Sprintf("%s %d", n.Name, port.NodePort)]
			if !tried || readyCondition(n).Status != corev1.ConditionTrue {
				continue
			}
			if a.OK {
				good = append(good, n.Name)
				continue
			}
			if s.Spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal && !c.hasPodOn(s, n.Name) || c.restricted(s) {
				continue // as the policies have it
			}
			refused = refused || strings.Contains(a.Text, "refused")
			bad = append(bad, n.Name)
			details = append(details, "node "+n.Name+": "+short(a.Text, 200))
		}
		switch {
		case len(bad) > 0 && (len(good) > 0 || refused):
			c.broken(cause{
				hop: "nodes", reason: "NodePortClosed", text: fmt.Sprintf("nodePort %d is not answered on node %s", port.NodePort, strings.Join(bad, ", ")),
				do: "See whether kube-proxy runs on node " + bad[0] + ".", details: details,
			})
		case len(bad) > 0:
			c.unknown("nodes", "nodePort %d cannot be tried from this machine", port.NodePort)
		case len(good) > 0:
			c.fine("nodes", "nodePort %d is answered on node %s", port.NodePort, strings.Join(good, ", "))
		}
	}
}

func (c *chain) hasPodOn(s *corev1.Service, node string) bool {
	return slices.ContainsFunc(c.f.podsWith(s.Spec.Selector), func(p *corev1.Pod) bool { return p.Spec.NodeName == node && isReady(p) })
}

func (c *chain) loadBalancer(s *corev1.Service) {
	if s.Spec.Type != corev1.ServiceTypeLoadBalancer || c.over() {
		return
	}
	if len(s.Status.LoadBalancer.Ingress) > 0 {
		first := s.Status.LoadBalancer.Ingress[0]
		c.fine("load balancer", "the load balancer's address is %s%s", first.IP, first.Hostname)
		return
	}
	w := cause{
		hop: "load balancer", reason: "NoLoadBalancer", text: "the Service has no address outside of the cluster (EXTERNAL-IP is pending): no controller of load balancers gives one",
		do: "On a cluster without cloud use the NodePort, or install a controller of load balancers.",
	}
	if e := c.f.event("Service", s.Name, string(s.UID), "SyncLoadBalancerFailed", "EnsuringLoadBalancer", "AllocationFailed"); e != nil {
		w.details = []string{quote(e)}
	}
	if len(s.Spec.Ports) > 0 && s.Spec.Ports[0].NodePort != 0 {
		w.do = fmt.Sprintf("On a cluster without cloud use port %d of any node, or install a controller of load balancers.", s.Spec.Ports[0].NodePort)
	}
	if c.f.event("Service", s.Name, string(s.UID), "SyncLoadBalancerFailed") != nil {
		w.reason, w.text = "LoadBalancerRefused", "the Service has no address outside of the cluster (EXTERNAL-IP is pending): the controller of load balancers could not give it one"
		w.do = "Do what the event says: ask for another address or for none, delete a Service that has one, or give the controller more."
	}
	c.broken(w)
}
