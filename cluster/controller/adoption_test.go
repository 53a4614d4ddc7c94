package controller_test

import (
	"fmt"
	"testing"

	apps "k8s.io/api/apps/v1"
	batch "k8s.io/api/batch/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// A pod that somebody takes from its controller comes back as long as the labels
// match, and is let go when they do not.
func TestAdoptionAndRelease(t *testing.T) {
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
		c.eventually("a pod of "+app, func() string {
			if len(c.pods(app)) == 0 {
				return "none"
			}
			return ""
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
		c.eventually(kind+" takes its pod back", func() string {
			if ref := metav1.GetControllerOf(get()); ref == nil || ref.Kind != kind {
				return fmt.Sprint(get().OwnerReferences)
			}
			return ""
		})
		if app == "job" && len(get().Finalizers) != 1 {
			t.Errorf("the job's pod came back with the finalizers %v", get().Finalizers)
		}
		if app == "pet" {
			continue // a stateful set's pod that is let go stands in its successor's way
		}
		patch(types.MergePatchType, `{"metadata":{"labels":null}}`)
		c.eventually(kind+" lets its pod go", func() string {
			if p := get(); len(p.OwnerReferences)+len(p.Finalizers) > 0 {
				return fmt.Sprint(p.OwnerReferences, p.Finalizers)
			}
			return ""
		})
		c.eventually(kind+" makes another", func() string {
			want := map[string]int{"job": 2, "daemon": 1}[app]
			if n := len(c.pods(app)); n != want {
				return fmt.Sprint(n)
			}
			return ""
		})
	}
}
