package why

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"wheelhouse/lab-runner/near"
)

// splitName splits a name of the cluster's DNS; a short one is completed as in a pod of the namespace. The pod is that of
// POD.SERVICE.NAMESPACE.svc.
func splitName(name, namespace string) (pod, service, in string, ofCluster bool) {
	parts := strings.Split(strings.TrimSuffix(strings.ToLower(name), "."), ".")
	if i := slices.Index(parts, "svc"); i > 0 {
		switch i {
		case 1: // SERVICE.svc: the namespace is missing
			return "", parts[0], "", true
		case 2:
			return "", parts[0], parts[1], true
		default:
			return strings.Join(parts[:i-2], "."), parts[i-2], parts[i-1], true
		}
	}
	switch len(parts) {
	case 1:
		return "", parts[0], namespace, true
	case 2:
		return "", parts[0], parts[1], true
	}
	return "", "", "", false
}

// resolve follows a name to the addresses that the cluster's DNS answers with.
func (c *chain) resolve(name string) {
	pod, service, in, ofCluster := splitName(name, c.f.Namespace)
	if c.over() {
		return
	}
	if !ofCluster {
		c.fine("name", "%s is no name of a Service: the cluster's DNS asks the servers outside", name)
		c.dnsServer()
		return
	}
	full := service + "." + in + ".svc"
	if in == "" {
		c.broken(cause{hop: "name", reason: "NameWithoutNamespace", text: fmt.Sprintf("%s names no namespace: the form is SERVICE.NAMESPACE.svc.cluster.local", name), do: fmt.Sprintf("Use %s.%s.svc.cluster.local", service, c.f.Namespace)})
		return
	}
	c.fine("name", "it is that of Service %s in namespace %s", service, in)
	if c.f.Unread["namespaces"] == "" && len(c.f.Namespaces) > 0 && find(c.f.Namespaces, in) == nil {
		w := cause{hop: "namespace", reason: "NamespaceMissing", text: "there is no namespace " + in, do: "Correct the name."}
		if other := near.Name(in, names(c.f.Namespaces)); other != "" {
			w.text += "; there is a namespace " + other
			w.do = fmt.Sprintf("Use %s.%s", service, other)
		} else if strings.Count(name, ".") == 1 && find(c.f.Services, in) == nil {
			w.text += " (a name of two parts is SERVICE.NAMESPACE)"
		}
		c.broken(w)
		return
	}
	if in != c.f.Namespace {
		for _, r := range c.f.Elsewhere {
			if r.Kind == "Service" && r.Namespace == in && r.Name == service {
				c.fine("service", "Service %s exists in namespace %s", service, in)
				c.dnsServer()
				return
			}
		}
		c.broken(cause{hop: "service", reason: "ServiceMissing", text: fmt.Sprintf("namespace %s has no Service %s", in, service), do: "See those that it has: kubectl -n " + in + " get services", missing: &Ref{"Service", in, service}})
		return
	}
	s := find(c.f.Services, service)
	if s == nil {
		c.noService(service, full)
		return
	}
	c.fine("service", "Service %s exists", service)
	switch {
	case s.Spec.ClusterIP == corev1.ClusterIPNone:
		c.headless(s, pod)
	case pod != "":
		c.broken(cause{hop: "service", reason: "NotHeadless", text: "a pod has a name of its own under a headless Service only, and " + service + " has the address " + s.Spec.ClusterIP, do: "Use " + full + ", or a Service with clusterIP: None."})
	case s.Spec.Type == corev1.ServiceTypeExternalName:
		c.service(s)
	default:
		c.fine("address", "DNS answers with the Service's address %s", s.Spec.ClusterIP)
	}
	c.dnsServer()
}

func (c *chain) noService(service, full string) {
	w := cause{hop: "service", reason: "ServiceMissing", text: fmt.Sprintf("namespace %s has no Service %s, so the name %s does not resolve", c.f.Namespace, service, full), do: "Create the Service: " + c.kubectl("expose deployment %s --port=80", service), missing: &Ref{"Service", c.f.Namespace, service}}
	first, all := c.f.elsewhere("Service", service)
	switch other := near.Name(service, names(c.f.Services)); {
	case other != "":
		w.text += "; there is a Service " + other
		w.do = "Use the name " + other
	case slices.Contains(names(c.f.Pods), service):
		w.text += "; a pod is called so, and pods have no names in DNS"
		w.do = "Create a Service for the pod: " + c.kubectl("expose pod %s --port=80", service)
	case first != "":
		w.reason = "ServiceElsewhere"
		w.text += "; there is one in " + all
		w.do = fmt.Sprintf("Use the name %s.%s", service, first)
	}
	c.broken(w)
}

// headless is a Service without address: its name is that of its ready pods.
func (c *chain) headless(s *corev1.Service, pod string) {
	var pods []*corev1.Pod
	if len(s.Spec.Selector) > 0 {
		pods = c.selector(s)
	}
	c.servicePods(s, pods)
	if c.over() {
		return
	}
	have := addresses(c.slicesOf(s))
	if pod == "" {
		c.fine("address", "DNS answers with the pods' addresses: %s", short(strings.Join(have, ", "), 200))
		return
	}
	var hosts []string
	for _, slice := range c.slicesOf(s) {
		for _, e := range slice.Endpoints {
			if e.Hostname != nil {
				hosts = append(hosts, *e.Hostname)
			}
		}
	}
	if !slices.Contains(hosts, pod) {
		w := cause{hop: "pod", reason: "PodNameMissing", text: fmt.Sprintf("no ready pod of Service %s has the host name %s", s.Name, pod), do: "Use one of these: " + strings.Join(hosts, ", ")}
		if len(hosts) == 0 {
			w.do = "Give the pod hostname and subdomain, or make it by a StatefulSet with serviceName " + s.Name + "."
		}
		c.broken(w)
		return
	}
	c.fine("address", "pod %s has this name", pod)
}

// dnsServer is the hop of the cluster's DNS servers.
func (c *chain) dnsServer() {
	switch text := c.f.Unread["dns"]; {
	case c.over():
	case text != "":
		c.unknown("dns server", "the DNS service could not be read: %s", text)
	case c.f.DNS == nil:
		c.broken(cause{hop: "dns server", reason: "NoDNS", text: "the cluster has no Service kube-dns in namespace kube-system", do: "Install the cluster's DNS (CoreDNS)."})
	case len(c.f.DNS.Spec.Selector) > 0 && len(addresses(c.f.DNSSlices)) == 0:
		c.broken(cause{hop: "dns server", reason: "DNSDown", text: "no DNS server is ready behind " + c.f.DNS.Spec.ClusterIP + ", so no name resolves", do: "Look at it: kubectl why service/kube-dns -n kube-system"})
	default:
		c.fine("dns server", "the cluster's DNS is at %s", c.f.DNS.Spec.ClusterIP)
	}
}
