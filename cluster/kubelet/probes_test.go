//go:build !quick

package kubelet_test

import (
	"context"
	"os"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"wheelhouse/cluster/wait"
)

// Readiness follows the application; a failed liveness probe restarts it; a slow
// start is left alone by both.
func TestProbes(t *testing.T) {
	n := newNode(t)
	p := pod("probed", "mkdir /www; trap exit TERM; httpd -p 8080 -h /www & sleep 1000 & wait")
	c := &p.Spec.Containers[0]
	c.Ports = []v1.ContainerPort{{Name: "web", ContainerPort: 8080}}
	c.StartupProbe = &v1.Probe{
		ProbeHandler:  v1.ProbeHandler{TCPSocket: &v1.TCPSocketAction{Port: intstr.FromInt32(8080)}},
		PeriodSeconds: 1, FailureThreshold: 30,
	}
	c.ReadinessProbe = &v1.Probe{
		ProbeHandler:  v1.ProbeHandler{HTTPGet: &v1.HTTPGetAction{Path: "/ready", Port: intstr.FromString("web")}},
		PeriodSeconds: 1, FailureThreshold: 1,
	}
	c.LivenessProbe = &v1.Probe{
		ProbeHandler:  v1.ProbeHandler{Exec: &v1.ExecAction{Command: []string{"test", "!", "-e", "/www/ill"}}},
		PeriodSeconds: 1, FailureThreshold: 2, TimeoutSeconds: 5,
	}
	n.create(p)
	running := n.wait("probed", "started but not ready", func(p *v1.Pod) bool {
		s := p.Status.ContainerStatuses
		return len(s) > 0 && s[0].Started != nil && *s[0].Started && !s[0].Ready && s[0].State.Running != nil
	})
	do := func(cmd ...string) {
		t.Helper()
		q, err := n.client.CoreV1().Pods("default").Get(context.Background(), "probed", getOptions)
		if err != nil {
			t.Fatal(err)
		}
		if code, err := n.runtime.Exec(context.Background(), containerID(q), cmd, discard); err != nil || code != 0 {
			t.Fatalf("%v: %d %v", cmd, code, err)
		}
	}
	wait.Within(t, patience, "an Unhealthy event", func() error {
		return wait.Seen(strings.Contains(n.events.String(), "Warning Unhealthy Readiness probe failed: HTTP probe failed with statuscode: 404"), n.events)
	})
	do("touch", "/www/ready")
	n.wait("probed", "Ready", isReady)
	do("rm", "/www/ready")
	n.wait("probed", "not Ready", func(p *v1.Pod) bool { return !isReady(p) })
	do("touch", "/www/ill")
	n.wait("probed", "a restart", func(p *v1.Pod) bool {
		s := p.Status.ContainerStatuses
		return len(s) > 0 && s[0].RestartCount == 1 && s[0].State.Running != nil && containerID(p) != containerID(running)
	})
	for _, want := range []string{"Warning Unhealthy Liveness probe failed: ", "Normal Killing Container main failed liveness probe, will be restarted"} {
		if !strings.Contains(n.events.String(), want) {
			t.Errorf("no event %q in:\n%s", want, n.events)
		}
	}
	n.delete("probed")
}

// A pod that is being ended is probed for readiness until its container is gone, so that
// nobody sends to it when it has stopped to serve; a failed liveness probe means nothing any more.
// Name servers beyond three are left out of the file, and an event says so.
func TestNameserversBeyondTheLimit(t *testing.T) {
	n := newNode(t)
	p := pod("names", `test "$(grep -c nameserver /etc/resolv.conf)" = 3`)
	p.Spec.DNSPolicy = v1.DNSNone
	p.Spec.DNSConfig = &v1.PodDNSConfig{Nameservers: []string{"192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"}}
	n.succeeds(p)
	n.saysAll("Warning DNSConfigForming Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: 192.0.2.1 192.0.2.2 192.0.2.3")
	n.delete("names")
}

func TestReadinessWhileEnding(t *testing.T) {
	n := newNode(t)
	p := pod("leaving", "touch /ready; trap 'rm /ready; while [ ! -e /go ]; do sleep 0.1; done; exit 0' TERM; while true; do sleep 0.1; done")
	grace := int64(60)
	p.Spec.TerminationGracePeriodSeconds = &grace
	c := &p.Spec.Containers[0]
	there := v1.ProbeHandler{Exec: &v1.ExecAction{Command: []string{"test", "-e", "/ready"}}}
	c.ReadinessProbe = &v1.Probe{ProbeHandler: there, PeriodSeconds: 1, FailureThreshold: 1, TimeoutSeconds: 5}
	c.LivenessProbe = &v1.Probe{ProbeHandler: there, PeriodSeconds: 1, FailureThreshold: 1, TimeoutSeconds: 5, InitialDelaySeconds: 2}
	n.create(p)
	ready := n.wait("leaving", "Ready", isReady)
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		n.delete("leaving")
	}()
	n.wait("leaving", "ending and no longer Ready", func(p *v1.Pod) bool {
		return p.DeletionTimestamp != nil && !isReady(p) && p.Status.ContainerStatuses[0].State.Running != nil
	})
	if code, err := n.runtime.Exec(context.Background(), containerID(ready), []string{"touch", "/go"}, discard); err != nil || code != 0 {
		t.Fatalf("let it go: %d %v", code, err)
	}
	<-gone
	if strings.Contains(n.events.String(), "Liveness probe failed") {
		t.Errorf("probed for liveness while ending:\n%s", n.events)
	}
}

