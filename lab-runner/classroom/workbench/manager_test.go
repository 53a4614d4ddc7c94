//go:build !quick

package workbench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"wheelhouse/cluster/apiserver/apitest"
)

var ann = Learner{ID: "ann00001", Namespace: "learner-ann00001"}

func start(t *testing.T) (*Manager, kubernetes.Interface) {
	t.Helper()
	config := apitest.Start(t, apitest.WithAdmission(t), apitest.WithImpersonation())
	m, err := New(Config{REST: config, Ready: 300 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return m, kubernetes.NewForConfigOrDie(config)
}

// The API server itself admits the workbench's pod at the level restricted, and refuses what is less.
func TestThePodIsRestricted(t *testing.T) {
	m, client := start(t)
	for range 2 { // what is there is no error
		if err := m.apply(t.Context(), ann); err != nil {
			t.Fatal(err)
		}
	}
	d, err := client.AppsV1().Deployments(Namespace).Get(t.Context(), "learner-ann00001", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	create := func(name string, change func(*corev1.PodSpec)) (*corev1.Pod, error) {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: d.Spec.Template.Labels}, Spec: *d.Spec.Template.Spec.DeepCopy()}
		change(&p.Spec)
		return client.CoreV1().Pods(Namespace).Create(t.Context(), p, metav1.CreateOptions{})
	}
	p, err := create("good", func(*corev1.PodSpec) {})
	if err != nil {
		t.Fatalf("the pod is refused: %v", err)
	}
	tokens := 0
	for _, v := range p.Spec.Volumes {
		if v.Secret != nil || v.HostPath != nil {
			t.Errorf("a volume beyond the learner's own: %+v", v)
		}
		if v.Projected != nil {
			tokens++
		}
	}
	if tokens != 1 || p.Spec.ServiceAccountName != "learner-ann00001" {
		t.Errorf("%d tokens, of %s", tokens, p.Spec.ServiceAccountName)
	}
	for name, change := range map[string]func(*corev1.PodSpec){
		"root":         func(s *corev1.PodSpec) { *s.SecurityContext.RunAsNonRoot = false },
		"capabilities": func(s *corev1.PodSpec) { s.Containers[0].SecurityContext.Capabilities = nil },
		"seccomp":      func(s *corev1.PodSpec) { s.SecurityContext.SeccompProfile = nil },
		"escalation":   func(s *corev1.PodSpec) { *s.Containers[0].SecurityContext.AllowPrivilegeEscalation = true },
		"network":      func(s *corev1.PodSpec) { s.HostNetwork = true },
	} {
		if _, err := create(name, change); !apierrors.IsForbidden(err) {
			t.Errorf("with less (%s) it is admitted: %v", name, err)
		}
	}
}

// A learner's Role has no word for what would lead out of the namespace.
func TestTheRoleLeadsNowhere(t *testing.T) {
	m, client := start(t)
	if err := m.apply(t.Context(), ann); err != nil {
		t.Fatal(err)
	}
	role, err := client.RbacV1().Roles(ann.Namespace).Get(t.Context(), "class", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	bounds := []string{
		"endpoints", "endpointslices", "networkpolicies", "resourcequotas", "limitranges", "namespaces",
		"events", "podtemplates", "controllerrevisions", "leases", // no quota counts them
	}
	writes := func(r rbacv1.PolicyRule) bool { return strings.Contains(strings.Join(r.Verbs, " "), "create") }
	for _, rule := range role.Rules {
		for _, resource := range rule.Resources {
			switch {
			case writes(rule) && slices.Contains(bounds, resource):
				t.Errorf("it may write %s", resource)
			case resource == "*" || slices.Contains(rule.APIGroups, "*"):
				t.Errorf("it may do all with %v", rule.APIGroups)
			}
		}
		if verbs := strings.Join(rule.Verbs, " "); strings.Contains(verbs, "*") || strings.Contains(verbs, "escalate") || strings.Contains(verbs, "impersonate") {
			t.Errorf("%v of %v", rule.Verbs, rule.Resources)
		}
	}
}

// What a learner asks for is bounded, and none of it comes before the workbenches of others.
func TestBounds(t *testing.T) {
	m, client := start(t)
	if err := m.apply(t.Context(), ann); err != nil {
		t.Fatal(err)
	}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default"}}
	if _, err := client.CoreV1().ServiceAccounts(ann.Namespace).Create(t.Context(), account, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
	quotas, err := client.CoreV1().ResourceQuotas(ann.Namespace).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range quotas.Items { // as the controller does
		q := &quotas.Items[i]
		q.Status.Hard, q.Status.Used = q.Spec.Hard, corev1.ResourceList{}
		for name := range q.Spec.Hard {
			q.Status.Used[name] = resource.MustParse("0")
		}
		if _, err := client.CoreV1().ResourceQuotas(ann.Namespace).UpdateStatus(t.Context(), q, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	create := func(name, class string, requests corev1.ResourceList) (*corev1.Pod, error) {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.PodSpec{
			PriorityClassName: class,
			Containers:        []corev1.Container{{Name: "x", Image: "busybox:1.35", Resources: corev1.ResourceRequirements{Requests: requests, Limits: requests}}},
		}}
		return client.CoreV1().Pods(ann.Namespace).Create(t.Context(), p, metav1.CreateOptions{})
	}
	p, err := create("plain", "", nil)
	if err != nil {
		t.Fatalf("a pod as labs have them: %v", err)
	}
	if got := p.Spec.Containers[0].Resources; got.Limits.StorageEphemeral().IsZero() || got.Requests.Cpu().IsZero() {
		t.Errorf("without limits of its own it has %+v", got)
	}
	for _, class := range []string{"system-node-critical", "system-cluster-critical", "wheelhouse-workbench"} {
		if _, err := create("first-"+class, class, nil); !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "exceeded quota: priority") {
			t.Errorf("a pod of the class %s: %v", class, err)
		}
	}
	for name, quantity := range map[corev1.ResourceName]string{corev1.ResourceCPU: "900m", corev1.ResourceEphemeralStorage: "1900Mi"} {
		for n := range 3 {
			_, err := create(fmt.Sprintf("large-%s-%d", name, n), "", corev1.ResourceList{name: resource.MustParse(quantity)})
			if n < 2 && err != nil || n == 2 && !apierrors.IsForbidden(err) {
				t.Errorf("%d times %s of %s: %v", n+1, quantity, name, err)
			}
		}
	}
	d, err := client.AppsV1().Deployments(Namespace).Get(t.Context(), "learner-ann00001", metav1.GetOptions{})
	if err != nil || d.Spec.Template.Spec.PriorityClassName != "wheelhouse-workbench" {
		t.Errorf("the workbench has the priority class %q: %v", d.Spec.Template.Spec.PriorityClassName, err)
	}
}

// In a cluster of their own a learner administers it, and there is nothing that bounds them in it.
func TestAdministrator(t *testing.T) {
	m, client := start(t)
	m.cfg.Administrator = true
	for range 2 {
		if err := m.apply(t.Context(), ann); err != nil {
			t.Fatal(err)
		}
	}
	b, err := client.RbacV1().ClusterRoleBindings().Get(t.Context(), "learner-ann00001", metav1.GetOptions{})
	if err != nil || b.RoleRef.Name != "cluster-admin" || len(b.Subjects) != 1 || b.Subjects[0].Name != "learner-ann00001" {
		t.Errorf("%+v, %v", b, err)
	}
	quotas, err := client.CoreV1().ResourceQuotas("").List(t.Context(), metav1.ListOptions{})
	policies, err2 := client.NetworkingV1().NetworkPolicies("").List(t.Context(), metav1.ListOptions{})
	if err := errors.Join(err, err2); err != nil || len(quotas.Items)+len(policies.Items) > 0 {
		t.Errorf("%v, %v: %v", quotas.Items, policies.Items, err)
	}
}

// What is not of the class is not touched, and names cannot mean other objects.
func TestOthersAreLeft(t *testing.T) {
	m, client := start(t)
	other := Learner{ID: "other000", Namespace: "learner-other000"}
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: other.Namespace}}
	if _, err := client.CoreV1().Namespaces().Create(t.Context(), ns, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := m.Ensure(t.Context(), other); err == nil || !strings.Contains(err.Error(), "not of this class") {
		t.Errorf("a namespace of others: %v", err)
	}
	if err := m.Remove(t.Context(), other); err != nil {
		t.Error(err)
	}
	if got, err := client.CoreV1().Namespaces().Get(t.Context(), other.Namespace, metav1.GetOptions{}); err != nil || got.DeletionTimestamp != nil {
		t.Errorf("a namespace of others is removed: %v", err)
	}
	for _, l := range []Learner{{}, {"ann00001", "kube-system"}, {"../../x1", "learner-../../x1"}, {"a,b=c,d1", "learner-a,b=c,d1"}} {
		err := errors.Join(m.Ensure(t.Context(), l), m.Remove(t.Context(), l))
		if err == nil || !strings.Contains(err.Error(), "is no learner") {
			t.Errorf("%+v: %v", l, err)
		}
		if err := m.Desk(t.Context(), l, strings.NewReader(""), io.Discard); err == nil {
			t.Errorf("%+v has a desk", l)
		}
	}
}

// Without a node the pod is never ready: Ensure says what it last saw, within its time.
func TestEnsureSaysWhatItSees(t *testing.T) {
	m, _ := start(t)
	err := m.Ensure(t.Context(), ann)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "there is no pod yet") {
		t.Error(err)
	}
	if err := m.Terminal(t.Context(), ann, Terminal{Out: io.Discard}); err == nil || !strings.Contains(err.Error(), "no pod") {
		t.Errorf("a terminal without a pod: %v", err)
	}
}

// A cluster that lets learners take any address gets no workbench: the error names the remedy. One that refuses it does.
func TestExternalAddresses(t *testing.T) {
	config := apitest.Start(t) // without admission everybody may
	m, err := New(Config{REST: config})
	if err != nil {
		t.Fatal(err)
	}
	client := kubernetes.NewForConfigOrDie(config)
	err = m.apply(t.Context(), ann)
	if err == nil || !strings.Contains(err.Error(), "DenyServiceExternalIPs") {
		t.Errorf("everybody may use external addresses: %v", err)
	}
	left, err := client.CoreV1().Services(ann.Namespace).List(t.Context(), metav1.ListOptions{})
	if err != nil || len(left.Items) > 0 {
		t.Errorf("the question has created %v, %v", left.Items, err)
	}
}
