package containerspec

import (
	"fmt"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
)

// shortHostname is the host name in the pod: at most 63 characters, without a dash or a dot
// at the end.
func shortHostname(pod *v1.Pod) string {
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

// Hostname is the kernel's host name in the pod: the short one, or with setHostnameAsFQDN
// the one with its domain. The kernel allows 64 characters.
func Hostname(pod *v1.Pod, domain string) (string, error) {
	name := shortHostname(pod)
	if !ptr.Deref(pod.Spec.SetHostnameAsFQDN, false) || pod.Spec.Subdomain == "" {
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

// HostsFile is the pod's /etc/hosts; with hostNetwork it is the node's.
func HostsFile(pod *v1.Pod, ip, domain string, node func() string) string {
	var b strings.Builder
	if pod.Spec.HostNetwork {
		b.WriteString("# Kubernetes-managed hosts file (host network).\n" + node())
	} else {
		b.WriteString("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n")
	}
	if ip != "" && !pod.Spec.HostNetwork {
		names := shortHostname(pod)
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
