package authz_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/apiserver/authz"
	"wheelhouse/cluster/apiserver/authz/authztest"
	"wheelhouse/cluster/client"
	"wheelhouse/cluster/wait"
)

const group = rbacv1.GroupName

func start(t testing.TB, o *authztest.Objects) *authz.Authorizer {
	t.Helper()
	a, err := authz.New(authz.Config{Objects: o})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = a.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	wait, stop := context.WithTimeout(ctx, 10*time.Second)
	defer stop()
	if err := a.WaitReady(wait); err != nil {
		t.Fatal(err)
	}
	return a
}

func clusterRole(name string, labels map[string]string, rules ...rbacv1.PolicyRule) *rbacv1.ClusterRole {
	return &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}, Rules: rules}
}

func rule(verbs, groups, resources string, names ...string) rbacv1.PolicyRule {
	split := func(s string) []string { return strings.Split(s, " ") }
	return rbacv1.PolicyRule{Verbs: split(verbs), APIGroups: split(groups), Resources: split(resources), ResourceNames: names}
}

func binding(ns, name, roleKind, role string, subjects ...rbacv1.Subject) *rbacv1.RoleBinding {
	return &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}, Subjects: subjects,
		RoleRef: rbacv1.RoleRef{APIGroup: group, Kind: roleKind, Name: role},
	}
}

func clusterBinding(name, role string, subjects ...rbacv1.Subject) *rbacv1.ClusterRoleBinding {
	return &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name}, Subjects: subjects,
		RoleRef: rbacv1.RoleRef{APIGroup: group, Kind: "ClusterRole", Name: role},
	}
}

func user(name string) rbacv1.Subject { return rbacv1.Subject{Kind: "User", Name: name} }

func fixture() *authztest.Objects {
	o := authztest.New()
	o.Put(group, "clusterroles",
		clusterRole("reader", nil, rule("get list", " apps", "pods deployments")),
		clusterRole("scaler", nil, rule("update", "*", "*/scale pods/log")),
		clusterRole("one", nil, rule("get", "", "configmaps", "settings")),
		clusterRole("paths", nil, rbacv1.PolicyRule{Verbs: []string{"get"}, NonResourceURLs: []string{"/healthz", "/logs/*"}}),
		clusterRole("part", map[string]string{"to": "sum"}, rule("get", "", "secrets")),
		&rbacv1.ClusterRole{
			ObjectMeta:      metav1.ObjectMeta{Name: "sum", Labels: map[string]string{"to": "total"}},
			AggregationRule: &rbacv1.AggregationRule{ClusterRoleSelectors: []metav1.LabelSelector{{MatchLabels: map[string]string{"to": "sum"}}}},
		},
		&rbacv1.ClusterRole{
			ObjectMeta:      metav1.ObjectMeta{Name: "total"},
			AggregationRule: &rbacv1.AggregationRule{ClusterRoleSelectors: []metav1.LabelSelector{{MatchLabels: map[string]string{"to": "total"}}}},
		},
	)
	o.Put(group, "roles", &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "writer"}, Rules: []rbacv1.PolicyRule{rule("create", "", "pods")}})
	o.Put(group, "clusterrolebindings",
		clusterBinding("readers", "reader", rbacv1.Subject{Kind: "Group", Name: "devs"}),
		clusterBinding("scalers", "scaler", user("sue")),
		clusterBinding("one", "one", user("sue")),
		clusterBinding("paths", "paths", user("sue")),
		clusterBinding("total", "total", user("tom")),
		clusterBinding("lost", "gone", user("lou")),
	)
	o.Put(group, "rolebindings",
		binding("a", "writers", "Role", "writer", user("ann"), rbacv1.Subject{Kind: "ServiceAccount", Name: "bot", Namespace: "b"}),
		binding("a", "reading", "ClusterRole", "reader", user("ann")),
	)
	return o
}

// late is a store that answers when it is let to.
type late struct {
	*authztest.Objects
	answer chan struct{}
}

