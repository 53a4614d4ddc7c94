package admission_test

import (
	"context"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/apiserver/admission"
	"wheelhouse/cluster/apiserver/authz"
	"wheelhouse/cluster/apiserver/authz/authztest"
	"wheelhouse/cluster/client"
)

var bg = context.Background()

func newChain(t testing.TB, o *authztest.Objects, services admission.ServicesConfig) *admission.Chain {
	t.Helper()
	a, err := authz.New(authz.Config{Objects: o})
	if err != nil {
		t.Fatal(err)
	}
	if !services.CIDR.IsValid() {
		services.CIDR = netip.MustParsePrefix("10.247.0.0/16")
	}
	c, err := admission.New(admission.Config{Objects: o, Authorizer: a, Services: services})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(bg)
	done := make(chan struct{}, 2)
	go func() { _ = a.Run(ctx); done <- struct{}{} }()
	go func() { _ = c.Run(ctx); done <- struct{}{} }()
	t.Cleanup(func() { cancel(); <-done; <-done })
	wait, stop := context.WithTimeout(ctx, 10*time.Second)
	defer stop()
	if err := a.WaitReady(wait); err != nil {
		t.Fatal(err)
	}
	return c
}

func kind(group, plural string) *api.Kind {
	return &api.Kind{GroupVersionKind: schema.GroupVersionKind{Group: group, Version: "v1"}, Plural: plural}
}

func meta(namespace, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: namespace, Name: name}
}

// cluster has a namespace a with its default account, and a namespace that goes.
func cluster() *authztest.Objects {
	o := authztest.New()
	o.StartAt(1 << 40)
	o.Put("", "namespaces", &corev1.Namespace{ObjectMeta: meta("", "a")},
		&corev1.Namespace{ObjectMeta: meta("", "going"), Status: corev1.NamespaceStatus{Phase: corev1.NamespaceTerminating}})
	off := false
	o.Put("", "serviceaccounts", &corev1.ServiceAccount{ObjectMeta: meta("a", "default")},
		&corev1.ServiceAccount{ObjectMeta: meta("a", "quiet"), AutomountServiceAccountToken: &off},
		&corev1.ServiceAccount{ObjectMeta: meta("a", "puller"), ImagePullSecrets: []corev1.LocalObjectReference{{Name: "reg"}}})
	return o
}

func podRequest(p *corev1.Pod) *admission.Request {
	return &admission.Request{User: &client.User{Name: "u"}, Verb: admission.Create, Kind: kind("", "pods"), Namespace: "a", Name: p.Name, Object: p}
}

func want(t *testing.T, err error, message string) {
	t.Helper()
	if (err == nil) != (message == "") || (err != nil && err.Error() != message) {
		t.Errorf("error\n  %v\nwant\n  %s", err, message)
	}
}

func TestNamespaceLifecycle(t *testing.T) {
	o := cluster()
	c := newChain(t, o, admission.ServicesConfig{})
	configMap := func(ns string) *admission.Request {
		return &admission.Request{Verb: admission.Create, Kind: kind("", "configmaps"), Namespace: ns, Name: "c", Object: &corev1.ConfigMap{ObjectMeta: meta(ns, "c")}}
	}
	want(t, c.Admit(bg, configMap("a")), "")
	err := c.Admit(bg, configMap("x"))
	want(t, err, `namespaces "x" not found`)
	if !apierrors.IsNotFound(err) {
		t.Errorf("%T is not NotFound", err)
	}
	err = c.Admit(bg, configMap("going"))
	want(t, err, `configmaps "c" is forbidden: unable to create new content in namespace going because it is being terminated`)
	if !apierrors.IsForbidden(err) || !apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		t.Errorf("%v lacks its cause", err)
	}
	update := configMap("going")
	update.Verb = admission.Update
	want(t, c.Admit(bg, update), "")
	for _, name := range []string{"default", "kube-system", "kube-public"} {
		want(t, c.Admit(bg, &admission.Request{Verb: admission.Delete, Kind: kind("", "namespaces"), Name: name}),
			`namespaces "`+name+`" is forbidden: this namespace may not be deleted`)
	}
	want(t, c.Admit(bg, &admission.Request{Verb: admission.Delete, Kind: kind("", "namespaces"), Name: "a"}), "")
	// A namespace that the cache has not heard of yet.
	o.Held = true
	o.Put("", "namespaces", &corev1.Namespace{ObjectMeta: meta("", "new")})
	want(t, c.Admit(bg, configMap("new")), "")
}

