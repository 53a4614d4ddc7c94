package controller_test

import (
	"testing"

	v1 "k8s.io/api/core/v1"
	extensions "k8s.io/api/extensions/v1beta1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/cluster/wait"
)

// A client of 2016 makes a Deployment in its own version, changes it, and has the
// server roll it back.
func TestDeploymentOf2016(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	c.node("n1")
	old := c.ExtensionsV1beta1().Deployments("default")
	replicas := int32(2)
	d := &extensions.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "web"}, Spec: extensions.DeploymentSpec{
		Replicas: &replicas,
		Template: v1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "web"}}, Spec: v1.PodSpec{Containers: container()}},
	}}
	d, err := old.Create(t.Context(), d, metav1.CreateOptions{})
	c.must(err)
	first := d.Spec.Template.Spec.Containers[0].Image
	c.rolled("web", 2)
	c.image("web", "second")
	c.rolled("web", 2)

	ask := &extensions.DeploymentRollback{Name: "web", RollbackTo: extensions.RollbackConfig{Revision: 1}}
	c.must(c.ExtensionsV1beta1().RESTClient().Post().Namespace("default").Resource("deployments").Name("web").
		SubResource("rollback").Body(ask).Do(t.Context()).Error())
	wait.For(c.t, "web is rolled back", func() error {
		d, err := old.Get(t.Context(), "web", metav1.GetOptions{})
		c.must(err)
		if d.Spec.RollbackTo != nil || d.Spec.Template.Spec.Containers[0].Image != first {
			return wait.Seen(false, d.Spec.Template.Spec.Containers[0].Image)
		}
		return nil
	})
	c.rolled("web", 2)
	c.told("web", "deployment-controller", "DeploymentRollback", `Rolled back deployment "web" to revision 1`)

	// A dependent whose owner reference has the old version is deleted with its owner all the same.
	m := &v1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "owned", OwnerReferences: []metav1.OwnerReference{
		{APIVersion: "extensions/v1beta1", Kind: "Deployment", Name: d.Name, UID: d.UID},
	}}}
	_, err = c.CoreV1().ConfigMaps("default").Create(t.Context(), m, metav1.CreateOptions{})
	c.must(err)
	c.must(old.Delete(t.Context(), "web", metav1.DeleteOptions{}))
	wait.For(c.t, "what it owned is gone", func() error {
		if _, err := c.CoreV1().ConfigMaps("default").Get(t.Context(), "owned", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
			return wait.Seen(false, "reading it: ", err)
		}
		return nil
	})
}
