//go:build !quick

package kubelet_test

import (
	"context"
	"os"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/cluster/kubelet/dockertest"
	"wheelhouse/cluster/wait"
)

// A pod from a file runs without a request of a client and has a mirror pod at the API server.
// There it can be deleted, which ends nothing; the end of its file is its end.
func TestStaticPod(t *testing.T) {
	n := newNode(t)
	write := func(name, text string) {
		t.Helper()
		if err := os.MkdirAll(n.root+"/manifests", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(n.root+"/manifests/"+name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	manifest := func(script string) string {
		return `{apiVersion: v1, kind: Pod, metadata: {name: own, labels: {app: own}}, spec: {terminationGracePeriodSeconds: 1,
 containers: [{name: main, image: "` + dockertest.BusyBox + `", command: ["sh", "-c", "` + script + `; trap exit TERM; sleep 1000 & wait"]}]}}`
	}
	write("own.yaml", manifest("echo one"))
	write("broken.yaml", "kind: Service")
	write("needy.yaml", `{apiVersion: v1, kind: Pod, metadata: {name: needy}, spec: {serviceAccountName: x, containers: [{name: c, image: i}]}}`)
	p := n.wait("own-node-1", "Running and Ready", isReady)
	first := containerID(p)
	if p.Annotations["kubernetes.io/config.mirror"] == "" || p.Annotations["kubernetes.io/config.mirror"] != p.Annotations["kubernetes.io/config.hash"] ||
		p.Annotations["kubernetes.io/config.source"] != "file" || p.Labels["app"] != "own" || p.Spec.NodeName != "node-1" {
		t.Errorf("the mirror: %+v", p.ObjectMeta)
	}
	logged := func(want string) { // a container that runs need not have come to its first line
		t.Helper()
		wait.Within(t, patience, "the log "+want, func() error {
			code, log := n.get("/containerLogs/default/own-node-1/main")
			return wait.Seen(code == 200 && log == want, code, " ", log)
		})
	}
	logged("one\n")

	// Deleted, it comes again, with the container that it had.
	pods := n.client.CoreV1().Pods("default")
	if err := pods.Delete(context.Background(), "own-node-1", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	again := n.wait("own-node-1", "a new mirror", isReady)
	if containerID(again) != first || again.Status.ContainerStatuses[0].RestartCount != 0 {
		t.Errorf("after a deletion: %+v", again.Status.ContainerStatuses)
	}

	// A restarted kubelet adopts it, and a dead container of it is restarted.
	n.stop()
	n.start()
	if err := n.runtime.Stop(context.Background(), first, 0); err != nil {
		t.Fatal(err)
	}
	restarted := n.wait("own-node-1", "a restarted container", func(p *v1.Pod) bool { return isReady(p) && containerID(p) != first })
	if restarted.Status.ContainerStatuses[0].RestartCount != 1 {
		t.Errorf("after a restart: %+v", restarted.Status.ContainerStatuses)
	}

	// Another content is another pod.
	write("own.yaml", manifest("echo another"))
	n.wait("own-node-1", "the pod of the new file", func(p *v1.Pod) bool {
		return isReady(p) && p.Annotations["kubernetes.io/config.hash"] != restarted.Annotations["kubernetes.io/config.hash"] && containerID(p) != containerID(restarted)
	})
	logged("another\n")

	if err := os.Remove(n.root + "/manifests/own.yaml"); err != nil {
		t.Fatal(err)
	}
	wait.Within(t, patience, "nothing to be left", func() error {
		_, err := pods.Get(context.Background(), "own-node-1", metav1.GetOptions{})
		left, listErr := n.runtime.List(context.Background(), "")
		return wait.Seen(apierrors.IsNotFound(err) && listErr == nil && len(left) == 0 && n.kubelet.WorkersLeft() == 0, left)
	})
	if all, err := pods.List(context.Background(), metav1.ListOptions{}); err != nil || len(all.Items) > 0 {
		t.Errorf("pods: %v %v", all, err)
	}
	if events := n.events.String(); !strings.Contains(events, "Normal Started Started container main") {
		t.Errorf("events: %s", events)
	}
}
