package bootstrap_test

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// refused wants a 403 that says why.
func refused(t *testing.T, err error, why string) {
	t.Helper()
	if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), why) {
		t.Errorf("error %v, want Forbidden: %s", err, why)
	}
}

// give lets a user have a role in a namespace, or everywhere.
func give(t *testing.T, root kubernetes.Interface, user, role, namespace string) {
	t.Helper()
	ref := rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role}
	subjects := []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: user}}
	meta := metav1.ObjectMeta{Name: user + "-" + role}
	var err error
	if namespace == "" {
		_, err = root.RbacV1().ClusterRoleBindings().Create(bg, &rbacv1.ClusterRoleBinding{ObjectMeta: meta, RoleRef: ref, Subjects: subjects}, metav1.CreateOptions{})
	} else {
		_, err = root.RbacV1().RoleBindings(namespace).Create(bg, &rbacv1.RoleBinding{ObjectMeta: meta, RoleRef: ref, Subjects: subjects}, metav1.CreateOptions{})
	}
	if err != nil {
		t.Fatal(err)
	}
}

func account(t *testing.T, root kubernetes.Interface, namespace string) {
	t.Helper()
	if _, err := root.CoreV1().ServiceAccounts(namespace).Create(bg, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// A kubelet reads no Secret by way of a pod that it makes up itself.
func TestMirrorPodReadsNoSecret(t *testing.T) {
	s := start(t)
	pass(t, s.bootstrap(t))
	root, kubelet := s.host("root"), s.host("n1")
	if _, err := root.CoreV1().Secrets("default").Create(bg, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "key"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	node, err := kubelet.CoreV1().Nodes().Create(bg, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	yes := true
	mirror := func(change func(*corev1.PodSpec)) *corev1.Pod {
		p := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{
				Name: "m", Annotations: map[string]string{corev1.MirrorPodAnnotationKey: "x"},
				OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: "n1", UID: node.UID, Controller: &yes}},
			},
			Spec: corev1.PodSpec{NodeName: "n1", Containers: []corev1.Container{{Name: "c", Image: "i"}}},
		}
		change(&p.Spec)
		return p
	}
	ways := map[string]func(*corev1.PodSpec){
		"envFrom": func(s *corev1.PodSpec) {
			s.Containers[0].EnvFrom = []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "key"}}}}
		},
		"pull secret": func(s *corev1.PodSpec) { s.ImagePullSecrets = []corev1.LocalObjectReference{{Name: "key"}} },
	}
	for way, change := range ways {
		t.Run(way, func(t *testing.T) {
			_, err := kubelet.CoreV1().Pods("default").Create(bg, mirror(change), metav1.CreateOptions{})
			refused(t, err, "a mirror pod may not reference secrets")
			_, err = kubelet.CoreV1().Secrets("default").Get(bg, "key", metav1.GetOptions{})
			refused(t, err, "no relationship found between node 'n1' and this object")
		})
	}
	made, err := kubelet.CoreV1().Pods("default").Create(bg, mirror(func(*corev1.PodSpec) {}), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = root.CoreV1().Pods("default").Patch(bg, made.Name, types.MergePatchType, []byte(`{"metadata":{"annotations":{"kubernetes.io/config.mirror":null}}}`), metav1.PatchOptions{})
	if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "may not remove or update mirror pod annotation") {
		t.Errorf("the annotation removed: %v", err)
	}
}

