package environment

import (
	"context"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"wheelhouse/cluster/api/builtin"
	"wheelhouse/cluster/apiserver"
	"wheelhouse/cluster/apiserver/apitest"
	"wheelhouse/cluster/apiserver/authz"
	"wheelhouse/cluster/wait"
	"wheelhouse/lab-runner/catalog"
	"wheelhouse/lab-runner/objects"
	"wheelhouse/lab-runner/script"
)

// What was in the namespace before stays, with what it owns; what the lab made goes, and what that owned is waited for.
func TestWhatIsLeftOfALab(t *testing.T) {
	owned := func(kind string, uid types.UID) []metav1.OwnerReference {
		return []metav1.OwnerReference{{Kind: kind, UID: uid}}
	}
	all := []object{
		{"p", "deployments/theirs", "1", nil},
		{"p", "replicasets/theirs-x", "2", owned("Deployment", "1")},
		{"p", "pods/theirs-x-y", "3", owned("ReplicaSet", "2")},
		{"p", "secrets/operator", "4", owned("Widget", "77")}, // its owner is of a kind that is not looked at
		{"p", "deployments/lab", "5", nil},
		{"p", "pods/lab-x-y", "6", owned("ReplicaSet", "78")},
	}
	remove, going := left(all, []string{"deployments/theirs"})
	if len(remove) != 1 || remove[0].id != "deployments/lab" || going != 1 {
		t.Errorf("%v are removed, and %d are waited for", remove, going)
	}
	if remove, going := left(all[:4], []string{"deployments/theirs"}); len(remove)+going > 0 {
		t.Errorf("%v are removed, and %d are waited for", remove, going)
	}
}

// A lab that needs more than one namespace says so in a sentence.
func TestWhatOneNamespaceDoesNotGive(t *testing.T) {
	c := &Cluster{only: "team"}
	for _, x := range []struct {
		lab     catalog.Lab
		env     string
		refused bool
	}{
		{catalog.Lab{}, "NODE_IP=", false},
		{catalog.Lab{Requires: []string{"cluster-admin"}}, "NODE_IP=", true},
		{catalog.Lab{Requires: []string{"node-shell"}}, "NODE_IP=", true},
		{catalog.Lab{Requires: []string{"many-nodes", "docker"}}, "NODE_IP=", false},
		{catalog.Lab{Text: []script.Item{{Text: "curl http://${NODE_IP}:80/"}}}, "NODE_IP=", true},
		{catalog.Lab{Text: []script.Item{{Text: "curl http://$NODE_IP:80/"}}}, "NODE_IP=10.0.0.1", false},
		{catalog.Lab{Text: []script.Item{{Text: "echo $NODES"}}}, "NODE_IP=", false},
		{catalog.Lab{Scenarios: []catalog.Scenario{{Steps: []catalog.Sentence{{Text: "`kubectl describe node $NODE` prints \"x\""}}}}}, "NODE_IP=", true},
	} {
		if err := c.more(t.Context(), &x.lab, []string{x.env}); (err != nil) != x.refused {
			t.Errorf("%+v with %s: %v", x.lab, x.env, err)
		}
	}
}

// teamNamespace is a server with the namespace team, in which the user learner may do everything with config maps, and read quotas.
func teamNamespace(t *testing.T) (administrator kubernetes.Interface, learner *rest.Config) {
	t.Helper()
	var rights *authz.Authorizer
	config := apitest.Start(t, apitest.WithImpersonation(), func(c *apiserver.Config) {
		var err error
		if rights, err = authz.New(authz.Config{Objects: authz.FromStore(c.Store, builtin.Kinds)}); err != nil {
			t.Fatal(err)
		}
		c.Authorizer = rights
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- rights.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	set := kubernetes.NewForConfigOrDie(config)
	if _, err := set.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "team"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	role := &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: "class"}, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"configmaps"}, Verbs: []string{"*"}},
		{APIGroups: []string{""}, Resources: []string{"resourcequotas"}, Verbs: []string{"get", "list", "watch"}},
	}}
	if _, err := set.RbacV1().Roles("team").Create(t.Context(), role, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "class"}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "class"},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: "learner"}},
	}
	if _, err := set.RbacV1().RoleBindings("team").Create(t.Context(), binding, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	learner = rest.CopyConfig(config)
	learner.Impersonate = rest.ImpersonationConfig{UserName: "learner"}
	of := kubernetes.NewForConfigOrDie(learner)
	wait.For(t, "the rights of the learner", func() error {
		_, err := of.CoreV1().ResourceQuotas("team").List(t.Context(), metav1.ListOptions{})
		return err
	})
	return set, learner
}

// What the owner of the namespace adds while a lab is open, and the account may only read, does not keep the account in the lab.
func TestWhatTheOwnerAddsDuringALab(t *testing.T) {
	administrator, config := teamNamespace(t)
	client, err := objects.New(config)
	if err != nil {
		t.Fatal(err)
	}
	c, l := &Cluster{Client: client, Config: config, Slow: 1, only: "team"}, lab(t)
	if err := c.occupy(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	if err := client.Create(t.Context(), "configmaps", "team", &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "of-the-lab"}}); err != nil {
		t.Fatal(err)
	}
	quota := &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: "priority"}}
	if _, err := administrator.CoreV1().ResourceQuotas("team").Create(t.Context(), quota, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := c.vacate(t.Context(), l, t.TempDir(), nil, t.Logf); err != nil {
		t.Fatalf("leaving the lab: %v", err)
	}
	if holds, err := c.Holds(t.Context()); err != nil || holds != "" {
		t.Errorf("the namespace holds the lab %q, %v", holds, err)
	}
	if _, err := administrator.CoreV1().ConfigMaps("team").Get(t.Context(), "of-the-lab", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("what the lab has made: %v", err)
	}
	if _, err := administrator.CoreV1().ResourceQuotas("team").Get(t.Context(), "priority", metav1.GetOptions{}); err != nil {
		t.Errorf("what the owner has added: %v", err)
	}
}
