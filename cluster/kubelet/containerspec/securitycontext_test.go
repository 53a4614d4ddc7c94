package containerspec

import (
	"slices"
	"testing"

	v1 "k8s.io/api/core/v1"

	"wheelhouse/cluster/kubelet/cri"
)

func TestWorkingDirThatIsAnOpenFile(t *testing.T) {
	for dir, ok := range map[string]bool{
		"": true, "/": true, "/app": true, "/proc": true, "/proc/self": true, "/dev": true, "/data/proc/self/fd/7": true, "/proc/sys/fs": true,
		"/proc/self/fd/8": false, "/proc/self/fd": false, "//proc//self/./fd/8/../..": false, "/a/../proc/1/fd/7/../../..": false, "/proc/../dev": true,
		"/proc/1/task/1/fd/3": false, "proc/thread-self/fd/9": false, "/dev/fd/8": false, "/x/../dev/fd/8": false,
	} {
		if err := CheckWorkingDir(dir); (err == nil) != ok {
			t.Errorf("%q: %v", dir, err)
		}
	}
}

// A container's SELinux options replace those of its pod.
func TestSELinux(t *testing.T) {
	pod, own := &v1.SELinuxOptions{Level: "s0:c1", Role: "system_r"}, &v1.SELinuxOptions{Type: "spc_t"}
	for _, c := range []struct {
		pod, own *v1.SELinuxOptions
		want     []string
	}{{nil, nil, nil}, {pod, nil, []string{"role:system_r", "level:s0:c1"}}, {pod, own, []string{"type:spc_t"}}} {
		s := &cri.Spec{}
		err := Secure(s, &v1.Pod{Spec: v1.PodSpec{SecurityContext: &v1.PodSecurityContext{SELinuxOptions: c.pod}}},
			&v1.Container{SecurityContext: &v1.SecurityContext{SELinuxOptions: c.own}}, cri.Image{}, "")
		if err != nil || !slices.Equal(s.SELinux, c.want) {
			t.Errorf("%v, %v; want %v", s.SELinux, err, c.want)
		}
	}
}

// Any profile of AppArmor but Unconfined needs a machine that has it.
func TestAppArmorFailure(t *testing.T) {
	const key = v1.DeprecatedAppArmorBetaContainerAnnotationKeyPrefix + "c"
	of := func(typ v1.AppArmorProfileType) *v1.AppArmorProfile { return &v1.AppArmorProfile{Type: typ} }
	pod := func(whole, own *v1.AppArmorProfile, annotation string) *v1.Pod {
		p := &v1.Pod{Spec: v1.PodSpec{
			SecurityContext: &v1.PodSecurityContext{AppArmorProfile: whole},
			Containers:      []v1.Container{{Name: "c", SecurityContext: &v1.SecurityContext{AppArmorProfile: own}}},
		}}
		if annotation != "" {
			p.Annotations = map[string]string{key: annotation}
		}
		return p
	}
	initial := pod(nil, nil, "")
	initial.Spec.InitContainers, initial.Spec.Containers = pod(nil, of(v1.AppArmorProfileTypeLocalhost), "").Spec.Containers, []v1.Container{{}}
	for name, c := range map[string]struct {
		pod   *v1.Pod
		needs bool
	}{
		"nothing":               {pod(nil, nil, ""), false},
		"no security context":   {&v1.Pod{Spec: v1.PodSpec{Containers: []v1.Container{{}}}}, false},
		"unconfined":            {pod(of(v1.AppArmorProfileTypeUnconfined), of(v1.AppArmorProfileTypeUnconfined), "unconfined"), false},
		"of the pod":            {pod(of(v1.AppArmorProfileTypeRuntimeDefault), nil, ""), true},
		"of a container":        {pod(nil, of(v1.AppArmorProfileTypeRuntimeDefault), ""), true},
		"of an init container":  {initial, true},
		"annotation":            {pod(nil, nil, "runtime/default"), true},
		"annotation, localhost": {pod(nil, nil, "localhost/x"), true},
	} {
		want := ""
		if c.needs {
			want = "Cannot enforce AppArmor: AppArmor is not enabled on the host"
		}
		if got := AppArmorFailure(c.pod, false); got != want {
			t.Errorf("%s, without AppArmor: %q", name, got)
		}
		if got := AppArmorFailure(c.pod, true); got != "" {
			t.Errorf("%s, with AppArmor: %q", name, got)
		}
	}
	s := &cri.Spec{}
	if err := Secure(s, pod(nil, nil, "runtime/default"), &v1.Container{Name: "c"}, cri.Image{}, ""); err != nil || !s.NeedsAppArmor || s.AppArmor != "" {
		t.Errorf("of the annotation runtime/default: %+v, %v", s, err)
	}
	s = &cri.Spec{}
	seccomp := &v1.SecurityContext{SeccompProfile: &v1.SeccompProfile{Type: v1.SeccompProfileTypeRuntimeDefault}}
	if err := Secure(s, &v1.Pod{}, &v1.Container{SecurityContext: seccomp}, cri.Image{}, ""); err != nil || !s.NeedsSeccomp || s.Seccomp != "" {
		t.Errorf("of seccomp's RuntimeDefault: %+v, %v", s, err)
	}
}
