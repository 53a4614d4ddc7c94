package source

import (
	"context"
	"log/slog"
	"testing"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"wheelhouse/cluster/kubelet/podspec"
)

// arrivals passes the pods on that a source hands over.
type arrivals chan *v1.Pod

func (a arrivals) PodChanged(pod *v1.Pod) { a <- pod }
func (a arrivals) PodRemoved(*v1.Pod)     {}

// A pod of the API server is not a static one, whatever its annotations say; a mirror is a mirror.
func TestAnAnnotationMakesNoStaticPod(t *testing.T) {
	claims := map[string]string{podspec.AnnotationSource: "file", "other": "kept"}
	mirror := map[string]string{podspec.AnnotationSource: "file", v1.MirrorPodAnnotationKey: "hash"}
	client := fake.NewClientset(
		&v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "claims", Namespace: "default", Annotations: claims}, Spec: v1.PodSpec{NodeName: "n"}},
		&v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "mirror", Namespace: "default", Annotations: mirror}, Spec: v1.PodSpec{NodeName: "n"}},
	)
	pods := make(arrivals, 2)
	s := NewAPIServer(client, "n", pods, slog.New(slog.DiscardHandler))
	ctx, end := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { s.Run(ctx); close(ended) }()
	for range 2 {
		pod := <-pods
		source := pod.Annotations[podspec.AnnotationSource]
		switch {
		case podspec.IsStatic(pod):
			t.Errorf("pod %s of the API server counts as static", pod.Name)
		case pod.Name == "claims" && (source != "api" || pod.Annotations["other"] != "kept"):
			t.Errorf("annotations %v", pod.Annotations)
		case pod.Name == "mirror" && (source != "file" || !podspec.IsMirror(pod)):
			t.Errorf("annotations of the mirror %v", pod.Annotations)
		}
	}
	end()
	<-ended
}