func (l late) List(ctx context.Context, r schema.GroupResource, namespace string, fresh bool) ([]api.Object, int64, error) {
	select {
	case <-l.answer:
		return l.Objects.List(ctx, r, namespace, fresh)
	case <-ctx.Done():
		return nil, 0, ctx.Err()
	}
}

// Nobody is refused what the objects allow because the server has not read them yet; without
// them there is no decision.
func TestStart(t *testing.T) {
	objects := late{fixture(), make(chan struct{})}
	a, err := authz.New(authz.Config{Objects: objects})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = a.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })

	scale := authz.Attributes{User: &client.User{Name: "sue"}, Verb: "update", Group: "apps", Resource: "deployments", Subresource: "scale", Name: "x", ResourceRequest: true}
	gone, end := context.WithCancel(ctx)
	end()
	if allowed, _, err := a.Authorize(gone, scale); allowed || err == nil || !strings.Contains(err.Error(), "the server has just started") {
		t.Errorf("before the objects are read: %v, %v", allowed, err)
	}
	time.AfterFunc(50*time.Millisecond, func() { close(objects.answer) })
	if allowed, reason, err := a.Authorize(ctx, scale); !allowed || err != nil {
		t.Errorf("once they are: %v, %q, %v", allowed, reason, err)
	}
}

func TestRBAC(t *testing.T) {
	a := start(t, fixture())
	dev := &client.User{Name: "dan", Groups: []string{"devs"}}
	as := func(name string) *client.User {
		return &client.User{Name: name, Groups: []string{"system:authenticated"}}
	}
	cases := []struct {
		name   string
		user   *client.User
		what   string // verb group/resource[/sub] namespace name, or verb path
		allow  bool
		reason string
	}{
		{"masters may all", &client.User{Name: "x", Groups: []string{"system:masters"}}, "delete any/thing ns n", true, ""},
		{"nobody", as("eve"), "get /pods a -", false, ""},
		{"group cluster-wide", dev, "list /pods - -", true, `RBAC: allowed by ClusterRoleBinding "readers" of ClusterRole "reader" to Group "devs"`},
		{"group in a namespace", dev, "get apps/deployments b x", true, ""},
		{"other verb", dev, "delete /pods b x", false, ""},
		{"other group", dev, "get batch/pods b x", false, ""},
		{"subresource is not the resource", dev, "get /pods/log b x", false, ""},
		{"any scale", as("sue"), "update apps/deployments/scale b x", true, ""},
		{"named subresource", as("sue"), "update /pods/log b x", true, ""},
		{"not the resource itself", as("sue"), "update /pods b x", false, ""},
		{"resource name", as("sue"), "get /configmaps a settings", true, ""},
		{"other name", as("sue"), "get /configmaps a others", false, ""},
		{"no name", as("sue"), "list /configmaps a -", false, ""},
		{"path", as("sue"), "get /healthz", true, ""},
		{"path below", as("sue"), "get /logs/a/b", true, ""},
		{"other path", as("sue"), "get /healthz/etcd", false, ""},
		{"path, other verb", as("sue"), "post /healthz", false, ""},
		{"role", as("ann"), "create /pods a -", true, `RBAC: allowed by RoleBinding "writers/a" of Role "writer" to User "ann"`},
		{"role elsewhere", as("ann"), "create /pods b -", false, ""},
		{"role at cluster scope", as("ann"), "create /pods - -", false, ""},
		{"cluster role in a namespace", as("ann"), "list /pods a -", true, ""},
		{"cluster role not outside it", as("ann"), "list /pods b -", false, ""},
		{"service account", as("system:serviceaccount:b:bot"), "create /pods a -", true, `RBAC: allowed by RoleBinding "writers/a" of Role "writer" to ServiceAccount "bot/b"`},
		{"namesake", as("system:serviceaccount:a:bot"), "create /pods a -", false, ""},
		{"aggregated twice", as("tom"), "get /secrets x y", true, ""},
		{"role that is gone", as("lou"), "get /pods a x", false, `RBAC: clusterrole.rbac.authorization.k8s.io "gone" not found`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			at := attributes(c.what)
			at.User = c.user
			allowed, reason, err := a.Authorize(context.Background(), at)
			if err != nil || allowed != c.allow || (c.reason != "" && reason != c.reason) || (!allowed && reason != c.reason) {
				t.Errorf("%s: %v, %q, %v; want %v, %q", c.what, allowed, reason, err, c.allow, c.reason)
			}
		})
	}
}

