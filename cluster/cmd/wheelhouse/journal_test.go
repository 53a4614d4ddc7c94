//go:build !quick

package main_test

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"wheelhouse/cluster/apiserver/pki"
	"wheelhouse/cluster/wait"
)

// What the server and the scheduler did to an object is shown to who may read the object, and to nobody
// else, and nothing of a Secret is in it.
func TestJournal(t *testing.T) {
	t.Parallel()
	s := startServer(t, "server", t.TempDir())
	for name, cpu := range map[string]string{"small": "100m", "large": "4", "larger": "8"} {
		n := must[*corev1.Node](t)(s.CoreV1().Nodes().Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}))
		n.Status.Allocatable = corev1.ResourceList{"cpu": resource.MustParse(cpu), "memory": resource.MustParse("8Gi"), "pods": resource.MustParse("110")}
		n.Status.Capacity = n.Status.Allocatable
		n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "KubeletReady", LastHeartbeatTime: metav1.Now(), LastTransitionTime: metav1.Now()}}
		n.ResourceVersion = ""
		must[*corev1.Node](t)(s.CoreV1().Nodes().UpdateStatus(t.Context(), n, metav1.UpdateOptions{}))
	}
	wait.Within(t, time.Minute, "the account of the namespace", func() error {
		_, err := s.CoreV1().ServiceAccounts("default").Get(t.Context(), "default", metav1.GetOptions{})
		return err
	})
	for _, node := range []string{"small", "large", "larger"} { // the scheduler has seen it when it has bound a pod to it
		at := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "at-" + node}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}, Affinity: &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{
			RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchFields: []corev1.NodeSelectorRequirement{{Key: "metadata.name", Operator: corev1.NodeSelectorOpIn, Values: []string{node}}}}}},
		}}}}
		must[*corev1.Pod](t)(s.CoreV1().Pods("default").Create(t.Context(), at, metav1.CreateOptions{}))
		wait.Within(t, time.Minute, "a pod at node "+node, func() error {
			now, err := s.CoreV1().Pods("default").Get(t.Context(), at.Name, metav1.GetOptions{})
			return wait.Seen(err == nil && now.Spec.NodeName == node, err, now)
		})
	}
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Spec: corev1.PodSpec{Containers: []corev1.Container{{
		Name: "c", Image: "i", Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{"cpu": resource.MustParse("1")}},
	}}}}
	p = must[*corev1.Pod](t)(s.CoreV1().Pods("default").Create(t.Context(), p, metav1.CreateOptions{}))
	if _, err := s.CoreV1().Pods("default").Patch(t.Context(), "p", types.MergePatchType, []byte(`{"spec":{"priority":7}}`), metav1.PatchOptions{}); err == nil {
		t.Error("the priority of a pod was changed")
	}
	type answer struct {
		Kind  string
		UID   types.UID
		Items []struct {
			Component, Verb, Subresource, User, Client, Chosen, Refused string

			ResourceVersion int64
			ChangedBy       []string
			Nodes           []struct {
				Name    string
				Score   *int64
				Reasons []string
			}
		}
	}
	read := func(path string) (a answer, raw string) {
		t.Helper()
		text := must[[]byte](t)(s.CoreV1().RESTClient().Get().AbsPath(path).Param("journal", "true").DoRaw(t.Context()))
		if err := json.Unmarshal(text, &a); err != nil {
			t.Fatal(err)
		}
		return a, string(text)
	}
	const pod = "/api/v1/namespaces/default/pods/p"
	var got answer
	wait.Within(t, time.Minute, "the pod to be bound", func() error {
		var raw string
		got, raw = read(pod)
		return wait.Seen(strings.Contains(raw, `"verb":"create","subresource":"binding"`), raw)
	})
	creation := 0 // the scheduler may have decided before the API server has recorded what it did
	for got.Items[creation].Component != "kube-apiserver" {
		creation++
	}
	if first := got.Items[creation]; got.Kind != "JournalEntries" || got.UID != p.UID || first.Verb != "create" || first.Subresource != "" || first.User == "" || first.Client == "" ||
		strings.Join(first.ChangedBy, " ") != "ServiceAccount Priority" || first.ResourceVersion == 0 {
		t.Errorf("the creation: %+v", first)
	}
	chosen, filtered, scored := "", "", 0
	for _, i := range got.Items {
		if i.Component != "kube-scheduler" || i.Chosen == "" {
			continue
		}
		chosen = i.Chosen
		for _, n := range i.Nodes {
			if n.Score != nil {
				scored++
			}
			if n.Name == "small" {
				filtered = strings.Join(n.Reasons, " ")
			}
		}
	}
	if chosen != "larger" && chosen != "large" || filtered != "Insufficient cpu" || scored != 2 {
		t.Errorf("the decision: %q chosen of %d, small was filtered for %q: %+v", chosen, scored, filtered, got)
	}
	if _, raw := read(pod); !strings.Contains(raw, `"refused":"`) {
		t.Errorf("the refused change is not there: %s", raw)
	}

	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "s"}, StringData: map[string]string{"word": "opensesame"}}
	must[*corev1.Secret](t)(s.CoreV1().Secrets("default").Create(t.Context(), secret, metav1.CreateOptions{}))
	if _, raw := read("/api/v1/namespaces/default/secrets/s"); !strings.Contains(raw, `"verb":"create"`) || strings.Contains(raw, "opensesame") || strings.Contains(raw, "b3BlbnNlc2FtZ") {
		t.Errorf("of a Secret: %s", raw)
	}
	for _, path := range []string{pod, "/api/v1/namespaces/default/secrets/s"} {
		err := as(t, s, pki.Request{CommonName: "stranger", Client: true}).CoreV1().RESTClient().Get().AbsPath(path).Param("journal", "true").Do(t.Context()).Error()
		if !apierrors.IsForbidden(err) {
			t.Errorf("a stranger reads the journal of %s: %v", path, err)
		}
	}
	out := string(must[[]byte](t)(exec.Command(binary, "journey", "pod/p", "--kubeconfig", s.kubeconfig).CombinedOutput()))
	for _, want := range []string{"create by user ", "changed by admission: ServiceAccount, Priority", "small not: Insufficient cpu", " chosen (", "create of binding by user system:kube-scheduler"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}