func TestServiceAccount(t *testing.T) {
	c := newChain(t, cluster(), admission.ServicesConfig{})
	pod := &corev1.Pod{ObjectMeta: meta("a", "p"), Spec: corev1.PodSpec{
		InitContainers: []corev1.Container{{Name: "i"}},
		Containers: []corev1.Container{{Name: "c"}, {Name: "own", VolumeMounts: []corev1.VolumeMount{
			{Name: "mine", MountPath: "/var/run/secrets/kubernetes.io/serviceaccount"},
		}}},
	}}
	want(t, c.Admit(bg, podRequest(pod)), "")
	if pod.Spec.ServiceAccountName != "default" || pod.Spec.DeprecatedServiceAccount != "default" {
		t.Errorf("account %q, %q", pod.Spec.ServiceAccountName, pod.Spec.DeprecatedServiceAccount)
	}
	if len(pod.Spec.Volumes) != 1 || !strings.HasPrefix(pod.Spec.Volumes[0].Name, "kube-api-access-") || len(pod.Spec.Volumes[0].Name) != len("kube-api-access-")+5 {
		t.Fatalf("volumes %+v", pod.Spec.Volumes)
	}
	p := pod.Spec.Volumes[0].Projected
	if *p.DefaultMode != 0o644 || *p.Sources[0].ServiceAccountToken.ExpirationSeconds != 3607 || p.Sources[0].ServiceAccountToken.Path != "token" ||
		p.Sources[1].ConfigMap.Name != "kube-root-ca.crt" || p.Sources[1].ConfigMap.Items[0].Path != "ca.crt" ||
		p.Sources[2].DownwardAPI.Items[0].Path != "namespace" || p.Sources[2].DownwardAPI.Items[0].FieldRef.FieldPath != "metadata.namespace" {
		t.Errorf("projected %+v", p)
	}
	mount := []corev1.VolumeMount{{Name: pod.Spec.Volumes[0].Name, ReadOnly: true, MountPath: "/var/run/secrets/kubernetes.io/serviceaccount"}}
	if !reflect.DeepEqual(pod.Spec.InitContainers[0].VolumeMounts, mount) || !reflect.DeepEqual(pod.Spec.Containers[0].VolumeMounts, mount) ||
		pod.Spec.Containers[1].VolumeMounts[0].Name != "mine" || len(pod.Spec.Containers[1].VolumeMounts) != 1 {
		t.Errorf("mounts %+v %+v", pod.Spec.InitContainers, pod.Spec.Containers)
	}
	before := pod.DeepCopy()
	want(t, c.Admit(bg, podRequest(pod)), "")
	if !reflect.DeepEqual(before, pod) {
		t.Error("a second pass changed the pod")
	}

	off := false
	for _, quiet := range []*corev1.Pod{
		{ObjectMeta: meta("a", "p"), Spec: corev1.PodSpec{ServiceAccountName: "quiet", Containers: []corev1.Container{{Name: "c"}}}},
		{ObjectMeta: meta("a", "p"), Spec: corev1.PodSpec{AutomountServiceAccountToken: &off, Containers: []corev1.Container{{Name: "c"}}}},
	} {
		want(t, c.Admit(bg, podRequest(quiet)), "")
		if len(quiet.Spec.Volumes) != 0 {
			t.Errorf("volumes %+v", quiet.Spec.Volumes)
		}
	}
	puller := &corev1.Pod{ObjectMeta: meta("a", "p"), Spec: corev1.PodSpec{ServiceAccountName: "puller"}}
	want(t, c.Admit(bg, podRequest(puller)), "")
	if len(puller.Spec.ImagePullSecrets) != 1 || puller.Spec.ImagePullSecrets[0].Name != "reg" {
		t.Errorf("pull secrets %v", puller.Spec.ImagePullSecrets)
	}
	want(t, c.Admit(bg, podRequest(&corev1.Pod{ObjectMeta: meta("a", "p"), Spec: corev1.PodSpec{ServiceAccountName: "x"}})),
		`pods "p" is forbidden: error looking up service account a/x: serviceaccount "x" not found`)
}

