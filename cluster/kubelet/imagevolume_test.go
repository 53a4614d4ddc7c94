//go:build !quick

package kubelet_test

import (
	"os"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"

	"wheelhouse/cluster/kubelet/dockertest"
)

// An image's files are a volume, whole or a part of it, in which nothing can be written
// or run.
func TestImageVolume(t *testing.T) {
	n := newNode(t)
	source := func(ref string, policy v1.PullPolicy) v1.VolumeSource {
		return v1.VolumeSource{Image: &v1.ImageVolumeSource{Reference: ref, PullPolicy: policy}}
	}
	p := pod("files", `set -e
test -f /all/bin/busybox
test -f /part/busybox
if touch /all/x; then exit 3; fi
if touch /part/x; then exit 4; fi
if /all/bin/busybox true; then exit 5; fi
if /part/busybox true; then exit 6; fi
if umount /all; then exit 7; fi`)
	p.Spec.Containers = append(p.Spec.Containers, p.Spec.Containers[0])
	p.Spec.Containers[1].Name, p.Spec.Containers[1].Command = "other", []string{"sh", "-c", "ls -d /part/busybox"}
	mounted(p, "files", source(dockertest.BusyBox, v1.PullIfNotPresent), v1.VolumeMount{MountPath: "/all"})
	part := v1.VolumeMount{Name: "files", MountPath: "/part", SubPath: "bin"}
	for i := range p.Spec.Containers {
		p.Spec.Containers[i].VolumeMounts = append(p.Spec.Containers[i].VolumeMounts, part)
	}
	n.succeeds(p)

	// A registry that cannot be reached does not keep a pod from what lies on the machine.
	offline := pod("offline", "test -f /all/bin/busybox")
	mounted(offline, "files", source(dockertest.BusyBox, v1.PullAlways), v1.VolumeMount{MountPath: "/all"})
	n.succeeds(offline)

	absent := pod("absent", "true")
	mounted(absent, "none", source("wheelhouse.test/none:1", v1.PullNever), v1.VolumeMount{MountPath: "/all"})
	n.create(absent)
	waiting := func(reason string) func(*v1.Pod) bool {
		return func(p *v1.Pod) bool {
			s := p.Status.ContainerStatuses
			return len(s) > 0 && s[0].State.Waiting != nil && s[0].State.Waiting.Reason == reason
		}
	}
	n.wait("absent", "ErrImageNeverPull", waiting("ErrImageNeverPull"))
	n.saysAll(`Warning ErrImageNeverPull Container image "wheelhouse.test/none:1" is not present with pull policy of Never`)

	astray := pod("astray", "true")
	mounted(astray, "files", source(dockertest.BusyBox, v1.PullNever), v1.VolumeMount{MountPath: "/all", SubPath: "no/such/directory"})
	n.create(astray)
	got := n.wait("astray", "CreateContainerConfigError", waiting("CreateContainerConfigError"))
	if m := got.Status.ContainerStatuses[0].State.Waiting.Message; !strings.Contains(m, `failed to prepare subPath for volumeMount "files" of container "main"`) {
		t.Errorf("a part that is not there: %s", m)
	}
	n.delete2("files", "offline", "absent", "astray")
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(mounts), n.root) {
		t.Errorf("still mounted:\n%s", mounts)
	}
}

// A container that brings its own file of hosts has that one, and the others the pod's. A
// node's disk has such a file, which names the node.
func TestOwnHosts(t *testing.T) {
	n := newNode(t)
	const managed = "# Kubernetes-managed hosts file."
	p := pod("hosts", `set -e; grep -q "`+managed+`" /etc/hosts; grep -q node-1 /etc/hosts-original; cp /etc/hosts-original /shared/x`)
	file := v1.HostPathFileOrCreate
	mounted(p, "hosts", v1.VolumeSource{HostPath: &v1.HostPathVolumeSource{Path: "/etc/hosts", Type: &file}}, v1.VolumeMount{MountPath: "/etc/hosts-original"})
	mounted(p, "shared", v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{}}, v1.VolumeMount{MountPath: "/shared"})
	own := *p.Spec.Containers[0].DeepCopy()
	own.Name, own.Command = "own", []string{"sh", "-c", "set -e; cmp /etc/hosts /etc/hosts-original; if grep '" + managed + "' /etc/hosts; then exit 3; fi"}
	own.VolumeMounts = append(own.VolumeMounts, v1.VolumeMount{Name: "hosts", MountPath: "/etc/hosts"})
	p.Spec.Containers = append(p.Spec.Containers, own)
	n.succeeds(p)
	n.delete2("hosts")
}