// A refused create is shown to who may read the name, and to who may read the controller that asked for it in the
// same namespace, and to nobody else.
func TestJournalOfRefusedCreates(t *testing.T) {
	t.Parallel()
	s := startServer(t, "server", t.TempDir())
	wait.Within(t, time.Minute, "the account of the namespace", func() error {
		_, err := s.CoreV1().ServiceAccounts("default").Get(t.Context(), "default", metav1.GetOptions{})
		return err
	})
	none := corev1.ResourceList{"pods": resource.MustParse("0")}
	must[*corev1.ResourceQuota](t)(s.CoreV1().ResourceQuotas("default").Create(t.Context(), &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: "none"}, Spec: corev1.ResourceQuotaSpec{Hard: none}}, metav1.CreateOptions{}))
	wait.Within(t, time.Minute, "the quota's status", func() error {
		q, err := s.CoreV1().ResourceQuotas("default").Get(t.Context(), "none", metav1.GetOptions{})
		return wait.Seen(err == nil && len(q.Status.Hard) > 0, q)
	})
	spec := corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}}
	refused := func(p *corev1.Pod) {
		t.Helper()
		if _, err := s.CoreV1().Pods("default").Create(t.Context(), p, metav1.CreateOptions{}); !apierrors.IsForbidden(err) {
			t.Errorf("a pod beyond the quota: %v", err)
		}
	}
	owner := must[*corev1.ConfigMap](t)(s.CoreV1().ConfigMaps("default").Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "owner"}}, metav1.CreateOptions{}))
	elsewhere := must[*corev1.ConfigMap](t)(s.CoreV1().ConfigMaps("kube-public").Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "elsewhere"}}, metav1.CreateOptions{}))
	refused(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Spec: spec})
	for _, of := range []*corev1.ConfigMap{owner, elsewhere} {
		yes := true
		refused(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{GenerateName: "made-", OwnerReferences: []metav1.OwnerReference{{
			APIVersion: "v1", Kind: "ConfigMap", Name: of.Name, UID: of.UID, Controller: &yes,
		}}}, Spec: spec})
	}
	journal := func(s kubernetes.Interface, path string) (string, error) {
		text, err := s.CoreV1().RESTClient().Get().AbsPath(path).Param("journal", "true").DoRaw(t.Context())
		return string(text), err
	}
	for path, want := range map[string]string{
		"/api/v1/namespaces/default/pods/p":               `"refused":"pods \"p\" is forbidden: exceeded quota: none`,
		"/api/v1/namespaces/default/configmaps/owner":     `"object":"pods/made-`,
		"/api/v1/namespaces/kube-public/configmaps/other": "",
	} {
		text, err := journal(s, path)
		if want == "" && !apierrors.IsNotFound(err) || want != "" && (err != nil || !strings.Contains(text, want)) {
			t.Errorf("%s: %v: %s", path, err, text)
		}
	}
	if text, err := journal(s, "/api/v1/namespaces/kube-public/configmaps/elsewhere"); err != nil || strings.Contains(text, "made-") {
		t.Errorf("an owner reference to another namespace: %v: %s", err, text)
	}
	stranger := as(t, s, pki.Request{CommonName: "stranger", Client: true})
	if _, err := journal(stranger, "/api/v1/namespaces/default/pods/p"); !apierrors.IsForbidden(err) {
		t.Errorf("a stranger reads of a refused create: %v", err)
	}
	out := string(must[[]byte](t)(exec.Command(binary, "journey", "pod/p", "--kubeconfig", s.kubeconfig).CombinedOutput()))
	if !strings.Contains(out, "create of pods/p by user ") || !strings.Contains(out, "was refused: ") {
		t.Errorf("of a pod that was refused:\n%s", out)
	}
	if out, err := exec.Command(binary, "journey", "pod/nobody", "--kubeconfig", s.kubeconfig).CombinedOutput(); err == nil {
		t.Errorf("of a pod that nobody asked for:\n%s", out)
	}
}
