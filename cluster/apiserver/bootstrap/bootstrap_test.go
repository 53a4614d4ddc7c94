package bootstrap_test

import (
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"wheelhouse/cluster/api/builtin"
	"wheelhouse/cluster/apiserver"
	"wheelhouse/cluster/apiserver/admission"
	"wheelhouse/cluster/apiserver/admission/serviceallocator"
	"wheelhouse/cluster/apiserver/apitest"
	"wheelhouse/cluster/apiserver/authn"
	"wheelhouse/cluster/apiserver/authz"
	"wheelhouse/cluster/apiserver/bootstrap"
	"wheelhouse/cluster/apiserver/pki"
	"wheelhouse/cluster/client"
	"wheelhouse/cluster/controller"
	"wheelhouse/cluster/wait"
)

var bg = context.Background()

// secured is a server with the real authentication, authorization and admission.
type secured struct {
	server *apiserver.Server
	host   func(token string) kubernetes.Interface // over TLS
	tokens *authn.Tokens
	keys   *pki.Authority
	config *rest.Config
}

func start(t testing.TB) *secured {
	t.Helper()
	keys, err := pki.Open(t.TempDir(), "test")
	if err != nil {
		t.Fatal(err)
	}
	s := &secured{keys: keys}
	ctx, cancel := context.WithCancel(bg)
	t.Cleanup(cancel)
	server, cfg := apitest.StartServer(t, func(c *apiserver.Config) {
		objects := authz.FromStore(c.Store, builtin.Kinds)
		a, err := authz.New(authz.Config{Objects: objects, Log: c.Log})
		if err != nil {
			t.Fatal(err)
		}
		chain, err := admission.New(admission.Config{
			Objects: objects, Authorizer: a, Log: c.Log, Signer: &pki.Signer{
				Authority: keys, Objects: objects,
				Join: func(ctx context.Context, u *client.User, node string) error {
					return authn.Join(ctx, s.inProcess(&client.User{Name: "system:apiserver", Groups: []string{"system:masters"}}), u, node)
				},
			},
			Services: serviceallocator.Config{CIDR: netip.MustParsePrefix("10.247.0.0/16")},
		})
		if err != nil {
			t.Fatal(err)
		}
		s.tokens, err = authn.NewTokens(authn.TokensConfig{Key: keys.TokenKey(), Issuer: "https://kubernetes.default.svc.cluster.local", Objects: objects})
		if err != nil {
			t.Fatal(err)
		}
		authenticator := authn.New(authn.Config{Tokens: s.tokens, Authorizer: a, Secrets: objects, Static: map[string]*client.User{
			"root": {Name: "root", Groups: []string{"system:masters"}},
			"ann":  {Name: "ann"},
			"n1":   {Name: "system:node:n1", Groups: []string{"system:nodes"}},
		}})
		c.Authenticator = allowSetup{authenticator}
		c.Authorizer, c.Admission, c.ServiceAccountToken = a, chain, s.tokens.Issue
		c.Virtual = map[schemaGVR]apiserver.CreateFunc{}
		for _, reviews := range []map[schemaGVR]authz.Review{a.Reviews(), authenticator.Reviews()} {
			for k, f := range reviews {
				c.Virtual[k] = f
			}
		}
		go func() { _ = a.Run(ctx) }()
		go func() { _ = chain.Run(ctx) }()
	})
	s.server, s.config = server, cfg
	s.host = func(token string) kubernetes.Interface {
		c := *cfg
		c.BearerToken = token
		return kubernetes.NewForConfigOrDie(&c)
	}
	return s
}

// allowSetup lets apitest make its namespace: it comes without credentials.
type allowSetup struct{ apiserver.Authenticator }

func (a allowSetup) Authenticate(r *http.Request) (*client.User, error) {
	if r.Method == http.MethodPost && r.URL.Path == "/api/v1/namespaces" && r.Header.Get("Authorization") == "" {
		return &client.User{Name: "setup", Groups: []string{"system:masters"}}, nil
	}
	return a.Authenticator.Authenticate(r)
}

func (s *secured) inProcess(u *client.User) kubernetes.Interface {
	return kubernetes.NewForConfigOrDie(client.InProcess(s.server.Handler(), u))
}

