//go:build !quick

package kubelet_test

import (
	"context"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/cluster/api/podsecurity"
	"wheelhouse/cluster/kubelet"
	"wheelhouse/cluster/kubelet/dockertest"
)

// A node with PodSecurity runs no pod that goes beyond it, also where whoever administers the API has written that the pod
// is admitted already; and a container that is added later is refused alone.
func TestNodePodSecurity(t *testing.T) {
	checks, err := podsecurity.NewNode()
	if err != nil {
		t.Fatal(err)
	}
	n := newNodeWith(t, func(c *kubelet.Config) { c.PodSecurity, c.MaxContainers = checks, 3 })
	privileged := pod("privileged", "sleep 1000")
	privileged.Spec.Containers[0].SecurityContext = &v1.SecurityContext{Privileged: new(true)}
	pretended := pod("pretended", "sleep 1000")
	pretended.Spec.HostPID = true
	pretended.Status = v1.PodStatus{Phase: v1.PodRunning, StartTime: &metav1.Time{Time: time.Now()}}
	for _, p := range []*v1.Pod{privileged, pretended} {
		n.create(p)
		got := n.wait(p.Name, "Failed", func(p *v1.Pod) bool { return p.Status.Phase == v1.PodFailed })
		if got.Status.Reason != "PodSecurity" || !strings.HasPrefix(got.Status.Message, "Pod was rejected: it violates the PodSecurity of the node: ") {
			t.Errorf("%s: %+v", p.Name, got.Status)
		}
		if list, err := n.runtime.List(t.Context(), string(p.UID)); err != nil || len(list) > 0 {
			t.Errorf("%s has containers: %v %v", p.Name, list, err)
		}
	}
	static := pod("static", "sleep 1000")
	static.Annotations = map[string]string{"kubernetes.io/config.source": "file"}
	static.Spec.Volumes = append(static.Spec.Volumes, v1.Volume{Name: "machine", VolumeSource: v1.VolumeSource{HostPath: &v1.HostPathVolumeSource{Path: "/"}}})
	n.create(static) // its status is not reported, as that of a pod of the node's own manifests
	n.saysAll("Warning PodSecurity Pod violates the PodSecurity of the node: privileged", "Warning PodSecurity Pod violates the PodSecurity of the node: hostPath volumes")
	if list, err := n.runtime.List(t.Context(), string(static.UID)); err != nil || len(list) > 0 {
		t.Errorf("static has containers: %v %v", list, err)
	}

	n.create(pod("plain", "exec sleep 4243"))
	main := containerID(n.wait("plain", "Ready", isReady))
	debug := func(name string, sc *v1.SecurityContext) {
		t.Helper()
		p, err := n.client.CoreV1().Pods("default").Get(context.Background(), "plain", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		p.Generation++
		p.Spec.EphemeralContainers = append(p.Spec.EphemeralContainers, v1.EphemeralContainer{EphemeralContainerCommon: v1.EphemeralContainerCommon{
			Name: name, Image: dockertest.BusyBox, ImagePullPolicy: v1.PullIfNotPresent, Command: []string{"sleep", "1000"}, SecurityContext: sc,
			TerminationMessagePath: "/dev/termination-log", TerminationMessagePolicy: v1.TerminationMessageReadFile,
		}})
		if _, err := n.client.CoreV1().Pods("default").Update(context.Background(), p, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	debug("root", &v1.SecurityContext{Capabilities: &v1.Capabilities{Add: []v1.Capability{"SYS_ADMIN"}}})
	debug("harmless", nil)
	p := n.wait("plain", "one ephemeral container", func(p *v1.Pod) bool {
		s := p.Status.EphemeralContainerStatuses
		return len(s) == 2 && s[1].State.Running != nil
	})
	s := p.Status.EphemeralContainerStatuses[0]
	if s.State.Waiting == nil || !strings.Contains(s.State.Waiting.Message, "violates the PodSecurity of the node") || s.ContainerID != "" || containerID(p) != main || !isReady(p) {
		t.Errorf("%+v", p.Status)
	}
	n.delete2("privileged", "pretended", "static", "plain")
}
