package kubelet

import (
	"fmt"
	"os"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"

	"wheelhouse/cluster/kubelet/podspec"
)

// hostnameOf is what the pod's containers see as their host's name; it is at most
// 63 characters and does not end with a dash or a dot.
func hostnameOf(pod *v1.Pod) string {
	name := pod.Name
	switch {
	case pod.Spec.HostnameOverride != nil:
		name = *pod.Spec.HostnameOverride
	case pod.Spec.Hostname != "":
		return pod.Spec.Hostname
	}
	if len(name) > 63 {
		name = strings.TrimRight(name[:63], "-.")
	}
	return name
}

// kernelHostname is what the kernel of the pod's containers tells as the name: the short
// one, or with its domain where the pod asks for that. The kernel takes 64 characters.
func kernelHostname(pod *v1.Pod, domain string) (string, error) {
	name := hostnameOf(pod)
	if !podspec.IsTrue(pod.Spec.SetHostnameAsFQDN) || pod.Spec.Subdomain == "" {
		return name, nil
	}
	full := fmt.Sprintf("%s.%s.%s.svc.%s", name, pod.Spec.Subdomain, pod.Namespace, domain)
	if len(full) > maxHostname {
		return "", fmt.Errorf("failed to construct FQDN from Pod hostname and cluster domain, FQDN %s is too long (%d characters is the max, %d characters requested)",
			full, maxHostname, len(full))
	}
	return full, nil
}

const maxHostname = 64

// hostsFile is the pod's /etc/hosts; one in the node's network has the node's own.
func hostsFile(pod *v1.Pod, ip, domain string, node func() string) string {
	var b strings.Builder
	if pod.Spec.HostNetwork {
		b.WriteString("# Kubernetes-managed hosts file (host network).\n" + node())
	} else {
		b.WriteString("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n")
	}
	if ip != "" && !pod.Spec.HostNetwork {
		names := hostnameOf(pod)
		if pod.Spec.Subdomain != "" && pod.Spec.HostnameOverride == nil {
			names = fmt.Sprintf("%s.%s.%s.svc.%s\t%s", names, pod.Spec.Subdomain, pod.Namespace, domain, names)
		}
		fmt.Fprintf(&b, "%s\t%s\n", ip, names)
	}
	if len(pod.Spec.HostAliases) > 0 {
		b.WriteString("\n# Entries added by HostAliases.\n")
	}
	for _, a := range pod.Spec.HostAliases {
		fmt.Fprintf(&b, "%s\t%s\n", a.IP, strings.Join(a.Hostnames, "\t"))
	}
	return b.String()
}

// resolvConf is what a resolver needs to know.
type resolvConf struct {
	servers, searches, options []string
}

// dnsFor is the pod's resolver configuration; node is the machine's own.
func dnsFor(pod *v1.Pod, node resolvConf, server, domain string) resolvConf {
	var r resolvConf
	policy := pod.Spec.DNSPolicy
	if policy == v1.DNSClusterFirst && pod.Spec.HostNetwork || server == "" && policy != v1.DNSNone {
		policy = v1.DNSDefault
	}
	switch policy {
	case v1.DNSNone:
	case v1.DNSDefault:
		r = resolvConf{slices.Clone(node.servers), slices.Clone(node.searches), slices.Clone(node.options)}
	default:
		svc := "svc." + domain
		r = resolvConf{
			servers:  []string{server},
			searches: append([]string{pod.Namespace + "." + svc, svc, domain}, node.searches...),
			options:  []string{"ndots:5"},
		}
	}
	if c := pod.Spec.DNSConfig; c != nil {
		r.servers = unique(append(r.servers, c.Nameservers...))
		r.searches = unique(append(r.searches, c.Searches...))
		r.options = mergeOptions(r.options, c.Options)
	}
	return r
}

// mergeOptions lets the pod's options replace those of the same name.
func mergeOptions(have []string, more []v1.PodDNSConfigOption) []string {
	for _, o := range more {
		have = slices.DeleteFunc(have, func(s string) bool {
			name, _, _ := strings.Cut(s, ":")
			return name == o.Name
		})
		s := o.Name
		if o.Value != nil && *o.Value != "" {
			s += ":" + *o.Value
		}
		have = append(have, s)
	}
	return have
}

func unique(in []string) []string {
	var out []string
	for _, s := range in {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

func (r resolvConf) String() string {
	var b strings.Builder
	if len(r.searches) > 0 {
		fmt.Fprintf(&b, "search %s\n", strings.Join(r.searches, " "))
	}
	for _, s := range r.servers {
		fmt.Fprintf(&b, "nameserver %s\n", s)
	}
	if len(r.options) > 0 {
		fmt.Fprintf(&b, "options %s\n", strings.Join(r.options, " "))
	}
	return b.String()
}

// readResolvConf reads the machine's configuration; a machine without one has no
// name servers, which is no error.
func readResolvConf(path string) resolvConf {
	data, _ := os.ReadFile(path)
	var r resolvConf
	for line := range strings.Lines(string(data)) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		switch fields[0] {
		case "nameserver":
			r.servers = append(r.servers, fields[1])
		case "search":
			r.searches = fields[1:]
		case "options":
			r.options = append(r.options, fields[1:]...)
		}
	}
	return r
}
