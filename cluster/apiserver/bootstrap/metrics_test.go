package bootstrap_test

import (
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Who may see pods may see what they use, in the same namespace, and no more.
func TestViewersSeeWhatPodsUse(t *testing.T) {
	s := start(t)
	pass(t, s.bootstrap(t))
	root, ann := s.host("root"), s.host("ann")
	const group = "metrics.k8s.io"
	if may(t, ann, "list", group, "pods", "default") {
		t.Error("everybody may see what pods use")
	}
	_, err := root.RbacV1().RoleBindings("default").Create(bg, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "ann"}, Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: "ann"}},
		RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "view"},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if !may(t, ann, "list", group, "pods", "default") || !may(t, ann, "get", group, "pods", "default") {
		t.Error("a viewer may not see what pods use")
	}
	if may(t, ann, "list", group, "pods", "kube-system") || may(t, ann, "list", group, "nodes", "") {
		t.Error("a viewer of one namespace sees more")
	}
}
