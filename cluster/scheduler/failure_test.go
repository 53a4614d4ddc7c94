package scheduler

import (
	"fmt"
	"testing"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/record"

	"wheelhouse/cluster/apiserver/apitest"
	"wheelhouse/cluster/client"
)

// A pod whose binding fails because another object is gone, such as its volume, is scheduled
// again; only a pod that is gone itself is removed from the queue.
func TestFailureForgetsOnlyTheMissingPod(t *testing.T) {
	set := kubernetes.NewForConfigOrDie(apitest.Start(t))
	s, err := New(Config{Client: set, Informers: client.Informers(set), Recorder: record.NewFakeRecorder(10)})
	if err != nil {
		t.Fatal(err)
	}
	pod := makePod("p")
	for missing, removed := range map[error]bool{
		apierrors.NewNotFound(v1.Resource("persistentvolumes"), "p"):      false,
		apierrors.NewNotFound(v1.Resource("persistentvolumeclaims"), "p"): false,
		apierrors.NewNotFound(v1.Resource("namespaces"), pod.Namespace):   false,
		apierrors.NewNotFound(v1.Resource("pods"), "other"):               false,
		apierrors.NewNotFound(v1.Resource("pods"), "p"):                   true,
	} {
		s.queue.set(pod, false)
		if got := s.queue.pop(t.Context()); got.pod != pod {
			t.Fatalf("got pod %s", got.pod.Name)
		}
		s.handleFailure(t.Context(), pod, fmt.Errorf("binding volumes: %w", missing))
		if (s.queue.all[pod.UID] == nil) != removed {
			t.Errorf("%v: removed is %v, want %v", missing, !removed, removed)
		}
		s.queue.forget(pod.UID)
	}
}