func TestDefaultAccountIsWaitedFor(t *testing.T) {
	o := cluster()
	o.Put("", "namespaces", &corev1.Namespace{ObjectMeta: meta("", "b")})
	c := newChain(t, o, admission.ServicesConfig{})
	go o.Put("", "serviceaccounts", &corev1.ServiceAccount{ObjectMeta: meta("b", "default")})
	r := podRequest(&corev1.Pod{ObjectMeta: meta("b", "p")})
	r.Namespace = "b"
	want(t, c.Admit(bg, r), "")
	// A client that goes away is not waited for.
	o.Put("", "namespaces", &corev1.Namespace{ObjectMeta: meta("", "c")})
	ctx, cancel := context.WithCancel(bg)
	cancel()
	r = podRequest(&corev1.Pod{ObjectMeta: meta("c", "p")})
	r.Namespace = "c"
	want(t, c.Admit(ctx, r), `pods "p" is forbidden: error looking up service account c/default: context canceled`)
}

func TestTolerations(t *testing.T) {
	c := newChain(t, cluster(), admission.ServicesConfig{})
	own := int64(5)
	cases := []struct {
		have []corev1.Toleration
		want int
	}{
		{nil, 2},
		{[]corev1.Toleration{{Key: corev1.TaintNodeNotReady, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: &own}}, 2},
		{[]corev1.Toleration{{Operator: corev1.TolerationOpExists}}, 1},
		{[]corev1.Toleration{{Key: corev1.TaintNodeNotReady, Effect: corev1.TaintEffectNoSchedule}}, 3},
	}
	for _, x := range cases {
		pod := &corev1.Pod{ObjectMeta: meta("a", "p"), Spec: corev1.PodSpec{Tolerations: x.have}}
		want(t, c.Admit(bg, podRequest(pod)), "")
		if len(pod.Spec.Tolerations) != x.want {
			t.Errorf("%v became %v", x.have, pod.Spec.Tolerations)
		}
	}
	pod := &corev1.Pod{ObjectMeta: meta("a", "p")}
	want(t, c.Admit(bg, podRequest(pod)), "")
	for i, key := range []string{"node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"} {
		got := pod.Spec.Tolerations[i]
		if got.Key != key || got.Operator != "Exists" || got.Effect != "NoExecute" || *got.TolerationSeconds != 300 {
			t.Errorf("toleration %+v", got)
		}
	}
}

func TestPriority(t *testing.T) {
	o := cluster()
	never := corev1.PreemptNever
	o.Put(schedulingv1.GroupName, "priorityclasses", &schedulingv1.PriorityClass{ObjectMeta: meta("", "high"), Value: 1000, PreemptionPolicy: &never})
	c := newChain(t, o, admission.ServicesConfig{})
	with := func(class string, priority *int32) *corev1.Pod {
		return &corev1.Pod{ObjectMeta: meta("a", "p"), Spec: corev1.PodSpec{PriorityClassName: class, Priority: priority}}
	}
	for class, value := range map[string]int32{"": 0, "high": 1000, "system-node-critical": 2000001000, "system-cluster-critical": 2000000000} {
		p := with(class, nil)
		want(t, c.Admit(bg, podRequest(p)), "")
		if p.Spec.Priority == nil || *p.Spec.Priority != value || p.Spec.PriorityClassName != class {
			t.Errorf("%q: %v", class, p.Spec.Priority)
		}
		if class == "high" && *p.Spec.PreemptionPolicy != never {
			t.Errorf("policy %v", *p.Spec.PreemptionPolicy)
		}
	}
	five := int32(5)
	want(t, c.Admit(bg, podRequest(with("", &five))), `pods "p" is forbidden: the integer value of priority (5) must not be provided in pod spec; `+
		`priority admission controller computed 0 from the given PriorityClass name`)
	want(t, c.Admit(bg, podRequest(with("low", nil))), `pods "p" is forbidden: no PriorityClass with name low was found`)
	o.Put(schedulingv1.GroupName, "priorityclasses", &schedulingv1.PriorityClass{ObjectMeta: meta("", "usual"), Value: 7, GlobalDefault: true})
	p := with("", nil)
	want(t, c.Admit(bg, podRequest(p)), "")
	if *p.Spec.Priority != 7 || p.Spec.PriorityClassName != "usual" {
		t.Errorf("default class: %v %v", *p.Spec.Priority, p.Spec.PriorityClassName)
	}
	want(t, c.Validate(bg, &admission.Request{
		Verb: admission.Create, Kind: kind(schedulingv1.GroupName, "priorityclasses"), Name: "other",
		Object: &schedulingv1.PriorityClass{ObjectMeta: meta("", "other"), GlobalDefault: true},
	}),
		`priorityclasses.scheduling.k8s.io "other" is forbidden: PriorityClass usual is already marked as default. Only one default can exist`)
}

