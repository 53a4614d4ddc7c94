//go:build !quick

package kubelet_test

import (
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A container whose postStart hook fails is killed, and was never ready: a program that ends slowly would get requests until
// then.
func TestFailedPostStartIsNeverReady(t *testing.T) {
	n := newNode(t)
	p := pod("unhooked", "trap 'sleep 1; exit' TERM; sleep 1000 & wait")
	p.Spec.TerminationGracePeriodSeconds = new(int64(10))
	p.Spec.Containers[0].Lifecycle = &v1.Lifecycle{
		PostStart: &v1.LifecycleHandler{Exec: &v1.ExecAction{Command: []string{"sh", "-c", "exit 3"}}},
	}
	w, err := n.client.CoreV1().Pods("default").Watch(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer time.AfterFunc(patience, w.Stop).Stop()
	n.create(p)
	restarted := false
	for e := range w.ResultChan() {
		seen, ok := e.Object.(*v1.Pod)
		if !ok || seen.Name != p.Name || len(seen.Status.ContainerStatuses) == 0 {
			continue
		}
		s := seen.Status.ContainerStatuses[0]
		if restarted = s.RestartCount > 0; restarted || s.Ready || isReady(seen) {
			if s.Ready || isReady(seen) {
				t.Errorf("it is ready: %+v", seen.Status)
			}
			break
		}
	}
	if !restarted && !t.Failed() {
		t.Error("its container was not restarted")
	}
	n.delete(p.Name)
}
