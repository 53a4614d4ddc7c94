package controller_test

import (
	"testing"

	apps "k8s.io/api/apps/v1"
	batch "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"wheelhouse/cluster/wait"
)

// A pod that somebody takes from its controller comes back as long as the labels
// match, and is let go when they do not.
func TestAdoptionAndRelease(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	c.node("n1")
	ctx := t.Context()
	two := int32(2)
	c.job("job", func(s *batch.JobSpec) { s.Parallelism, s.Completions = &two, &two })
	_, err := c.AppsV1().DaemonSets("default").Create(ctx, &apps.DaemonSet{
		ObjectMeta: metav1.ObjectMeta{Name: "daemon"}, Spec: apps.DaemonSetSpec{Selector: selector("daemon"), Template: template("daemon")},
	}, metav1.CreateOptions{})
	c.must(err)
	_, err = c.AppsV1().StatefulSets("default").Create(ctx, makeStatefulSet("pet", 1), metav1.CreateOptions{})
	c.must(err)
	for app, kind := range map[string]string{"job": "Job", "daemon": "DaemonSet", "pet": "StatefulSet"} {
		wait.For(c.t, "a pod of "+app, func() error {
			if len(c.pods(app)) == 0 {
				return wait.Seen(false, "none")
			}
			return nil
		})
		name := c.pods(app)[0].Name
		patch := func(how types.PatchType, text string) {
			t.Helper()
			_, err := c.CoreV1().Pods("default").Patch(ctx, name, how, []byte(text), metav1.PatchOptions{})
			c.must(err)
		}
		get := func() *v1.Pod {
			p, err := c.CoreV1().Pods("default").Get(ctx, name, metav1.GetOptions{})
			c.must(err)
			return p
		}
		patch(types.MergePatchType, `{"metadata":{"ownerReferences":null}}`)
		wait.For(c.t, kind+" takes its pod back", func() error {
			if ref := metav1.GetControllerOf(get()); ref == nil || ref.Kind != kind {
				return wait.Seen(false, get().OwnerReferences)
			}
			return nil
		})
		if app == "job" && len(get().Finalizers) != 1 {
			t.Errorf("the job's pod came back with the finalizers %v", get().Finalizers)
		}
		if app == "pet" {
			continue // a stateful set's pod that is let go stands in its successor's way
		}
		patch(types.MergePatchType, `{"metadata":{"labels":null}}`)
		wait.For(c.t, kind+" lets its pod go", func() error {
			if p := get(); len(p.OwnerReferences)+len(p.Finalizers) > 0 {
				return wait.Seen(false, p.OwnerReferences, p.Finalizers)
			}
			return nil
		})
		wait.For(c.t, kind+" makes another", func() error {
			want := map[string]int{"job": 2, "daemon": 1}[app]
			if n := len(c.pods(app)); n != want {
				return wait.Seen(false, n)
			}
			return nil
		})
	}
}