func TestNodeRestriction(t *testing.T) {
	o := cluster()
	own := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "own", UID: "1"}, Spec: corev1.PodSpec{NodeName: "n1"}}
	other := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "other", UID: "2"}, Spec: corev1.PodSpec{NodeName: "n2"}}
	o.Put("", "pods", own, other)
	o.Put("", "namespaces", &corev1.Namespace{ObjectMeta: meta("", "kube-node-lease")})
	c := newChain(t, o, admission.ServicesConfig{})
	mirror := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "m", Annotations: map[string]string{corev1.MirrorPodAnnotationKey: "x"}}, Spec: corev1.PodSpec{NodeName: "n1"}}
	token := func(pod *corev1.Pod) runtime.Object {
		r := &authenticationv1.TokenRequest{}
		if pod != nil {
			r.Spec.BoundObjectRef = &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: pod.Name, UID: pod.UID}
		}
		return r
	}
	node := func(name string, change func(*corev1.Node)) *corev1.Node {
		n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"kubernetes.io/hostname": name}}}
		if change != nil {
			change(n)
		}
		return n
	}
	relabelled := own.DeepCopy()
	relabelled.Labels = map[string]string{"app": "x"}
	label := func(key string) func(*corev1.Node) { return func(n *corev1.Node) { n.Labels[key] = "" } }
	taint := func(n *corev1.Node) { n.Spec.Taints = []corev1.Taint{{Key: "k", Effect: "NoSchedule"}} }

	cases := []struct {
		name, verb, group, plural, sub, object string
		obj, old                               runtime.Object
		want                                   string
	}{
		{"mirror pod", "create", "", "pods", "", "m", mirror.DeepCopy(), nil, ""},
		{"pod", "create", "", "pods", "", "own", own.DeepCopy(), nil, `pods "own" is forbidden: pod does not have "kubernetes.io/config.mirror" annotation, node "n1" can only create mirror pods`},
		{"delete own", "delete", "", "pods", "", "own", nil, own, ""},
		{"delete another's", "delete", "", "pods", "", "other", nil, nil, `pods "other" is forbidden: node "n1" can only delete pods with spec.nodeName set to itself`},
		{"status of own", "update", "", "pods", "status", "own", own.DeepCopy(), own, ""},
		{"labels by status", "update", "", "pods", "status", "own", relabelled, own, `pods "own" is forbidden: node "n1" cannot update labels through pod status`},
		{"status of another's", "update", "", "pods", "status", "other", other.DeepCopy(), other, `pods "other" is forbidden: node "n1" can only update pod status for pods with spec.nodeName set to itself`},
		{"evict another's", "create", "", "pods", "eviction", "other", &policyv1.Eviction{}, nil, `pods "other" is forbidden: node "n1" can only evict pods with spec.nodeName set to itself`},
		{"change a pod", "update", "", "pods", "", "own", own.DeepCopy(), own, `pods "own" is forbidden: unexpected operation "update", node "n1" can only create and delete mirror pods`},
		{"register", "create", "", "nodes", "", "n1", node("n1", taint), nil, ""},
		{"register another", "create", "", "nodes", "", "n2", node("n2", nil), nil, `nodes "n2" is forbidden: node "n1" is not allowed to modify node "n2"`},
		{"register as master", "create", "", "nodes", "", "n1", node("n1", label("node-role.kubernetes.io/master")), nil, `nodes "n1" is forbidden: node "n1" is not allowed to set the following labels: node-role.kubernetes.io/master`},
		{"own label", "update", "", "nodes", "", "n1", node("n1", label("example.com/disk")), node("n1", nil), ""},
		{"node label", "update", "", "nodes", "", "n1", node("n1", label("node.kubernetes.io/x")), node("n1", nil), ""},
		{"reserved label", "update", "", "nodes", "", "n1", node("n1", label("node-restriction.kubernetes.io/x")), node("n1", nil), `nodes "n1" is forbidden: is not allowed to modify labels: node-restriction.kubernetes.io/x`},
		{"taint", "update", "", "nodes", "", "n1", node("n1", taint), node("n1", nil), `nodes "n1" is forbidden: node "n1" is not allowed to modify taints`},
		{"status of another node", "update", "", "nodes", "status", "n2", node("n2", nil), node("n2", nil), `nodes "n2" is forbidden: node "n1" is not allowed to modify node "n2"`},
		{"token for own pod", "create", "", "serviceaccounts", "token", "default", token(own), nil, ""},
		{"token for another's pod", "create", "", "serviceaccounts", "token", "default", token(other), nil, `serviceaccounts "default" is forbidden: node requested token bound to a pod scheduled on a different node`},
		{"token for nobody", "create", "", "serviceaccounts", "token", "default", token(nil), nil, `serviceaccounts "default" is forbidden: node requested token not bound to a pod`},
		{"lease", "create", coordinationv1.GroupName, "leases", "", "n1", &coordinationv1.Lease{ObjectMeta: meta("kube-node-lease", "n1")}, nil, ""},
		{"another's lease", "create", coordinationv1.GroupName, "leases", "", "n2", &coordinationv1.Lease{ObjectMeta: meta("kube-node-lease", "n2")}, nil, `leases.coordination.k8s.io "n2" is forbidden: can only access node lease with the same name as the requesting node`},
		{"events", "create", "", "events", "", "e", &corev1.Event{}, nil, ""},
	}
	for _, x := range cases {
		t.Run(x.name, func(t *testing.T) {
			ns := "a"
			if x.plural == "leases" {
				ns = "kube-node-lease"
			} else if x.plural == "nodes" {
				ns = ""
			}
			r := &admission.Request{
				User: &client.User{Name: "system:node:n1", Groups: []string{"system:nodes"}}, Verb: x.verb,
				Kind: kind(x.group, x.plural), Namespace: ns, Name: x.object, Subresource: x.sub, Object: x.obj, Old: x.old,
			}
			want(t, c.Admit(bg, r), x.want)
			if x.sub == "" && x.plural == "pods" && x.verb == "create" {
				return // as somebody else it would need an account
			}
			r.User = &client.User{Name: "admin"}
			want(t, c.Admit(bg, r), "")
		})
	}
}

