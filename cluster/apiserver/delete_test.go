package apiserver_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"wheelhouse/cluster/apiserver"
	"wheelhouse/cluster/apiserver/admission"
	"wheelhouse/cluster/apiserver/apitest"
)

// A kind with namespaces cannot be deleted in all of them by one request.
func TestDeleteCollectionNeedsANamespace(t *testing.T) {
	client := kubernetes.NewForConfigOrDie(apitest.Start(t)).CoreV1()
	if _, err := client.ConfigMaps("default").Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "kept"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := client.ConfigMaps("").DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{}); !apierrors.IsMethodNotSupported(err) {
		t.Errorf("got %v, want 405", err)
	}
	if _, err := client.ConfigMaps("default").Get(t.Context(), "kept", metav1.GetOptions{}); err != nil {
		t.Error(err)
	}
}

// overtaken lets another write pass the next deletion between its read and its own write.
type overtaken struct{ by atomic.Pointer[func() error] }

func (*overtaken) Admit(context.Context, *admission.Request) error { return nil }

func (*overtaken) Done(context.Context, *admission.Request, error) {}

func (o *overtaken) Validate(_ context.Context, r *admission.Request) error {
	if other := o.by.Load(); other != nil && r.Verb == admission.Delete && o.by.CompareAndSwap(other, nil) {
		return (*other)()
	}
	return nil
}

// An object is deleted once: of two requests that delete it at the same time, one is answered with
// NotFound.
func TestAnObjectIsDeletedOnce(t *testing.T) {
	var between overtaken
	client := kubernetes.NewForConfigOrDie(apitest.Start(t, func(c *apiserver.Config) { c.Admission = &between })).CoreV1()
	ctx := t.Context()
	meta := metav1.ObjectMeta{Namespace: "default", Name: "once"}
	create := func() error {
		_, err := client.ConfigMaps("default").Create(ctx, &corev1.ConfigMap{ObjectMeta: meta}, metav1.CreateOptions{})
		return err
	}
	remove := func() error { return client.ConfigMaps("default").Delete(ctx, "once", metav1.DeleteOptions{}) }
	terminating := func() error {
		held := corev1.ConfigMap{ObjectMeta: meta}
		held.Finalizers = []string{"example.com/held"}
		_, err := client.ConfigMaps("default").Create(ctx, &held, metav1.CreateOptions{})
		return errors.Join(err, remove())
	}
	release := func() error {
		_, err := client.ConfigMaps("default").Patch(ctx, "once", types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{})
		return err
	}
	createPod := func() error {
		spec := corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}}
		_, err := client.Pods("default").Create(ctx, &corev1.Pod{ObjectMeta: meta, Spec: spec}, metav1.CreateOptions{})
		return err
	}
	removePod := func() error { return client.Pods("default").Delete(ctx, "once", metav1.DeleteOptions{}) }
	evict := func() error { return client.Pods("default").EvictV1(ctx, &policyv1.Eviction{ObjectMeta: meta}) }
	for name, c := range map[string]struct{ create, first, overtaking func() error }{
		"two deletions":                      {create, remove, remove},
		"two deletions of a pod":             {createPod, removePod, removePod},
		"an eviction and a deletion":         {createPod, evict, removePod},
		"a deletion and an eviction":         {createPod, removePod, evict},
		"two removals of the last finalizer": {terminating, release, release},
	} {
		t.Run(name, func(t *testing.T) {
			if err := c.create(); err != nil {
				t.Fatal(err)
			}
			passed := errors.New("the other request was not sent")
			other := func() error { passed = c.overtaking(); return nil }
			between.by.Store(&other)
			if err := c.first(); passed != nil || !apierrors.IsNotFound(err) {
				t.Errorf("the request that passed was answered with %v, want success; the other with %v, want 404", passed, err)
			}
		})
	}
}
