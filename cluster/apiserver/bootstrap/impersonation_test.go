package bootstrap_test

import (
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"wheelhouse/cluster/wait"
)

// Who may list pods as bob may do nothing else as bob, whatever bob may.
func TestConstrainedImpersonationByRBAC(t *testing.T) {
	s := start(t)
	pass(t, s.bootstrap(t))
	root := s.host("root")
	give(t, root, "bob", "edit", "default")
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "bobs-pods"}, Rules: []rbacv1.PolicyRule{
		{Verbs: []string{"impersonate:user-info"}, APIGroups: []string{"authentication.k8s.io"}, Resources: []string{"users"}, ResourceNames: []string{"bob"}},
		{Verbs: []string{"impersonate-on:user-info:list"}, APIGroups: []string{""}, Resources: []string{"pods"}},
	}}
	if _, err := root.RbacV1().ClusterRoles().Create(bg, role, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	give(t, root, "ann", role.Name, "")
	as := func(user string) kubernetes.Interface {
		cfg := rest.CopyConfig(s.config)
		cfg.BearerToken, cfg.Impersonate = "ann", rest.ImpersonationConfig{UserName: user}
		return kubernetes.NewForConfigOrDie(cfg)
	}
	wait.For(t, "ann lists pods as bob", func() error {
		_, err := as("bob").CoreV1().Pods("default").List(bg, metav1.ListOptions{})
		return err
	})
	_, err := as("bob").CoreV1().Secrets("default").List(bg, metav1.ListOptions{})
	refused(t, err, `User "ann" cannot impersonate-on:user-info:list resource "secrets"`)
	err = as("bob").CoreV1().Pods("default").Delete(bg, "p", metav1.DeleteOptions{})
	refused(t, err, `User "ann" cannot impersonate-on:user-info:delete resource "pods"`)
	_, err = as("eve").CoreV1().Pods("default").List(bg, metav1.ListOptions{})
	refused(t, err, `User "ann" cannot impersonate:user-info resource "users" in API group "authentication.k8s.io"`)
	_, err = s.host("ann").CoreV1().Pods("default").List(bg, metav1.ListOptions{})
	refused(t, err, `User "ann" cannot list resource "pods"`)
}
