package podsecurity

import (
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
)

// What a node refuses is what PodSecurity "baseline" refuses, and the kinds of volumes that "restricted" does.
func TestViolation(t *testing.T) {
	n, err := NewNode()
	if err != nil {
		t.Fatal(err)
	}
	container := func(sc v1.SecurityContext) v1.PodSpec {
		return v1.PodSpec{Containers: []v1.Container{{Name: "c", SecurityContext: &sc}}}
	}
	volume := func(source v1.VolumeSource) v1.PodSpec {
		return v1.PodSpec{Volumes: []v1.Volume{{Name: "v", VolumeSource: source}}}
	}
	unconfined := &v1.SeccompProfile{Type: v1.SeccompProfileTypeUnconfined}
	host := v1.PodSpec{Containers: []v1.Container{{Name: "c", LivenessProbe: &v1.Probe{ProbeHandler: v1.ProbeHandler{TCPSocket: &v1.TCPSocketAction{Host: "192.0.2.1"}}}}}}
	for _, c := range []struct {
		spec v1.PodSpec
		want string // "" is allowed
	}{
		{container(v1.SecurityContext{}), ""},
		{container(v1.SecurityContext{Privileged: new(true)}), "privileged"},
		{v1.PodSpec{InitContainers: container(v1.SecurityContext{Privileged: new(true)}).Containers}, "privileged"},
		{v1.PodSpec{EphemeralContainers: []v1.EphemeralContainer{{EphemeralContainerCommon: v1.EphemeralContainerCommon{
			Name: "e", SecurityContext: &v1.SecurityContext{Privileged: new(true)},
		}}}}, "privileged"},
		{container(v1.SecurityContext{Capabilities: &v1.Capabilities{Add: []v1.Capability{"SYS_ADMIN"}}}), "non-default capabilities"},
		{container(v1.SecurityContext{Capabilities: &v1.Capabilities{Add: []v1.Capability{"NET_RAW"}}}), "non-default capabilities"},
		{container(v1.SecurityContext{Capabilities: &v1.Capabilities{Add: []v1.Capability{"CHOWN"}}}), ""},
		{container(v1.SecurityContext{SeccompProfile: unconfined}), "seccompProfile"},
		{container(v1.SecurityContext{ProcMount: new(v1.UnmaskedProcMount)}), "procMount"},
		{container(v1.SecurityContext{AppArmorProfile: &v1.AppArmorProfile{Type: v1.AppArmorProfileTypeUnconfined}}), "forbidden AppArmor"},
		{container(v1.SecurityContext{SELinuxOptions: &v1.SELinuxOptions{User: "system_u"}}), "seLinuxOptions"},
		{v1.PodSpec{HostNetwork: true}, "host namespaces"},
		{v1.PodSpec{HostPID: true}, "host namespaces"},
		{v1.PodSpec{HostIPC: true}, "host namespaces"},
		{v1.PodSpec{Containers: []v1.Container{{Name: "c", Ports: []v1.ContainerPort{{ContainerPort: 80, HostPort: 80}}}}}, "hostPort"},
		{v1.PodSpec{SecurityContext: &v1.PodSecurityContext{Sysctls: []v1.Sysctl{{Name: "kernel.msgmax", Value: "1"}}}}, "forbidden sysctls"},
		{host, "probe or lifecycle host"},
		{volume(v1.VolumeSource{HostPath: &v1.HostPathVolumeSource{Path: "/"}}), "hostPath"},
		{volume(v1.VolumeSource{NFS: &v1.NFSVolumeSource{Server: "192.0.2.1", Path: "/"}}), "restricted volume types"},
		{volume(v1.VolumeSource{GitRepo: &v1.GitRepoVolumeSource{Repository: "https://192.0.2.1/x"}}), "restricted volume types"}, //nolint:staticcheck // it is what is refused
		{volume(v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{}}), ""},
		{volume(v1.VolumeSource{PersistentVolumeClaim: &v1.PersistentVolumeClaimVolumeSource{ClaimName: "x"}}), ""},
	} {
		got := n.Violation(&v1.Pod{Spec: c.spec})
		if c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%+v: %q, want %q", c.spec, got, c.want)
		}
	}
}
