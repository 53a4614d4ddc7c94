package bootstrap_test

import (
	"context"
	"errors"
	"flag"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/kubernetes"

	"wheelhouse/cluster/api/builtin"
	"wheelhouse/cluster/apiserver"
	"wheelhouse/cluster/apiserver/apitest"
	"wheelhouse/cluster/apiserver/authz"
	"wheelhouse/cluster/apiserver/bootstrap"
	"wheelhouse/cluster/client"
)

var update = flag.Bool("update", false, "write the golden files of this package's tests")

const matrixFile = "testdata/matrix.txt"

// TestAuthorizationMatrix compares what every default role and every identity of a component
// may do with a table that people have read. After a change that is meant, write it again and
// read what differs:
//
//	go test ./cluster/apiserver/bootstrap -run TestAuthorizationMatrix -update && git diff
func TestAuthorizationMatrix(t *testing.T) {
	m := newMatrix(t)
	got := m.table()
	if *update {
		if err := os.WriteFile(matrixFile, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(matrixFile)
	if err != nil {
		t.Fatal(err)
	}
	if got == string(want) {
		return
	}
	have := map[string]bool{}
	section := ""
	each := func(text string, f func(line string)) {
		for line := range strings.Lines(text) {
			if !strings.HasPrefix(line, " ") {
				section = strings.TrimSpace(line)
			}
			if line != "\n" {
				f(section + ": " + strings.TrimSpace(line))
			}
		}
	}
	each(string(want), func(line string) { have[line] = true })
	each(got, func(line string) {
		if !have[line] {
			t.Errorf("not in %s: %s", matrixFile, line)
		}
		have[line] = false
	})
	for _, line := range slices.Sorted(maps.Keys(have)) {
		if have[line] {
			t.Errorf("in %s, and no longer so: %s", matrixFile, line)
		}
	}
	t.Errorf("who may do what has changed; if that is meant, run this test with -update and read the difference")
}

// identity is somebody, with what is known of him.
type identity struct {
	title string
	user  client.User
	roles []string // that are bound to it everywhere by default
}

// place is where an object of a resource may be.
type place struct{ namespace, name string }

const (
	theirs = "own" // the namespace of roles that are bound in one; the name of a node and of what belongs to it
	others = "other"
)

type matrix struct {
	t          *testing.T
	authorizer *authz.Authorizer
	identities []identity
	resources  []string            // group/resource[/subresource]
	names      map[string][]string // that rules name, by resource
	verbs      []string
}

var (
	readVerbs  = []string{"get", "list", "watch"}
	writeVerbs = []string{"create", "update", "patch", "delete", "deletecollection"}
	// moreResources are asked about and not served, or not in every rule. Behind a question
	// mark is a field selector.
	moreResources = []string{
		"/users", "/groups", "authentication.k8s.io/uids", "authentication.k8s.io/userextras/scopes",
		"/nodes/stats", "/nodes/metrics", "/nodes/log", "/nodes/spec", "/nodes/healthz", "/nodes/pods", "/nodes/configz", "/nodes/checkpoint", "/nodes/statusz",
		"/pods?spec.nodeName=" + theirs, "/pods?spec.nodeName=" + others, "/nodes/controlplane", "/pods/gitrepo", "/endpoints/restricted", "/services/externalips",
		"certificates.k8s.io/signers", "certificates.k8s.io/certificatesigningrequests/nodeclient", "certificates.k8s.io/certificatesigningrequests/selfnodeclient",
		anything,
	}
	paths = []string{
		"/", "/api", "/api/v1", "/apis", "/apis/apps/v1", "/openapi/v2", "/openapi/v3", "/version", "/version/", "/healthz", "/healthz/etcd",
		"/livez", "/livez/ping", "/readyz", "/readyz/etcd", "/metrics", "/metrics/slis", "/.well-known/openid-configuration", "/openid/v1/jwks",
		"/logs", "/debug/pprof", "/debug/pprof/profile", "/statusz", "/flagz", "/wheelhouse/masters/join", "/wheelhouse/masters/token", "/x",
	}
)

// anything is a resource that no rule names.
const anything = "example.com/widgets"

func newMatrix(t *testing.T) *matrix {
	t.Helper()
	m := &matrix{t: t, names: map[string][]string{}}
	server, _ := apitest.StartServer(t, func(c *apiserver.Config) {
		var err error
		m.authorizer, err = authz.New(authz.Config{Objects: authz.FromStore(c.Store, builtin.Kinds), Log: c.Log})
		if err != nil {
			t.Fatal(err)
		}
	})
	cs := kubernetes.NewForConfigOrDie(client.InProcess(server.Handler(), &client.User{Name: "system:apiserver", Groups: []string{"system:masters"}}))
	b, err := bootstrap.New(bootstrap.Config{Client: cs, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	pass(t, b)
	roles := m.readRoles(cs)
	m.seed(cs)
	m.who(cs, roles)
	ctx, cancel := context.WithCancel(bg)
	done := make(chan struct{})
	go func() { defer close(done); _ = m.authorizer.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	wait, stop := context.WithTimeout(bg, 20*time.Second)
	defer stop()
	if err := m.authorizer.WaitReady(wait); err != nil {
		t.Fatal(err)
	}
	return m
}

// readRoles finds out what to ask about: all that is served, and all that rules name.
func (m *matrix) readRoles(cs kubernetes.Interface) []rbacv1.ClusterRole {
	all, err := cs.RbacV1().ClusterRoles().List(bg, metav1.ListOptions{})
	if err != nil {
		m.t.Fatal(err)
	}
	inNamespaces, err := cs.RbacV1().Roles("").List(bg, metav1.ListOptions{})
	if err != nil {
		m.t.Fatal(err)
	}
	resources, verbs := map[string]bool{}, map[string]bool{}
	for _, k := range builtin.Table().Served() {
		resources[k.Group+"/"+k.Plural] = true
		for _, sub := range k.Connect {
			resources[k.Group+"/"+k.Plural+"/"+sub.Name] = true
		}
		if k.HasStatus {
			resources[k.Group+"/"+k.Plural+"/status"] = true
		}
		if k.Scale != nil {
			resources[k.Group+"/"+k.Plural+"/scale"] = true
		}
	}
	for _, r := range moreResources {
		resources[r] = true
	}
	for _, v := range []string{"impersonate", "bind", "escalate", "use", "approve", "sign", "attest"} {
		verbs[v] = true
	}
	add := func(rules []rbacv1.PolicyRule) {
		for _, r := range rules {
			for _, g := range r.APIGroups {
				for _, res := range r.Resources {
					if g == "*" || strings.Contains(res, "*") {
						continue
					}
					resources[g+"/"+res] = true
					m.names[g+"/"+res] = append(m.names[g+"/"+res], r.ResourceNames...)
				}
			}
			for _, v := range r.Verbs {
				verbs[v] = true
			}
		}
	}
	for i := range all.Items {
		add(all.Items[i].Rules)
	}
	for i := range inNamespaces.Items {
		add(inNamespaces.Items[i].Rules)
	}
	m.resources = slices.Sorted(maps.Keys(resources))
	for _, v := range slices.Concat(readVerbs, writeVerbs, []string{rbacv1.VerbAll, "post"}) { // post is of paths, which table asks about
		delete(verbs, v)
	}
	m.verbs = slices.Concat(readVerbs, writeVerbs, slices.Sorted(maps.Keys(verbs)))
	return all.Items
}

// who returns all subjects of default bindings, a user of each role, and those without any.
func (m *matrix) who(cs kubernetes.Interface, roles []rbacv1.ClusterRole) {
	const authenticated = "system:authenticated"
	m.identities = []identity{
		{title: "anonymous", user: client.User{Name: "system:anonymous", Groups: []string{"system:unauthenticated"}}},
		{title: "every authenticated user", user: client.User{Name: "somebody", Groups: []string{authenticated}}},
		{title: "node", user: client.User{Name: "system:node:" + theirs, Groups: []string{"system:nodes", authenticated}}},
		{title: "user system:node:" + theirs + " without the group of nodes", user: client.User{Name: "system:node:" + theirs, Groups: []string{authenticated}}},
		{title: "default service account", user: client.User{
			Name: "system:serviceaccount:own:default", Groups: []string{"system:serviceaccounts", "system:serviceaccounts:own", authenticated},
		}},
		{title: "bootstrap token", user: client.User{Name: "system:bootstrap:abcdef", Groups: []string{"system:bootstrappers", authenticated}}},
		{title: "group system:masters", user: client.User{Name: "root", Groups: []string{"system:masters", authenticated}}},
	}
	for i := range roles {
		name := roles[i].Name
		m.identities = append(m.identities, identity{title: "role " + name, user: client.User{Name: "has " + name, Groups: []string{authenticated}}})
		m.bind(cs, name)
	}
	seen := map[string]bool{}
	add := func(subjects []rbacv1.Subject) {
		for _, s := range subjects {
			who := identity{title: strings.ToLower(s.Kind) + " " + s.Name, user: client.User{Name: s.Name, Groups: []string{authenticated}}}
			switch {
			case s.Kind == "Group" && slices.Contains([]string{"system:masters", authenticated, "system:unauthenticated", "system:serviceaccounts", "system:bootstrappers", "system:nodes"}, s.Name):
				continue // above
			case s.Kind == "Group":
				who.user = client.User{Name: "member", Groups: []string{s.Name, authenticated}}
			case s.Kind == "ServiceAccount":
				who.title = "account " + s.Namespace + "/" + s.Name
				who.user = client.User{
					Name:   "system:serviceaccount:" + s.Namespace + ":" + s.Name,
					Groups: []string{"system:serviceaccounts", "system:serviceaccounts:" + s.Namespace, authenticated},
				}
			case strings.HasPrefix(s.Name, "has "):
				continue // ours
			}
			if !seen[who.title] {
				seen[who.title] = true
				m.identities = append(m.identities, who)
			}
		}
	}
	wide, err := cs.RbacV1().ClusterRoleBindings().List(bg, metav1.ListOptions{})
	if err != nil {
		m.t.Fatal(err)
	}
	narrow, err := cs.RbacV1().RoleBindings("").List(bg, metav1.ListOptions{})
	if err != nil {
		m.t.Fatal(err)
	}
	for i := range wide.Items {
		add(wide.Items[i].Subjects)
	}
	for i := range narrow.Items {
		add(narrow.Items[i].Subjects)
	}
	for i := range wide.Items {
		for j := range m.identities {
			who := &m.identities[j]
			if !strings.HasPrefix(who.title, "role ") && slices.ContainsFunc(wide.Items[i].Subjects, who.is) {
				who.roles = append(who.roles, wide.Items[i].RoleRef.Name)
			}
		}
	}
}

func (who *identity) is(s rbacv1.Subject) bool {
	switch s.Kind {
	case "Group":
		return slices.Contains(who.user.Groups, s.Name)
	case "ServiceAccount":
		return who.user.Name == "system:serviceaccount:"+s.Namespace+":"+s.Name
	}
	return who.user.Name == s.Name
}

// bind gives a role to its user: view, edit and admin in a namespace, as they are meant.
func (m *matrix) bind(cs kubernetes.Interface, role string) {
	meta := metav1.ObjectMeta{Name: "has-" + strings.ReplaceAll(role, ":", "-")}
	ref := rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role}
	to := []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: "has " + role}}
	var err error
	if slices.Contains([]string{"view", "edit", "admin"}, role) {
		_, err = cs.RbacV1().RoleBindings(theirs).Create(bg, &rbacv1.RoleBinding{ObjectMeta: meta, RoleRef: ref, Subjects: to}, metav1.CreateOptions{})
	} else {
		_, err = cs.RbacV1().ClusterRoleBindings().Create(bg, &rbacv1.ClusterRoleBinding{ObjectMeta: meta, RoleRef: ref, Subjects: to}, metav1.CreateOptions{})
	}
	if err != nil {
		m.t.Fatalf("binding %s: %v", role, err)
	}
}

// seed gives the node a pod with a secret, a config map, a claim and an account.
func (m *matrix) seed(cs kubernetes.Interface) {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: theirs}, Spec: corev1.PodSpec{
		NodeName: theirs, ServiceAccountName: theirs, Containers: []corev1.Container{{Name: "c", Image: "i"}},
		Volumes: []corev1.Volume{
			{Name: "s", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: theirs}}},
			{Name: "m", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: theirs}}}},
			{Name: "c", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: theirs}}},
		},
	}}
	volume := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: theirs}, Spec: corev1.PersistentVolumeSpec{
		Capacity:               corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")},
		AccessModes:            []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
		PersistentVolumeSource: corev1.PersistentVolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/x"}},
		ClaimRef:               &corev1.ObjectReference{Namespace: theirs, Name: theirs},
	}}
	_, errSpace := cs.CoreV1().Namespaces().Create(bg, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: theirs}}, metav1.CreateOptions{})
	_, errPod := cs.CoreV1().Pods(theirs).Create(bg, pod, metav1.CreateOptions{})
	_, errVolume := cs.CoreV1().PersistentVolumes().Create(bg, volume, metav1.CreateOptions{})
	if err := errors.Join(errSpace, errPod, errVolume); err != nil {
		m.t.Fatal(err)
	}
}