// By whatever verb a label comes, the role's rights count.
func TestLabelsOfRolesDoNotEscalate(t *testing.T) {
	s := start(t)
	pass(t, s.bootstrap(t))
	root, ann := s.host("root"), s.host("ann")
	writer := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "writer"}, Rules: []rbacv1.PolicyRule{{
		Verbs: []string{"get", "list", "create", "update", "patch"}, APIGroups: []string{rbacv1.GroupName}, Resources: []string{"clusterroles"},
	}}}
	power := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "power"}, Rules: []rbacv1.PolicyRule{{
		Verbs: []string{"get"}, APIGroups: []string{""}, Resources: []string{"secrets"},
	}}}
	for _, role := range []*rbacv1.ClusterRole{writer, power} {
		if _, err := root.RbacV1().ClusterRoles().Create(bg, role, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	give(t, root, "ann", "writer", "")
	give(t, root, "ann", "view", "default")
	if _, err := root.CoreV1().Secrets("default").Create(bg, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "key"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	const label = "rbac.authorization.k8s.io/aggregate-to-view"
	body := []byte(`{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRole","metadata":{"name":"power","labels":{"` + label + `":"true"}}}`)
	for way, kind := range map[string]types.PatchType{"merge": types.MergePatchType, "strategic": types.StrategicMergePatchType, "apply": types.ApplyPatchType} {
		o := metav1.PatchOptions{}
		if kind == types.ApplyPatchType {
			o.FieldManager = "m"
		}
		_, err := ann.RbacV1().ClusterRoles().Patch(bg, "power", kind, body, o)
		if err == nil {
			t.Errorf("%s is taken", way)
		}
		refused(t, err, "attempting to grant RBAC permissions not currently held")
	}
	got, err := ann.RbacV1().ClusterRoles().Get(bg, "power", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	got.Labels = map[string]string{label: "true"}
	_, err = ann.RbacV1().ClusterRoles().Update(bg, got, metav1.UpdateOptions{})
	refused(t, err, "attempting to grant RBAC permissions not currently held")
	_, err = ann.CoreV1().Secrets("default").Get(bg, "key", metav1.GetOptions{})
	refused(t, err, `cannot get resource "secrets"`)
}

// The attack that cut off the API server for everybody, by a user of one namespace.
func TestEditDoesNotCaptureTheAPIServer(t *testing.T) {
	s := start(t)
	pass(t, s.bootstrap(t))
	root, ann := s.host("root"), s.host("ann")
	account(t, root, "default")
	give(t, root, "ann", "edit", "default")
	give(t, root, "ann", "admin", "default")
	master, err := root.CoreV1().Nodes().Create(bg, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "master"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	master.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "10.245.1.2"}}
	if master, err = root.CoreV1().Nodes().UpdateStatus(bg, master, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, ok := master.Labels["node-role.kubernetes.io/control-plane"]; !ok {
		t.Errorf("the master's labels: %v", master.Labels)
	}
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "s"},
		Spec:       corev1.ServiceSpec{ExternalIPs: []string{"10.245.1.2"}, Ports: []corev1.ServicePort{{Port: 443}}},
	}
	_, err = ann.CoreV1().Services("default").Create(bg, service, metav1.CreateOptions{})
	refused(t, err, "Use of external IPs is denied by admission control")
	if _, err = root.CoreV1().Services("default").Create(bg, service, metav1.CreateOptions{}); err != nil {
		t.Errorf("root: %v", err)
	}
	pod := func(node string) *corev1.Pod {
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{GenerateName: "p-"}, Spec: corev1.PodSpec{NodeName: node, Containers: []corev1.Container{{
			Name: "c", Image: "i", Ports: []corev1.ContainerPort{{ContainerPort: 443, HostPort: 443}},
		}}}}
	}
	_, err = ann.CoreV1().Pods("default").Create(bg, pod("master"), metav1.CreateOptions{})
	refused(t, err, `node "master" is part of the control plane`)
	made, err := ann.CoreV1().Pods("default").Create(bg, pod(""), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if made.Spec.Affinity == nil || made.Spec.Affinity.NodeAffinity == nil {
		t.Errorf("the pod may go anywhere: %+v", made.Spec.Affinity)
	}
	if made, err = root.CoreV1().Pods("default").Create(bg, pod(""), metav1.CreateOptions{}); err != nil || made.Spec.Affinity != nil {
		t.Errorf("root: %+v, %v", made.Spec.Affinity, err)
	}
}

// heard collects the warnings of answers.
type heard struct {
	mu   sync.Mutex
	text []string
}

func (h *heard) HandleWarningHeader(_ int, _ string, text string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.text = append(h.text, text)
}

func (h *heard) take() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := h.text
	h.text = nil
	return out
}

// What kubectl shows of PodSecurity.
func TestPodSecurityOverHTTP(t *testing.T) {
	s := start(t)
	pass(t, s.bootstrap(t))
	warnings := &heard{}
	cfg := rest.CopyConfig(s.config)
	cfg.BearerToken, cfg.WarningHandler = "root", warnings
	root := kubernetes.NewForConfigOrDie(cfg)
	account(t, root, "default")
	label := func(body string) error {
		_, err := root.CoreV1().Namespaces().Patch(bg, "default", types.MergePatchType, []byte(`{"metadata":{"labels":`+body+`}}`), metav1.PatchOptions{})
		return err
	}
	yes := true
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "x"}, Spec: corev1.PodSpec{Containers: []corev1.Container{{
		Name: "c", Image: "i", SecurityContext: &corev1.SecurityContext{Privileged: &yes},
	}}}}
	if _, err := root.CoreV1().Pods("default").Create(bg, pod, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	err := label(`{"pod-security.kubernetes.io/enforce":"strict"}`)
	if !apierrors.IsInvalid(err) || apierrors.ReasonForError(err) != metav1.StatusReasonInvalid {
		t.Errorf("an unknown level: %v", err)
	}
	warnings.take()
	if err := label(`{"pod-security.kubernetes.io/enforce":"baseline"}`); err != nil {
		t.Fatal(err)
	}
	if got := warnings.take(); !slices.Equal(got, []string{`existing pods in namespace "default" violate the new PodSecurity enforce level "baseline:latest"`, "x: privileged"}) {
		t.Errorf("warnings of the label: %q", got)
	}
	pod.Name = "y"
	_, err = root.CoreV1().Pods("default").Create(bg, pod, metav1.CreateOptions{}) // also an administrator's
	if status, ok := err.(apierrors.APIStatus); !ok || status.Status().Code != http.StatusForbidden ||
		err.Error() != `pods "y" is forbidden: violates PodSecurity "baseline:latest": privileged (container "c" must not set securityContext.privileged=true)` {
		t.Errorf("error %v", err)
	}
	labels := map[string]string{"a": "b"}
	set := &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Name: "r"}, Spec: appsv1.ReplicaSetSpec{
		Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: pod.Spec},
	}}
	warnings.take()
	if _, err := root.AppsV1().ReplicaSets("default").Create(bg, set, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if got := warnings.take(); !slices.Equal(got, []string{`would violate PodSecurity "baseline:latest": privileged (container "c" must not set securityContext.privileged=true)`}) {
		t.Errorf("warnings of the template: %q", got)
	}
}
