package bootstrap

import (
	"slices"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/cluster/client"
)

func user(name string) rbacv1.Subject {
	return rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: name}
}

func group(name string) rbacv1.Subject {
	return rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: name}
}

func account(namespace, name string) rbacv1.Subject { //nolint:unparam // as user and group
	return rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: name}
}

func bind(role string, to ...rbacv1.Subject) *rbacv1.ClusterRoleBinding {
	return &rbacv1.ClusterRoleBinding{
		ObjectMeta: defaults(role),
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
		Subjects:   to,
	}
}

const controllerManager = "system:kube-controller-manager"

// clusterRoleBindings are the bindings of the default roles. The proxy of a
// node's process has an identity of its own beside the kubelet's. The controllers run under the controller manager's own name as well as under the
// accounts that upstream gives them.
func clusterRoleBindings() []*rbacv1.ClusterRoleBinding {
	all := []*rbacv1.ClusterRoleBinding{
		bind("cluster-admin", group("system:masters")),
		bind("system:basic-user", group("system:authenticated")),
		bind("system:discovery", group("system:authenticated")),
		bind("system:public-info-viewer", group("system:authenticated"), group("system:unauthenticated")),
		bind("system:master-joiner", group("system:unauthenticated")),
		bind("system:monitoring", group("system:monitoring")),
		bind("system:service-account-issuer-discovery", group("system:serviceaccounts")),
		bind("system:node-proxier", user("system:kube-proxy"), group("system:node-proxiers")),
		bind("wheelhouse:network-policies", group("system:node-proxiers")),
		bind("system:kubelet-api-admin", group("system:kubelet-api-clients")),
		bind("system:node-bootstrapper", group("system:bootstrappers")),
		bind("system:kube-scheduler", user("system:kube-scheduler")),
		bind("system:volume-scheduler", user("system:kube-scheduler")),
		bind("system:kube-controller-manager", user(controllerManager)),
		bind("system:kube-dns", account(metav1.NamespaceSystem, "kube-dns"), user("system:kube-dns")),
		bind(client.IngressUser, user(client.IngressUser)),
		bind("system:node"), // without subjects: kubelets have the node authorizer
	}
	for _, c := range controllers() {
		all = append(all, bind(controllerPrefix+c.name, account(metav1.NamespaceSystem, c.name), user(controllerManager)))
	}
	return all
}

func role(namespace, name string, rules ...rbacv1.PolicyRule) *rbacv1.Role {
	r := &rbacv1.Role{ObjectMeta: defaults(name), Rules: rules}
	r.Namespace = namespace
	return r
}

func bindIn(namespace, name string, to ...rbacv1.Subject) *rbacv1.RoleBinding {
	b := &rbacv1.RoleBinding{
		ObjectMeta: defaults(name),
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name},
		Subjects:   to,
	}
	b.Namespace = namespace
	return b
}

// namespacedRoles returns the default roles of kube-system and kube-public.
func namespacedRoles() []*rbacv1.Role {
	const ns = metav1.NamespaceSystem
	locks := allow("create get list update watch", "coordination.k8s.io", "leases")
	return []*rbacv1.Role{
		role(ns, "extension-apiserver-authentication-reader", allow(read, "core", "configmaps", "extension-apiserver-authentication")),
		role(ns, "system::leader-locking-kube-controller-manager", locks),
		role(ns, "system::leader-locking-kube-scheduler", locks),
		role(ns, "system:controller:bootstrap-signer", allow(read, "core", "secrets")),
		role(ns, "system:controller:cloud-provider", allow(read+" create", "core", "configmaps")),
		role(ns, "system:controller:token-cleaner", allow(read+" delete", "core", "secrets"), events),
		role(metav1.NamespacePublic, "system:controller:bootstrap-signer",
			allow(read, "core", "configmaps"), allow("update", "core", "configmaps", "cluster-info"), events),
	}
}

func namespacedRoleBindings() []*rbacv1.RoleBinding {
	const ns = metav1.NamespaceSystem
	signer := account(ns, "bootstrap-signer")
	reader := bindIn(ns, "extension-apiserver-authentication-reader", user(controllerManager), user("system:kube-scheduler"))
	reader.Name = "system::extension-apiserver-authentication-reader"
	return []*rbacv1.RoleBinding{
		reader,
		bindIn(ns, "system:controller:bootstrap-signer", signer),
		bindIn(metav1.NamespacePublic, "system:controller:bootstrap-signer", signer),
		bindIn(ns, "system:controller:cloud-provider", account(ns, "cloud-provider")),
		bindIn(ns, "system:controller:token-cleaner", account(ns, "token-cleaner")),
		bindIn(ns, "system::leader-locking-kube-controller-manager", user(controllerManager), account(ns, "kube-controller-manager")),
		bindIn(ns, "system::leader-locking-kube-scheduler", user("system:kube-scheduler"), account(ns, "kube-scheduler")),
	}
}

// replaced are subjects of former default bindings, with their successors.
var replaced = map[string]struct{ was, is rbacv1.Subject }{
	"system:node-proxier": {was: group("system:nodes"), is: group("system:node-proxiers")},
}

// withoutReplaced removes a subject that is no longer a default from a binding that does not
// have its successor yet: otherwise a user has added it.
func withoutReplaced(binding string, have []rbacv1.Subject) []rbacv1.Subject {
	r, ok := replaced[binding]
	if !ok || slices.Contains(have, r.is) {
		return have
	}
	return slices.DeleteFunc(slices.Clone(have), func(s rbacv1.Subject) bool { return s == r.was })
}