func (m *matrix) allows(who *identity, verb, resource string, p place) bool {
	resource, selector, _ := strings.Cut(resource, "?")
	group, rest, _ := strings.Cut(resource, "/")
	plural, sub, _ := strings.Cut(rest, "/")
	at := authz.Attributes{
		User: &who.user, Verb: verb, Group: group, Version: "v1", Resource: plural, Subresource: sub,
		Namespace: p.namespace, Name: p.name, ResourceRequest: true,
	}
	if selector != "" {
		at.Name, at.FieldSelector = "", fields.ParseSelectorOrDie(selector).Requirements()
	}
	allowed, _, err := m.authorizer.Authorize(bg, at)
	if err != nil {
		m.t.Fatalf("%s: %s %s at %v: %v", who.title, verb, resource, p, err)
	}
	return allowed
}

// cell is one right: a verb on a resource, everywhere or somewhere; or a verb on a path.
type cell struct{ scope, resource, verb string }

const (
	everywhere = "everywhere"
	aPath      = "path"
)

type cells map[cell]bool

// has reports whether c is one of the rights, or is among what is allowed of anything.
func (cs cells) has(c cell) bool {
	return cs[c] || (c.scope != aPath && cs[cell{everywhere, anything, c.verb}])
}

// beyond returns the rights that less does not have.
func (cs cells) beyond(less cells) cells {
	out := maps.Clone(cs)
	maps.DeleteFunc(out, func(c cell, _ bool) bool { return less.has(c) })
	return out
}

