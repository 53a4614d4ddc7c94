package admission_test

import (
	"context"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/apiserver/admission"
	"wheelhouse/cluster/apiserver/admission/serviceallocator"
	"wheelhouse/cluster/apiserver/authz"
	"wheelhouse/cluster/apiserver/authz/authztest"
	"wheelhouse/cluster/client"
)

var bg = context.Background()

func newChain(t testing.TB, o *authztest.Objects, services serviceallocator.Config) *admission.Chain {
	t.Helper()
	return chainWith(t, o, admission.Config{Services: services})
}

func chainWith(t testing.TB, o *authztest.Objects, config admission.Config) *admission.Chain {
	t.Helper()
	a, err := authz.New(authz.Config{Objects: o})
	if err != nil {
		t.Fatal(err)
	}
	if !config.Services.CIDR.IsValid() {
		config.Services.CIDR = netip.MustParsePrefix("10.247.0.0/16")
	}
	config.Objects, config.Authorizer = o, a
	c, err := admission.New(config)
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
	c := newChain(t, o, serviceallocator.Config{})
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
	// A namespace that the cache has not received yet.
	o.Held = true
	o.Put("", "namespaces", &corev1.Namespace{ObjectMeta: meta("", "new")})
	want(t, c.Admit(bg, configMap("new")), "")
}

func TestServiceAccount(t *testing.T) {
	c := newChain(t, cluster(), serviceallocator.Config{})
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
	c := newChain(t, o, serviceallocator.Config{})
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
	c := newChain(t, cluster(), serviceallocator.Config{})
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
	c := newChain(t, o, serviceallocator.Config{})
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
	c := newChain(t, o, serviceallocator.Config{})
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
			`clusterroles.rbac.authorization.k8s.io "new" is forbidden: must have cluster-admin privileges to use the aggregationRule`,
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