// A probe may have a grace period for the container that it has failed: less
// than the pod's grace, which these would need whole.
func TestGraceOfAProbe(t *testing.T) {
	n := newNode(t)
	p := pod("stubborn", "trap '[ -e /v/go ] && exit 0' TERM; while true; do sleep 0.1; done")
	long, short, dir := int64(600), int64(1), v1.HostPathDirectoryOrCreate
	p.Spec.TerminationGracePeriodSeconds = &long
	p.Spec.Volumes = []v1.Volume{{Name: "v", VolumeSource: v1.VolumeSource{HostPath: &v1.HostPathVolumeSource{Path: "/var/v", Type: &dir}}}}
	main := &p.Spec.Containers[0]
	main.VolumeMounts = []v1.VolumeMount{{Name: "v", MountPath: "/v"}}
	fails := &v1.Probe{
		ProbeHandler:  v1.ProbeHandler{Exec: &v1.ExecAction{Command: []string{"test", "-e", "/v/well"}}},
		PeriodSeconds: 1, FailureThreshold: 1, TimeoutSeconds: 5, TerminationGracePeriodSeconds: &short,
	}
	sidecar, always := *main.DeepCopy(), v1.ContainerRestartPolicyAlways
	sidecar.Name, sidecar.RestartPolicy = "sidecar", &always
	main.LivenessProbe, sidecar.StartupProbe = fails, fails
	restarted := func(list []v1.ContainerStatus) bool { return len(list) == 1 && list[0].RestartCount > 0 }

	// The second's sidecar holds the rest of its pod up.
	heldUp := pod("held-up", "true")
	heldUp.Spec, heldUp.Spec.InitContainers = *p.Spec.DeepCopy(), []v1.Container{sidecar}
	n.create(p)
	n.wait("stubborn", "a restart for its liveness probe", func(p *v1.Pod) bool { return restarted(p.Status.ContainerStatuses) })
	end := func(name string) {
		if err := os.WriteFile(n.root+"/disk/var/v/go", nil, 0o644); err != nil {
			t.Fatal(err)
		}
		n.delete(name)
	}
	end("stubborn")
	if err := os.Remove(n.root + "/disk/var/v/go"); err != nil {
		t.Fatal(err)
	}
	n.create(heldUp)
	n.wait("held-up", "a restart of the sidecar for its startup probe", func(p *v1.Pod) bool { return restarted(p.Status.InitContainerStatuses) })
	end("held-up")
}

// What cannot be done is reported by an event that names the way out.
func TestRefusals(t *testing.T) {
	n := newNode(t)
	flocker := pod("flocker", "sleep 1000")
	flocker.Spec.Volumes = []v1.Volume{{Name: "v", VolumeSource: v1.VolumeSource{Flocker: &v1.FlockerVolumeSource{DatasetName: "s"}}}}
	n.create(flocker)
	absent := pod("absent", "")
	absent.Spec.Containers[0].ImagePullPolicy, absent.Spec.Containers[0].Image = v1.PullNever, "wheelhouse/absent:1"
	n.create(absent)
	root := pod("root", "sleep 1000")
	root.Spec.SecurityContext = &v1.PodSecurityContext{RunAsNonRoot: new(true)}
	n.create(root)
	for _, want := range []string{
		`Warning FailedMount MountVolume.SetUp failed for volume "v" : volumes of kind flocker are not supported on this node: `,
		`Warning ErrImageNeverPull Container image "wheelhouse/absent:1" is not present with pull policy of Never`,
		"Warning Failed Error: container has runAsNonRoot and image will run as root",
	} {
		wait.Within(t, patience, want, func() error { return wait.Seen(strings.Contains(n.events.String(), want), n.events) })
	}
	n.wait("absent", "ErrImageNeverPull", func(p *v1.Pod) bool {
		s := p.Status.ContainerStatuses
		return p.Status.Phase == v1.PodPending && len(s) > 0 && s[0].State.Waiting != nil &&
			(s[0].State.Waiting.Reason == "ErrImageNeverPull" || s[0].State.Waiting.Reason == "ImagePullBackOff")
	})
	n.delete2("flocker", "absent", "root")
}