func TestEscalation(t *testing.T) {
	const group = rbacv1.GroupName
	rule := func(verb, resource string) rbacv1.PolicyRule {
		return rbacv1.PolicyRule{Verbs: []string{verb}, APIGroups: []string{""}, Resources: []string{resource}}
	}
	on := func(verb, resource, name string) rbacv1.PolicyRule {
		return rbacv1.PolicyRule{Verbs: []string{verb}, APIGroups: []string{group}, Resources: []string{resource}, ResourceNames: []string{name}}
	}
	o := cluster()
	o.Put(group, "clusterroles",
		&rbacv1.ClusterRole{ObjectMeta: meta("", "mine"), Rules: []rbacv1.PolicyRule{rule("get", "pods"), on("bind", "clusterroles", "lent"), on("escalate", "clusterroles", "free")}},
		&rbacv1.ClusterRole{ObjectMeta: meta("", "lent"), Rules: []rbacv1.PolicyRule{rule("*", "*")}},
		&rbacv1.ClusterRole{ObjectMeta: meta("", "big"), Rules: []rbacv1.PolicyRule{rule("get", "secrets"), rule("list", "secrets")}})
	o.Put(group, "clusterrolebindings", &rbacv1.ClusterRoleBinding{
		ObjectMeta: meta("", "b"),
		RoleRef:    rbacv1.RoleRef{Kind: "ClusterRole", Name: "mine"}, Subjects: []rbacv1.Subject{{Kind: "User", Name: "bob"}},
	})
	c := newChain(t, o, admission.ServicesConfig{})
	bob := &client.User{Name: "bob", Groups: []string{"system:authenticated"}}
	role := func(name string, rules ...rbacv1.PolicyRule) *rbacv1.ClusterRole {
		return &rbacv1.ClusterRole{ObjectMeta: meta("", name), Rules: rules}
	}
	binding := func(kind, name string) *rbacv1.RoleBinding {
		return &rbacv1.RoleBinding{
			ObjectMeta: meta("a", "new"), RoleRef: rbacv1.RoleRef{APIGroup: group, Kind: kind, Name: name},
			Subjects: []rbacv1.Subject{{Kind: "User", Name: "bob"}},
		}
	}
	cases := []struct {
		name string
		obj  api.Object
		old  runtime.Object
		want string
	}{
		{"what bob has", role("new", rule("get", "pods")), nil, ""},
		{
			"more", role("new", rule("get", "pods"), rule("delete", "pods"), rule("create", "pods")), nil,
			`clusterroles.rbac.authorization.k8s.io "new" is forbidden: user "bob" (groups=["system:authenticated"]) is attempting to grant RBAC permissions not currently held:` +
				"\n" + `{APIGroups:[""], Resources:["pods"], Verbs:["delete" "create"]}`,
		},
		{"by escalate", role("free", rule("delete", "pods")), nil, ""},
		{"rules untouched", role("big", rule("get", "secrets")), role("big", rule("get", "secrets")), ""},
		{
			"aggregating", &rbacv1.ClusterRole{ObjectMeta: meta("", "new"), AggregationRule: &rbacv1.AggregationRule{}}, nil,
			`clusterroles.rbac.authorization.k8s.io "new" is forbidden: user "bob" (groups=["system:authenticated"]) is attempting to grant RBAC permissions not currently held:` +
				"\n" + `{APIGroups:["*"], Resources:["*"], Verbs:["*"]}` + "\n" + `{NonResourceURLs:["*"], Verbs:["*"]}`,
		},
		{
			"binding what bob has not", binding("ClusterRole", "big"), nil,
			`rolebindings.rbac.authorization.k8s.io "new" is forbidden: user "bob" (groups=["system:authenticated"]) is attempting to grant RBAC permissions not currently held:` +
				"\n" + `{APIGroups:[""], Resources:["secrets"], Verbs:["get" "list"]}`,
		},
		{"binding by bind", binding("ClusterRole", "lent"), nil, ""},
		{"binding nothing", binding("Role", "gone"), nil, `roles.rbac.authorization.k8s.io "gone" not found`},
		{"binding untouched", binding("ClusterRole", "big"), binding("ClusterRole", "big"), ""},
	}
	for _, x := range cases {
		t.Run(x.name, func(t *testing.T) {
			plural := "clusterroles"
			if _, ok := x.obj.(*rbacv1.RoleBinding); ok {
				plural = "rolebindings"
			}
			r := &admission.Request{
				User: bob, Verb: admission.Create, Kind: kind(group, plural), Namespace: x.obj.GetNamespace(),
				Name: x.obj.GetName(), Object: x.obj, Old: x.old,
			}
			if x.old != nil {
				r.Verb = admission.Update
			}
			want(t, c.Admit(bg, r), x.want)
			r.User = &client.User{Name: "root", Groups: []string{"system:masters"}}
			want(t, c.Admit(bg, r), "")
		})
	}
}