func attributes(what string) authz.Attributes {
	f := strings.Fields(what)
	if len(f) == 2 {
		return authz.Attributes{Verb: f[0], Path: f[1]}
	}
	g, resource, _ := strings.Cut(f[1], "/")
	resource, sub, _ := strings.Cut(resource, "/")
	at := authz.Attributes{Verb: f[0], Group: g, Resource: resource, Subresource: sub, Namespace: f[2], Name: f[3], ResourceRequest: true}
	if at.Namespace == "-" {
		at.Namespace = ""
	}
	if at.Name == "-" {
		at.Name = ""
	}
	return at
}

// Whoever got the answer to a write of roles is subject to it, even while the
// watch has not brought it.
func TestOwnWriteCountsAtOnce(t *testing.T) {
	o := fixture()
	a := start(t, o)
	eve := &client.User{Name: "eve"}
	at := attributes("list /pods - -")
	at.User = eve
	may := func() bool {
		allowed, _, err := a.Authorize(context.Background(), at)
		if err != nil {
			t.Fatal(err)
		}
		return allowed
	}
	o.Held = true
	b := clusterBinding("eve", "reader", user("eve"))
	for range 3 {
		o.Put(group, "clusterrolebindings", b)
		if err := a.Refresh(context.Background(), rbacv1.Resource("clusterrolebindings")); err != nil {
			t.Fatal(err)
		}
		if !may() {
			t.Fatal("a binding that was acknowledged does not count")
		}
		o.Delete(group, "clusterrolebindings", b)
		if err := a.Refresh(context.Background(), rbacv1.Resource("clusterrolebindings")); err != nil {
			t.Fatal(err)
		}
		if may() {
			t.Fatal("a binding that is deleted still counts")
		}
	}
	o.Deliver() // the late events must not bring it back, not even for a moment
	o.Put(group, "clusterroles", clusterRole("reader", nil, rule("get", "", "pods")))
	o.Deliver()
	if may() {
		t.Error("a late event brought the binding back")
	}
}

func TestFollowsTheWatch(t *testing.T) {
	o := fixture()
	a := start(t, o)
	at := attributes("list /pods - -")
	at.User = &client.User{Name: "eve"}
	o.Put(group, "clusterrolebindings", clusterBinding("eve", "reader", user("eve")))
	wait.Within(t, 10*time.Second, "the binding to count", func() error {
		allowed, reason, err := a.Authorize(context.Background(), at)
		return wait.Seen(allowed, reason, err)
	})
}

func TestRefreshConcurrently(t *testing.T) {
	o := fixture()
	a := start(t, o)
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			name := fmt.Sprintf("u%d", i)
			o.Put(group, "clusterrolebindings", clusterBinding(name, "reader", user(name)))
			if err := a.Refresh(context.Background(), rbacv1.Resource("clusterrolebindings")); err != nil {
				t.Error(err)
			}
			at := attributes("list /pods - -")
			at.User = &client.User{Name: name}
			if allowed, _, _ := a.Authorize(context.Background(), at); !allowed {
				t.Errorf("%s may not after its binding was acknowledged", name)
			}
		})
	}
	wg.Wait()
}

