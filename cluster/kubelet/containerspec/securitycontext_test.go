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