// cells returns what one may do: everywhere, in some namespaces, to some objects.
func (m *matrix) cells(who *identity) cells {
	out := cells{}
	namespaces := []string{others, theirs, metav1.NamespaceSystem, metav1.NamespacePublic, corev1.NamespaceNodeLease}
	for _, r := range slices.Concat([]string{anything}, m.resources) {
		names := append([]string{theirs}, m.names[r]...)
		for _, verb := range m.verbs {
			ask := func(scope string, p place) bool {
				if !m.allows(who, verb, r, p) {
					return false
				}
				plain, _, _ := strings.Cut(r, "?")
				if c := (cell{scope, r, verb}); !out.has(c) && !out.has(cell{scope, plain, verb}) {
					out[c] = true
				}
				return true
			}
			if ask(everywhere, place{name: others}) {
				continue
			}
			for _, name := range names {
				ask(everywhere+", name "+name, place{name: name})
			}
			for _, ns := range namespaces {
				if ask("in "+ns, place{ns, others}) {
					continue
				}
				for _, name := range names {
					if !out[cell{everywhere + ", name " + name, r, verb}] {
						ask("in "+ns+", name "+name, place{ns, name})
					}
				}
			}
		}
	}
	for _, verb := range []string{"get", "post"} {
		for _, p := range paths {
			if ok, _, _ := m.authorizer.Authorize(bg, authz.Attributes{User: &who.user, Verb: verb, Path: p}); ok {
				out[cell{aPath, p, verb}] = true
			}
		}
	}
	return out
}