func (s *secured) bootstrap(t testing.TB) *bootstrap.Bootstrap {
	t.Helper()
	b, err := bootstrap.New(bootstrap.Config{
		Client:    s.inProcess(&client.User{Name: "system:apiserver", Groups: []string{"system:masters"}}),
		ServiceIP: netip.MustParseAddr("10.247.0.1"), Address: netip.MustParseAddr("10.245.1.2"), Port: 443,
		DNSIP: netip.MustParseAddr("10.247.0.10"), DNSAddresses: []netip.Addr{netip.MustParseAddr("10.245.1.2")},
		ClientCA: []byte("authority"), Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func pass(t testing.TB, b *bootstrap.Bootstrap) {
	t.Helper()
	ctx, cancel := context.WithTimeout(bg, 30*time.Second)
	defer cancel()
	if err := b.Pass(ctx); err != nil {
		t.Fatal(err)
	}
}

func TestObjects(t *testing.T) {
	s := start(t)
	b := s.bootstrap(t)
	began := time.Now()
	pass(t, b)
	t.Logf("first pass: %v", time.Since(began))
	root := s.host("root")
	versions := snapshot(t, root)
	began = time.Now()
	pass(t, b)
	t.Logf("second pass: %v", time.Since(began))
	if again := snapshot(t, root); !slices.Equal(versions, again) {
		t.Errorf("a second pass wrote: %v\nthen %v", versions, again)
	}
	svc, err := root.CoreV1().Services("default").Get(bg, "kubernetes", metav1.GetOptions{})
	if err != nil || svc.Spec.ClusterIP != "10.247.0.1" || svc.Spec.Ports[0].TargetPort.IntValue() != 443 {
		t.Errorf("kubernetes: %+v, %v", svc.Spec, err)
	}
	for _, name := range controller.Roles() {
		if _, err := root.RbacV1().ClusterRoles().Get(bg, name, metav1.GetOptions{}); err != nil {
			t.Errorf("the role of a controller: %v", err)
		}
	}
	ep, err := root.CoreV1().Endpoints("default").Get(bg, "kubernetes", metav1.GetOptions{})
	if err != nil || ep.Subsets[0].Addresses[0].IP != "10.245.1.2" || ep.Subsets[0].Ports[0].Port != 443 {
		t.Errorf("endpoints: %+v, %v", ep, err)
	}
	dns, err := root.CoreV1().Services("kube-system").Get(bg, "kube-dns", metav1.GetOptions{})
	if err != nil || dns.Spec.ClusterIP != "10.247.0.10" || dns.Labels["kubernetes.io/name"] != "KubeDNS" || len(dns.Spec.Selector) != 0 {
		t.Errorf("kube-dns: %+v, %v", dns, err)
	}
	slices, err := root.DiscoveryV1().EndpointSlices("").List(bg, metav1.ListOptions{LabelSelector: "kubernetes.io/service-name in (kubernetes,kube-dns)"})
	if err != nil || len(slices.Items) != 2 || len(slices.Items[0].Endpoints) != 1 {
		t.Errorf("slices: %+v, %v", slices, err)
	}
	ca, err := root.CoreV1().ConfigMaps("kube-system").Get(bg, "extension-apiserver-authentication", metav1.GetOptions{})
	if err != nil || ca.Data["client-ca-file"] != "authority" {
		t.Errorf("authorities: %+v, %v", ca, err)
	}
	classes, err := root.SchedulingV1().PriorityClasses().List(bg, metav1.ListOptions{})
	if err != nil || len(classes.Items) != 2 {
		t.Errorf("priority classes: %+v, %v", classes, err)
	}
}

// snapshot names every object with its version.
func snapshot(t *testing.T, c kubernetes.Interface) []string {
	t.Helper()
	var out []string
	add := func(o metav1.Object) { out = append(out, o.GetNamespace()+"/"+o.GetName()+"@"+o.GetResourceVersion()) }
	roles, err := c.RbacV1().ClusterRoles().List(bg, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range roles.Items {
		add(&roles.Items[i])
	}
	bindings, err := c.RbacV1().ClusterRoleBindings().List(bg, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range bindings.Items {
		add(&bindings.Items[i])
	}
	services, err := c.CoreV1().Services("").List(bg, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range services.Items {
		add(&services.Items[i])
	}
	if len(roles.Items) < 40 || len(bindings.Items) < 20 || len(services.Items) != 2 {
		t.Errorf("%d roles, %d bindings, %d services", len(roles.Items), len(bindings.Items), len(services.Items))
	}
	return out
}

func TestKeepsWhatPeopleAdded(t *testing.T) {
	s := start(t)
	b := s.bootstrap(t)
	pass(t, b)
	pass(t, b) // nothing to write: the next one looks for changes alone
	root := s.host("root")
	role, err := root.RbacV1().ClusterRoles().Get(bg, "system:basic-user", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	extra := rbacv1.PolicyRule{Verbs: []string{"get"}, APIGroups: []string{""}, Resources: []string{"nodes"}}
	role.Rules = []rbacv1.PolicyRule{extra}
	if _, err := root.RbacV1().ClusterRoles().Update(bg, role, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := root.RbacV1().ClusterRoles().Delete(bg, "system:discovery", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	pass(t, b)
	role, err = root.RbacV1().ClusterRoles().Get(bg, "system:basic-user", metav1.GetOptions{})
	if err != nil || len(role.Rules) < 3 || role.Rules[0].Resources[0] != "nodes" {
		t.Errorf("rules %+v, %v", role.Rules, err)
	}
	if _, err := root.RbacV1().ClusterRoles().Get(bg, "system:discovery", metav1.GetOptions{}); err != nil {
		t.Error(err)
	}
}

// A subject that is no longer a default is removed from a binding of an earlier version, and stays
// where a user has added it since.
func TestReplacedSubject(t *testing.T) {
	s := start(t)
	b := s.bootstrap(t)
	bindings := s.host("root").RbacV1().ClusterRoleBindings()
	nodes := rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: "system:nodes"}
	former := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "system:node-proxier"}, Subjects: []rbacv1.Subject{nodes},
		RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "system:node-proxier"},
	}
	if _, err := bindings.Create(bg, former, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, put := range []bool{false, true} {
		if put {
			now, err := bindings.Get(bg, former.Name, metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			now.Subjects = append(now.Subjects, nodes)
			if _, err := bindings.Update(bg, now, metav1.UpdateOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		pass(t, b)
		now, err := bindings.Get(bg, former.Name, metav1.GetOptions{})
		if err != nil || slices.Contains(now.Subjects, nodes) != put {
			t.Errorf("put there %v: subjects %v, %v", put, now.Subjects, err)
		}
	}
}

func may(t *testing.T, c kubernetes.Interface, verb, group, resource, namespace string) bool {
	t.Helper()
	r, err := c.AuthorizationV1().SelfSubjectAccessReviews().Create(bg, &authorizationv1.SelfSubjectAccessReview{
		Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &authorizationv1.ResourceAttributes{
			Verb: verb, Group: group, Resource: resource, Namespace: namespace,
		}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return r.Status.Allowed
}

// A right counts from the moment its writer has the answer, and ends likewise.
func TestRightsOverHTTP(t *testing.T) {
	s := start(t)
	pass(t, s.bootstrap(t))
	root, ann := s.host("root"), s.host("ann")
	_, err := ann.CoreV1().Pods("default").List(bg, metav1.ListOptions{})
	if !apierrors.IsForbidden(err) || err.Error() != `pods is forbidden: User "ann" cannot list resource "pods" in API group "" in the namespace "default"` {
		t.Errorf("error %v", err)
	}
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "ann"}, Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: "ann"}},
		RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "edit"},
	}
	for range 20 {
		if _, err := root.RbacV1().RoleBindings("default").Create(bg, binding, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		if !may(t, ann, "create", "", "pods", "default") || !may(t, ann, "list", "", "services", "default") || may(t, ann, "list", "", "pods", "kube-system") {
			t.Fatal("the binding does not count")
		}
		if err := root.RbacV1().RoleBindings("default").Delete(bg, "ann", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		if may(t, ann, "create", "", "pods", "default") {
			t.Fatal("the binding counts though it is gone")
		}
	}
	// kubectl auth can-i --list
	rules, err := ann.AuthorizationV1().SelfSubjectRulesReviews().Create(bg, &authorizationv1.SelfSubjectRulesReview{
		Spec: authorizationv1.SelfSubjectRulesReviewSpec{Namespace: "default"},
	}, metav1.CreateOptions{})
	if err != nil || len(rules.Status.ResourceRules) == 0 || len(rules.Status.NonResourceRules) == 0 {
		t.Errorf("rules %+v, %v", rules, err)
	}
	// anonymous
	if _, err := s.host("").Discovery().ServerVersion(); err != nil {
		t.Errorf("anonymous may not see the version: %v", err)
	}
	if _, err := s.host("").CoreV1().Pods("").List(bg, metav1.ListOptions{}); !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), `User "system:anonymous"`) {
		t.Errorf("anonymous: %v", err)
	}
	if _, err := s.host("wrong").CoreV1().Pods("").List(bg, metav1.ListOptions{}); !apierrors.IsUnauthorized(err) {
		t.Errorf("wrong token: %v", err)
	}
}

// A pod's token, asked for by its kubelet, identifies the pod until it is gone.
func TestTokenOfAPod(t *testing.T) {
	s := start(t)
	pass(t, s.bootstrap(t))
	root, kubelet := s.host("root"), s.host("n1")
	if _, err := root.CoreV1().ServiceAccounts("default").Create(bg, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	pod, err := root.CoreV1().Pods("default").Create(bg, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "p"},
		Spec:       corev1.PodSpec{NodeName: "n1", Containers: []corev1.Container{{Name: "c", Image: "x"}}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(pod.Spec.Volumes) != 1 || len(pod.Spec.Containers[0].VolumeMounts) != 1 || *pod.Spec.Priority != 0 || len(pod.Spec.Tolerations) != 2 {
		t.Errorf("admission left %+v", pod.Spec)
	}
	request := tokenFor(pod)
	r, err := kubelet.CoreV1().ServiceAccounts("default").CreateToken(bg, "default", request, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	asPod := s.host(r.Status.Token)
	if !may(t, asPod, "create", "authorization.k8s.io", "selfsubjectaccessreviews", "") || may(t, asPod, "get", "", "secrets", "default") {
		t.Error("the pod's account has the wrong rights")
	}
	other := pod.DeepCopy()
	other.UID = "other"
	if _, err := kubelet.CoreV1().ServiceAccounts("default").CreateToken(bg, "default", tokenFor(other), metav1.CreateOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("token for another pod: %v", err)
	}
	zero := int64(0)
	if err := root.CoreV1().Pods("default").Delete(bg, "p", metav1.DeleteOptions{GracePeriodSeconds: &zero}); err != nil {
		t.Fatal(err)
	}
	if _, err := asPod.CoreV1().Pods("default").List(bg, metav1.ListOptions{}); !apierrors.IsUnauthorized(err) {
		t.Errorf("after the pod: %v", err)
	}
}

// A machine with a join token gets the identity of its node, and no other; the
// token is good for nothing else and not for long.
func TestJoin(t *testing.T) {
	s := start(t)
	pass(t, s.bootstrap(t))
	token, secret := authn.NewBootstrapToken(time.Hour)
	late, expired := authn.NewBootstrapToken(-time.Minute)
	for _, x := range []*corev1.Secret{secret, expired} {
		if _, err := s.host("root").CoreV1().Secrets("kube-system").Create(bg, x, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	k, err := client.Join(bg, s.config.Host, s.config.CAData, token, "n7")
	if err != nil {
		t.Fatal(err)
	}
	pair := &pki.Pair{Cert: k.Cert, Key: k.Key}
	cert, err := pair.TLS()
	if err != nil || cert.Leaf.Subject.String() != "CN=system:node:n7,O=system:nodes" {
		t.Fatalf("%v, %v", cert.Leaf.Subject, err)
	}
	if _, err := cert.Leaf.Verify(x509.VerifyOptions{Roots: s.keys.Pool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		t.Error(err)
	}
	if _, err := s.host(token).CoreV1().Secrets("kube-system").List(bg, metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("a join token lists secrets: %v", err)
	}
	if _, err := client.Join(bg, s.config.Host, s.config.CAData, late, "n7"); !apierrors.IsUnauthorized(errors.Unwrap(err)) {
		t.Errorf("an expired token: %v", err)
	}
}

// The sums that people read in admin, edit and view are written, and follow.
func TestAggregatedRolesAreWritten(t *testing.T) {
	s := start(t)
	ctx, cancel := context.WithCancel(bg)
	defer cancel()
	b := s.bootstrap(t)
	done := make(chan struct{})
	go func() { defer close(done); _ = b.Run(ctx) }()
	defer func() { cancel(); <-done }()
	ready, stop := context.WithTimeout(ctx, 20*time.Second)
	defer stop()
	if err := b.WaitReady(ready); err != nil {
		t.Fatal(err)
	}
	root := s.host("root")
	custom := &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{Name: "more", Labels: map[string]string{"rbac.authorization.k8s.io/aggregate-to-view": "true"}},
		Rules:      []rbacv1.PolicyRule{{Verbs: []string{"get"}, APIGroups: []string{"example.com"}, Resources: []string{"widgets"}}},
	}
	if _, err := root.RbacV1().ClusterRoles().Create(bg, custom, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"view", "edit", "admin"} {
		wait.For(t, name+" with the rules of both", func() error {
			role, err := root.RbacV1().ClusterRoles().Get(bg, name, metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			custom := func(r rbacv1.PolicyRule) bool { return slices.Equal(r.APIGroups, []string{"example.com"}) }
			return wait.Seen(slices.ContainsFunc(role.Rules, custom) && len(role.Rules) > 5, role.Rules)
		})
	}
}

// A pass over a cluster in which nothing has changed, as an idle server makes them.
func BenchmarkPass(b *testing.B) {
	s := start(b)
	boot := s.bootstrap(b)
	pass(b, boot)
	pass(b, boot)
	b.ReportAllocs()
	for b.Loop() {
		pass(b, boot)
	}
}
