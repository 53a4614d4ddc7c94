package apiserver_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
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

// A dry run shows what would be stored, and a pod that goes at once shows when.
func TestDeletionsShowTheirEnd(t *testing.T) {
	r := newRaw(t, apitest.Start(t))
	for path, body := range map[string]string{
		maps:                                              `{"metadata":{"name":"p"}}`,
		somePods:                                          podJSON,
		"/apis/batch/v1/namespaces/default/jobs":          `{"metadata":{"name":"p"},"spec":{"suspend":true,"template":{"spec":{"restartPolicy":"Never","containers":[{"name":"c","image":"x"}]}}}}`,
		"/apis/storage.k8s.io/v1/storageclasses":          `{"metadata":{"name":"p"},"provisioner":"a.example/b"}`,
		"/api/v1/namespaces/default/events":               `{"metadata":{"name":"p"},"involvedObject":{"namespace":"default"}}`,
		"/api/v1/namespaces/default/serviceaccounts":      `{"metadata":{"name":"p"}}`,
		"/apis/batch/v1beta1/namespaces/default/cronjobs": `{"metadata":{"name":"p"},"spec":{"schedule":"* * * * *","jobTemplate":{"spec":{"template":{"spec":{"restartPolicy":"Never","containers":[{"name":"c","image":"x"}]}}}}}}`,
	} {
		if resp, answer := r.do("POST", path, asJSON, body); resp.StatusCode != 201 {
			t.Fatalf("%s: %d %s", path, resp.StatusCode, answer)
		}
	}
	const warning = `299 - "child pods are preserved by default when jobs are deleted; ` +
		`set propagationPolicy=Background to remove them or set propagationPolicy=Orphan to suppress this warning"`
	for _, c := range []struct {
		name, path string
		finalizers []string // nil: the answer is a Status, or it has none
		kind       string
		ends       bool
		warning    string
	}{
		{"foreground", maps + "/p?dryRun=All&propagationPolicy=Foreground", []string{"foregroundDeletion"}, "ConfigMap", true, ""},
		{"at once", maps + "/p?dryRun=All", nil, "Status", false, ""},
		{"events have no dependents", "/api/v1/namespaces/default/events/p?dryRun=All&propagationPolicy=Orphan", nil, "Status", false, ""},
		{"a class is shown", "/apis/storage.k8s.io/v1/storageclasses/p?dryRun=All", nil, "StorageClass", false, ""},
		{"an account is shown", "/api/v1/namespaces/default/serviceaccounts/p?dryRun=All", nil, "ServiceAccount", false, ""},
		{"pods of a Job stay by default", "/apis/batch/v1/namespaces/default/jobs/p?dryRun=All", []string{"orphan"}, "Job", true, warning},
		{"pods of a Job go", "/apis/batch/v1/namespaces/default/jobs/p?dryRun=All&propagationPolicy=Background", nil, "Status", false, ""},
		{"Jobs of an old CronJob stay", "/apis/batch/v1beta1/namespaces/default/cronjobs/p?dryRun=All", []string{"orphan"}, "CronJob", true, "-"},
		{"Jobs of a CronJob go", "/apis/batch/v1/namespaces/default/cronjobs/p?dryRun=All", nil, "Status", false, ""},
		{"a pod in a dry run", somePods + "/p?dryRun=All", nil, "Pod", true, ""},
		{"a pod", somePods + "/p", nil, "Pod", true, ""},
	} {
		resp, body := r.do("DELETE", c.path, "", "")
		var got metav1.PartialObjectMetadata
		if err := json.Unmarshal([]byte(body), &got); err != nil || resp.StatusCode != 200 {
			t.Errorf("%s: %d %v %s", c.name, resp.StatusCode, err, body)
			continue
		}
		if !slices.Equal(got.Finalizers, c.finalizers) || got.Kind != c.kind || (got.DeletionTimestamp != nil) != c.ends ||
			c.ends && (got.DeletionGracePeriodSeconds == nil || *got.DeletionGracePeriodSeconds != 0) {
			t.Errorf("%s: %s %v, deleted at %v; want %s %v, %v", c.name, got.Kind, got.Finalizers, got.DeletionTimestamp, c.kind, c.finalizers, c.ends)
		}
		if w := resp.Header.Get("Warning"); w != c.warning && c.warning != "-" {
			t.Errorf("%s: warning %q, want %q", c.name, w, c.warning)
		}
	}
}