func nodePod() *corev1.Pod {
	env := func(e corev1.EnvVarSource) corev1.EnvVar { return corev1.EnvVar{Name: "X", ValueFrom: &e} }
	ref := func(n string) corev1.LocalObjectReference { return corev1.LocalObjectReference{Name: n} }
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "p"},
		Spec: corev1.PodSpec{
			NodeName: "n1", ServiceAccountName: "bot", ImagePullSecrets: []corev1.LocalObjectReference{ref("pull")},
			Volumes: []corev1.Volume{
				{Name: "s", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "vol"}}},
				{Name: "c", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "data"}}},
				{Name: "p", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
					{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: ref("kube-root-ca.crt")}},
				}}}},
			},
			InitContainers: []corev1.Container{{Env: []corev1.EnvVar{env(corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: ref("env")}})}}},
			Containers:     []corev1.Container{{EnvFrom: []corev1.EnvFromSource{{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: ref("from")}}}}},
		},
	}
}

func TestNode(t *testing.T) {
	o := authztest.New()
	o.Put("", "pods", nodePod())
	o.Put("", "persistentvolumes", &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: "disk"},
		Spec:       corev1.PersistentVolumeSpec{ClaimRef: &corev1.ObjectReference{Namespace: "a", Name: "data"}},
	})
	a := start(t, o)
	const unrelated = "no relationship found between node 'n1' and this object"
	cases := []struct {
		what   string
		allow  bool
		reason string
	}{
		{"get /secrets a vol", true, ""},
		{"watch /secrets a vol", true, ""},
		{"get /secrets a env", true, ""},
		{"get /secrets a pull", true, ""},
		{"get /secrets a other", false, unrelated},
		{"get /secrets b vol", false, unrelated},
		{"list /secrets a -", false, "No Object name found"},
		{"list /secrets - -", false, "can only read namespaced object of this type"},
		{"list /secrets - vol", false, "can only read namespaced object of this type"},
		{"watch /configmaps - from", false, "can only read namespaced object of this type"},
		{"delete /secrets a vol", false, "can only read resources of this type"},
		{"get /configmaps a kube-root-ca.crt", true, ""},
		{"list /configmaps a from", true, ""},
		{"get /configmaps a vol", false, unrelated},
		{"get /persistentvolumeclaims a data", true, ""},
		{"list /persistentvolumeclaims a data", false, "can only get individual resources of this type"},
		{"get /persistentvolumes - disk", true, ""},
		{"get /persistentvolumes - other", false, unrelated},
		{"create /serviceaccounts/token a bot", true, ""},
		{"create /serviceaccounts/token a default", false, unrelated},
		{"get /serviceaccounts a bot", false, "can only create tokens for individual service accounts"},
		{"update coordination.k8s.io/leases kube-node-lease n1", true, ""},
		{"update coordination.k8s.io/leases kube-node-lease n2", false, "can only access node lease with the same name as the requesting node"},
		{"update coordination.k8s.io/leases default n1", false, `can only access leases in the "kube-node-lease" system namespace`},
		{"watch /pods - -", false, "can only list/watch pods with spec.nodeName field selector"},
		{"patch /pods/status a p", true, ""},
		{"patch /nodes/status - n1", true, ""},
		{"create /events a -", true, ""},
		{"create /pods/binding a p", false, ""},
		{"get /healthz", false, ""},
	}
	for _, c := range cases {
		at := attributes(c.what)
		at.User = &client.User{Name: "system:node:n1", Groups: []string{"system:nodes", "system:authenticated"}}
		allowed, reason, err := a.Authorize(context.Background(), at)
		if err != nil || allowed != c.allow || reason != c.reason {
			t.Errorf("%s: %v, %q, %v; want %v, %q", c.what, allowed, reason, err, c.allow, c.reason)
		}
		at.User = &client.User{Name: "system:node:n1", Groups: []string{"system:authenticated"}}
		if allowed, _, _ := a.Authorize(context.Background(), at); allowed {
			t.Errorf("%s: allowed by the name alone", c.what)
		}
	}
}

