//go:build !quick

package kubelet_test

import (
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
)

// What a security context requires holds inside the container.
func TestSecurityContext(t *testing.T) {
	n := newNode(t)
	grep := func(what, value string) string { return "grep -q '^" + what + ":.*" + value + "' /proc/self/status" }
	for name, c := range map[string]struct {
		script string
		sc     v1.SecurityContext
		pod    func(*v1.PodSpec)
	}{
		"user":     {script: `test "$(id -u):$(id -g)" = 1000:3000`, sc: v1.SecurityContext{RunAsUser: new(int64(1000)), RunAsGroup: new(int64(3000)), RunAsNonRoot: new(true)}},
		"podsuser": {script: `test "$(id -u)" = 7`, pod: func(s *v1.PodSpec) { s.SecurityContext = &v1.PodSecurityContext{RunAsUser: new(int64(7))} }},
		"readonly": {script: `! touch /x 2>/dev/null`, sc: v1.SecurityContext{ReadOnlyRootFilesystem: new(true)}},
		"nocaps":   {script: grep("CapEff", "0000000000000000"), sc: v1.SecurityContext{Capabilities: &v1.Capabilities{Drop: []v1.Capability{"ALL"}}}},
		"onecap": {script: grep("CapEff", "0000000000001000"), sc: v1.SecurityContext{Capabilities: &v1.Capabilities{
			Drop: []v1.Capability{"ALL"}, Add: []v1.Capability{"NET_ADMIN"},
		}}},
		"privileged": {script: `mkdir /m && mount -t tmpfs none /m`, sc: v1.SecurityContext{Privileged: new(true)}},
		"plain":      {script: `mkdir /m && ! mount -t tmpfs none /m 2>/dev/null && ` + grep("NoNewPrivs", "0") + ` && ` + grep("Seccomp", "2")},
		"nonew":      {script: grep("NoNewPrivs", "1"), sc: v1.SecurityContext{AllowPrivilegeEscalation: new(false)}},
		"unconfined": {script: grep("Seccomp", "0"), sc: v1.SecurityContext{SeccompProfile: &v1.SeccompProfile{Type: v1.SeccompProfileTypeUnconfined}}},
		"unmasked":   {script: `grep -q . /proc/kcore </dev/null || ! grep -q ' /proc/kcore ' /proc/mounts`, sc: v1.SecurityContext{ProcMount: new(v1.UnmaskedProcMount)}},
		"sysctl": {script: `test "$(cat /proc/sys/net/ipv4/ip_unprivileged_port_start)" = 80`, pod: func(s *v1.PodSpec) {
			s.SecurityContext = &v1.PodSecurityContext{Sysctls: []v1.Sysctl{{Name: "net.ipv4.ip_unprivileged_port_start", Value: "80"}}}
		}},
		"fqdn": {script: `test "$(hostname)" = h.sub.default.svc.cluster.local && grep -q 'h.sub.default.svc.cluster.local' /etc/hosts`, pod: func(s *v1.PodSpec) {
			s.Hostname, s.Subdomain, s.SetHostnameAsFQDN = "h", "sub", new(true)
		}},
		"dns": {script: `test "$(cat /etc/resolv.conf)" = "$(printf 'search x.y\nnameserver 192.0.2.1\noptions ndots:2 edns0')"`, pod: func(s *v1.PodSpec) {
			s.DNSPolicy = v1.DNSNone
			s.DNSConfig = &v1.PodDNSConfig{Nameservers: []string{"192.0.2.1"}, Searches: []string{"x.y"}, Options: []v1.PodDNSConfigOption{{Name: "ndots", Value: new("2")}, {Name: "edns0"}}}
		}},
	} {
		p := pod(name, c.script)
		p.Spec.Containers[0].SecurityContext = &c.sc
		if c.pod != nil {
			c.pod(&p.Spec)
		}
		n.succeeds(p)
	}
}

// What a node does not do for pods is reported in the words that people search for.
func TestNotForPods(t *testing.T) {
	n := newNode(t)
	waits := func(p *v1.Pod, reason, message string) {
		t.Helper()
		n.create(p)
		n.wait(p.Name, reason, func(q *v1.Pod) bool {
			s := q.Status.ContainerStatuses
			return len(s) == 1 && s[0].State.Waiting != nil && s[0].State.Waiting.Reason == reason && strings.Contains(s[0].State.Waiting.Message, message)
		})
	}
	root := pod("root", "true")
	root.Spec.Containers[0].SecurityContext = &v1.SecurityContext{RunAsNonRoot: new(true)}
	waits(root, "CreateContainerConfigError", `container has runAsNonRoot and image will run as root (pod: "root_default(`+string(root.UID)+`)", container: main)`)
	named := pod("named", "true")
	named.Spec.Containers[0].Image = "Not/a:good:name"
	waits(named, "InvalidImageName", `Failed to apply default image tag "Not/a:good:name": couldn't parse image name "Not/a:good:name": invalid reference format`)
	n.saysAll("Warning InspectFailed Failed to apply default image tag", "Warning Failed Error: InvalidImageName", "Warning Failed Error: container has runAsNonRoot")

	unsafe := pod("unsafe", "true")
	unsafe.Spec.SecurityContext = &v1.PodSecurityContext{Sysctls: []v1.Sysctl{{Name: "kernel.msgmax", Value: "65536"}}}
	n.create(unsafe)
	p := n.wait("unsafe", "Failed", func(p *v1.Pod) bool { return p.Status.Phase == v1.PodFailed })
	if p.Status.Reason != "SysctlForbidden" || p.Status.Message != `Pod was rejected: forbidden sysctl: "kernel.msgmax" not allowlisted` {
		t.Errorf("%+v", p.Status)
	}
	n.saysAll(`Warning SysctlForbidden forbidden sysctl: "kernel.msgmax" not allowlisted`)

	long := pod("long", "true")
	long.Spec.Hostname, long.Spec.Subdomain, long.Spec.SetHostnameAsFQDN = strings.Repeat("h", 40), "sub", new(true)
	n.create(long)
	n.saysAll("Warning FailedCreatePodSandBox Failed to create pod sandbox: failed to construct FQDN from Pod hostname and cluster domain, FQDN " +
		strings.Repeat("h", 40) + ".sub.default.svc.cluster.local is too long (64 characters is the max, 70 characters requested)")
	n.delete2("root", "named", "unsafe", "long")
}
