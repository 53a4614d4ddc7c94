package controller_test

import (
	"testing"

	v1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/cluster/wait"
)

// An owner in another namespace is none; an event of an object without a namespace says so, and the object
// stays.
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
	wait.For(t, "an event about the role", func() error {
		list, err := c.CoreV1().Events("").List(ctx, metav1.ListOptions{FieldSelector: "reason=OwnerRefInvalidNamespace,involvedObject.kind=ClusterRole"})
		c.must(err)
		return wait.Seen(len(list.Items) > 0, len(list.Items), " events")
	})
	_, err = c.RbacV1().ClusterRoles().Get(ctx, "stray", metav1.GetOptions{})
	c.must(err)
}
