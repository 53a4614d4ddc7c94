package admission_test

import (
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/apiserver/admission"
	"wheelhouse/cluster/apiserver/admission/serviceallocator"
	"wheelhouse/cluster/client"
)

// Whatever is written to a role or binding may give somebody its rights: a label does,
// by way of a role that consists of others. Only the garbage collector's fields do not.
func TestAnyChangeOfAGrantNeedsTheWholeGrant(t *testing.T) {
	const group = rbacv1.GroupName
	secrets := []rbacv1.PolicyRule{{Verbs: []string{"get"}, APIGroups: []string{""}, Resources: []string{"secrets"}}}
	ref := rbacv1.RoleRef{APIGroup: group, Kind: "ClusterRole", Name: "big"}
	sum := &rbacv1.ClusterRole{ObjectMeta: meta("", "sum"), AggregationRule: &rbacv1.AggregationRule{}}
	o := cluster()
	o.Put(group, "clusterroles", &rbacv1.ClusterRole{ObjectMeta: meta("", "big"), Rules: secrets})
	c := newChain(t, o, serviceallocator.Config{})
	bob := &client.User{Name: "bob"}
	const lacks = `is attempting to grant RBAC permissions not currently held:` + "\n" + `{APIGroups:[""], Resources:["secrets"], Verbs:["get"]}`
	label := func(obj api.Object) {
		obj.SetLabels(map[string]string{"rbac.authorization.k8s.io/aggregate-to-view": "true"})
	}
	annotate := func(obj api.Object) {
		obj.SetAnnotations(map[string]string{"rbac.authorization.kubernetes.io/autoupdate": "true"})
	}
	collect := func(obj api.Object) {
		obj.SetFinalizers([]string{"foregroundDeletion"})
		obj.SetOwnerReferences([]metav1.OwnerReference{{Kind: "ConfigMap", Name: "m"}})
		obj.SetManagedFields([]metav1.ManagedFieldsEntry{{Manager: "m"}})
	}
	cases := []struct {
		name, plural, namespace string
		old                     api.Object
	}{
		{"cluster role", "clusterroles", "", &rbacv1.ClusterRole{ObjectMeta: meta("", "r"), Rules: secrets}},
		{"role", "roles", "a", &rbacv1.Role{ObjectMeta: meta("a", "r"), Rules: secrets}},
		{"cluster role binding", "clusterrolebindings", "", &rbacv1.ClusterRoleBinding{ObjectMeta: meta("", "r"), RoleRef: ref}},
		{"role binding", "rolebindings", "a", &rbacv1.RoleBinding{ObjectMeta: meta("a", "r"), RoleRef: ref}},
	}
	update := func(plural, namespace string, old api.Object, change func(api.Object)) error {
		obj := old.DeepCopyObject().(api.Object)
		change(obj)
		return c.Admit(bg, &admission.Request{
			User: bob, Verb: admission.Update, Kind: kind(group, plural), Namespace: namespace, Name: old.GetName(), Object: obj, Old: old,
		})
	}
	for _, x := range cases {
		t.Run(x.name, func(t *testing.T) {
			refused := x.plural + `.rbac.authorization.k8s.io "r" is forbidden: user "bob" (groups=[]) ` + lacks
			want(t, update(x.plural, x.namespace, x.old, label), refused)
			want(t, update(x.plural, x.namespace, x.old, annotate), refused)
			want(t, update(x.plural, x.namespace, x.old, collect), "")
			want(t, update(x.plural, x.namespace, x.old, func(api.Object) {}), "")
		})
	}
	refused := `clusterroles.rbac.authorization.k8s.io "sum" is forbidden: must have cluster-admin privileges to use the aggregationRule`
	want(t, update("clusterroles", "", sum, label), refused)
	want(t, update("clusterroles", "", sum, func(obj api.Object) { obj.(*rbacv1.ClusterRole).AggregationRule = nil }), refused)
	want(t, update("clusterroles", "", sum, collect), "")
}