// What a kubelet writes into a mirror pod gives it nothing to read.
func TestMirrorPodsGiveNoRelation(t *testing.T) {
	o := authztest.New()
	mirror := nodePod()
	mirror.Annotations = map[string]string{corev1.MirrorPodAnnotationKey: "x"}
	o.Put("", "pods", mirror)
	a := start(t, o)
	for _, what := range []string{
		"get /secrets a vol", "get /secrets a env", "get /secrets a pull", "get /configmaps a from",
		"get /persistentvolumeclaims a data", "create /serviceaccounts/token a bot",
	} {
		at := attributes(what)
		at.User = &client.User{Name: "system:node:n1", Groups: []string{"system:nodes", "system:authenticated"}}
		allowed, reason, err := a.Authorize(context.Background(), at)
		if err != nil || allowed || reason != "no relationship found between node 'n1' and this object" {
			t.Errorf("%s: %v, %q, %v", what, allowed, reason, err)
		}
	}
}

// A kubelet that received its pod from elsewhere is not sent away because this
// server's cache is behind.
func TestNodeAsksAgainBeforeItRefuses(t *testing.T) {
	o := authztest.New()
	a := start(t, o)
	o.Held = true
	o.Put("", "pods", nodePod())
	at := attributes("get /secrets a vol")
	at.User = &client.User{Name: "system:node:n1", Groups: []string{"system:nodes"}}
	if allowed, reason, err := a.Authorize(context.Background(), at); !allowed || err != nil {
		t.Errorf("refused: %q, %v", reason, err)
	}
}

func TestReviews(t *testing.T) {
	a := start(t, fixture())
	gv := authorizationv1.SchemeGroupVersion
	ask := a.Reviews()
	dev := &client.User{Name: "dan", Groups: []string{"devs"}}

	out, err := ask[gv.WithResource("selfsubjectaccessreviews")](context.Background(), dev, &authorizationv1.SelfSubjectAccessReview{
		Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: "list", Resource: "pods"}},
	})
	if err != nil || !out.(*authorizationv1.SelfSubjectAccessReview).Status.Allowed {
		t.Errorf("self: %+v, %v", out, err)
	}
	out, err = ask[gv.WithResource("subjectaccessreviews")](context.Background(), dev, &authorizationv1.SubjectAccessReview{
		Spec: authorizationv1.SubjectAccessReviewSpec{User: "eve", ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: "list", Resource: "pods"}},
	})
	if err != nil || out.(*authorizationv1.SubjectAccessReview).Status.Allowed {
		t.Errorf("subject: %+v, %v", out, err)
	}
	out, err = ask[gv.WithResource("localsubjectaccessreviews")](context.Background(), dev, &authorizationv1.LocalSubjectAccessReview{
		ObjectMeta: metav1.ObjectMeta{Namespace: "a"},
		Spec:       authorizationv1.SubjectAccessReviewSpec{User: "ann", ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: "create", Resource: "pods", Namespace: "a"}},
	})
	if err != nil || !out.(*authorizationv1.LocalSubjectAccessReview).Status.Allowed {
		t.Errorf("local: %+v, %v", out, err)
	}
	out, err = ask[gv.WithResource("selfsubjectrulesreviews")](context.Background(), &client.User{Name: "ann"},
		&authorizationv1.SelfSubjectRulesReview{Spec: authorizationv1.SelfSubjectRulesReviewSpec{Namespace: "a"}})
	if err != nil {
		t.Fatal(err)
	}
	s := out.(*authorizationv1.SelfSubjectRulesReview).Status
	if len(s.ResourceRules) != 2 || s.Incomplete || s.EvaluationError != "" {
		t.Errorf("rules: %+v", s)
	}
}

func BenchmarkAuthorize(b *testing.B) {
	o := fixture()
	for i := range 100 {
		name := fmt.Sprintf("r%d", i)
		o.Put(group, "clusterroles", clusterRole(name, nil, rule("get list watch", "apps", "deployments replicasets", name)))
		o.Put(group, "clusterrolebindings", clusterBinding(name, name, user("sue"), rbacv1.Subject{Kind: "Group", Name: name}))
	}
	a := start(b, o)
	at := attributes("create /pods a -")
	at.User = &client.User{Name: "ann", Groups: []string{"system:authenticated", "a", "b"}}
	b.ReportAllocs()
	for b.Loop() {
		if allowed, _, _ := a.Authorize(context.Background(), at); !allowed {
			b.Fatal("refused")
		}
	}
}
