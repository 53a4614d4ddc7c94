package containerspec

import (
	"fmt"
	"os"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
)

// ResolvConf is a resolver configuration.
type ResolvConf struct {
	servers, searches, options []string
}

// ResolvConfFor is the pod's resolver configuration; node is the machine's own.
func ResolvConfFor(pod *v1.Pod, node ResolvConf, server, domain string) ResolvConf {
	var r ResolvConf
	policy := pod.Spec.DNSPolicy
	if policy == v1.DNSClusterFirst && pod.Spec.HostNetwork || server == "" && policy != v1.DNSNone {
		policy = v1.DNSDefault // NoClusterDNS has the text of the event
	}
	switch policy {
	case v1.DNSNone:
	case v1.DNSDefault:
		r = ResolvConf{slices.Clone(node.servers), slices.Clone(node.searches), slices.Clone(node.options)}
	default:
		svc := "svc." + domain
		r = ResolvConf{
			servers:  []string{server},
			searches: unique(append([]string{pod.Namespace + "." + svc, svc, domain}, node.searches...)),
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

// NoClusterDNS returns the text of upstream's event MissingClusterDNS if the pod asks for the cluster's name server and the node has none configured;
// else it is empty.
func NoClusterDNS(pod *v1.Pod, server string) string {
	policy := pod.Spec.DNSPolicy
	if server != "" || policy != v1.DNSClusterFirstWithHostNet && (policy != v1.DNSClusterFirst || pod.Spec.HostNetwork) {
		return ""
	}
	return fmt.Sprintf("kubelet does not have ClusterDNS IP configured and cannot create Pod using %q policy. Falling back to %q policy.", v1.DNSClusterFirst, v1.DNSDefault)
}

// Limits of a resolver configuration, as upstream. The resolver of glibc ends the process for
// a longer search path.
const (
	maxNameservers = 3
	maxSearchPaths = 32
	maxSearchChars = 2048 // of the line, spaces included
)

// Fit returns the configuration without what is beyond the limits, and a text for the event of
// each line that is shortened.
func (r ResolvConf) Fit() (fit ResolvConf, omitted []string) {
	fit = r
	if len(r.servers) > maxNameservers {
		fit.servers = r.servers[:maxNameservers]
		omitted = append(omitted, "Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: "+strings.Join(fit.servers, " "))
	}
	fit.searches = slices.DeleteFunc(slices.Clone(r.searches[:min(len(r.searches), maxSearchPaths)]), func(s string) bool {
		return len(s) > validation.DNS1123SubdomainMaxLength
	})
	for len(strings.Join(fit.searches, " ")) > maxSearchChars {
		fit.searches = fit.searches[:len(fit.searches)-1]
	}
	if len(fit.searches) < len(r.searches) {
		omitted = append(omitted, "Search Line limits were exceeded, some search paths have been omitted, the applied search line is: "+strings.Join(fit.searches, " "))
	}
	return fit, omitted
}

// mergeOptions replaces the options that the pod sets, by name.
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

func (r ResolvConf) String() string {
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

// ReadResolvConf reads the machine's configuration; a machine without one has no name
// servers.
func ReadResolvConf(path string) ResolvConf {
	data, _ := os.ReadFile(path)
	var r ResolvConf
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
