package controller_test

import (
	"testing"

	v1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/cluster/wait"
)

// An owner in another namespace is none: an event of its dependent shows that. A dependent with a namespace is
// collected, one without stays, and what depends on the owner in its own namespace goes with it as ever.
func TestOwnerInAnotherNamespaceIsReported(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	ctx := t.Context()
	_, err := c.CoreV1().Namespaces().Create(ctx, &v1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "other"}}, metav1.CreateOptions{})
	c.must(err)
	parent, err := c.CoreV1().ConfigMaps("other").Create(ctx, &v1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "parent"}}, metav1.CreateOptions{})
	c.must(err)
	stray := metav1.ObjectMeta{Name: "stray", OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: "parent", UID: parent.UID}}}
	_, err = c.RbacV1().ClusterRoles().Create(ctx, &rbacv1.ClusterRole{ObjectMeta: stray}, metav1.CreateOptions{})
	c.must(err)
	wait.For(t, "events about both", func() error {
		// One that is collected before the collector has seen its owner has no event: it is created again.
		if _, err := c.CoreV1().ConfigMaps("default").Create(ctx, &v1.ConfigMap{ObjectMeta: stray}, metav1.CreateOptions{}); !apierrors.IsAlreadyExists(err) {
			c.must(err)
		}
		list, err := c.CoreV1().Events("").List(ctx, metav1.ListOptions{FieldSelector: "reason=OwnerRefInvalidNamespace"})
		c.must(err)
		kinds := map[string]bool{}
		for i := range list.Items {
			kinds[list.Items[i].InvolvedObject.Kind] = true
		}
		return wait.Seen(kinds["ConfigMap"] && kinds["ClusterRole"], kinds)
	})
	_, err = c.RbacV1().ClusterRoles().Get(ctx, "stray", metav1.GetOptions{})
	c.must(err)
	own := stray
	own.Name = "own"
	_, err = c.CoreV1().ConfigMaps("other").Create(ctx, &v1.ConfigMap{ObjectMeta: own}, metav1.CreateOptions{})
	c.must(err)
	c.must(c.CoreV1().ConfigMaps("other").Delete(ctx, "parent", metav1.DeleteOptions{}))
	wait.For(t, "the dependent in the owner's namespace to be collected", func() error {
		_, err := c.CoreV1().ConfigMaps("other").Get(ctx, "own", metav1.GetOptions{})
		return wait.Seen(apierrors.IsNotFound(err), err)
	})
}
