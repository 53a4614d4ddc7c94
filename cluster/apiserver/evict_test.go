package apiserver_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"

	"wheelhouse/cluster/apiserver/apitest"
	"wheelhouse/cluster/client"
)

const refusal = "Cannot evict pod as it would violate the pod's disruption budget."

// evictions is a cluster whose disruption controller is the test.
type evictions struct {
	kubernetes.Interface
	t   *testing.T
	ctx context.Context
}

func newEvictions(t *testing.T) *evictions {
	t.Helper()
	return &evictions{clientset(t, apitest.Start(t)), t, within(t)}
}

func (e *evictions) must(err error) {
	e.t.Helper()
	if err != nil {
		e.t.Fatal(err)
	}
}

// pod is on a node, so that it stays for its grace period when it is deleted.
func (e *evictions) pod(name string, phase corev1.PodPhase, ready corev1.ConditionStatus) {
	e.t.Helper()
	p, err := e.CoreV1().Pods("default").Create(e.ctx, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app": "web"}},
		Spec:       corev1.PodSpec{NodeName: "n", Containers: []corev1.Container{{Name: "c", Image: "nginx"}}},
	}, metav1.CreateOptions{})
	e.must(err)
	p.Status.Phase = phase
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: ready}}
	_, err = e.CoreV1().Pods("default").UpdateStatus(e.ctx, p, metav1.UpdateOptions{})
	e.must(err)
}

func (e *evictions) budget(name string, status policyv1.PodDisruptionBudgetStatus, edit ...func(*policyv1.PodDisruptionBudgetSpec)) {
	e.t.Helper()
	least := intstr.FromInt32(2)
	b := &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: policyv1.PodDisruptionBudgetSpec{
		MinAvailable: &least, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}},
	}}
	for _, f := range edit {
		f(&b.Spec)
	}
	b, err := e.PolicyV1().PodDisruptionBudgets("default").Create(e.ctx, b, metav1.CreateOptions{})
	e.must(err)
	b.Status = status
	_, err = e.PolicyV1().PodDisruptionBudgets("default").UpdateStatus(e.ctx, b, metav1.UpdateOptions{})
	e.must(err)
}

// evict asks once: client-go would wait and retry after a Retry-After.
func (e *evictions) evict(name string, dryRun ...string) error {
	return e.PolicyV1().RESTClient().Post().AbsPath("/api/v1/namespaces/default/pods/" + name + "/eviction").MaxRetries(0).Body(&policyv1.Eviction{
		ObjectMeta: metav1.ObjectMeta{Name: name}, DeleteOptions: &metav1.DeleteOptions{DryRun: dryRun},
	}).Do(e.ctx).Error()
}

func (e *evictions) going(name string) bool {
	e.t.Helper()
	p, err := e.CoreV1().Pods("default").Get(e.ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return true
	}
	e.must(err)
	return p.DeletionTimestamp != nil
}

// refused says with which cause.
func (e *evictions) refused(err error, cause string) {
	e.t.Helper()
	if !apierrors.IsTooManyRequests(err) || err.Error() != refusal {
		e.t.Errorf("got %v, want 429 %s", err, refusal)
		return
	}
	got, _ := apierrors.StatusCause(err, policyv1.DisruptionBudgetCause)
	if got.Message != cause {
		e.t.Errorf("cause %q, want %q", got.Message, cause)
	}
}

func TestEvictionKeepsTheBudget(t *testing.T) {
	e := newEvictions(t)
	for i := range 3 {
		e.pod(fmt.Sprint("web-", i), corev1.PodRunning, corev1.ConditionTrue)
	}
	e.budget("web", policyv1.PodDisruptionBudgetStatus{ObservedGeneration: 1, DisruptionsAllowed: 1, CurrentHealthy: 3, DesiredHealthy: 2, ExpectedPods: 3})
	e.must(e.evict("web-0", metav1.DryRunAll))
	if e.going("web-0") {
		t.Error("a dry run evicted the pod")
	}
	e.must(e.evict("web-0"))
	if !e.going("web-0") {
		t.Error("the pod stays")
	}
	p, err := e.CoreV1().Pods("default").Get(e.ctx, "web-0", metav1.GetOptions{})
	e.must(err)
	if !marked(p) {
		t.Errorf("conditions %+v", p.Status.Conditions)
	}
	b, err := e.PolicyV1().PodDisruptionBudgets("default").Get(e.ctx, "web", metav1.GetOptions{})
	e.must(err)
	if _, ok := b.Status.DisruptedPods["web-0"]; !ok || b.Status.DisruptionsAllowed != 0 {
		t.Errorf("budget %+v", b.Status)
	}
	e.refused(e.evict("web-1"), "The disruption budget web needs 2 healthy pods and has 3 currently")
	e.refused(e.evict("web-1", metav1.DryRunAll), "The disruption budget web needs 2 healthy pods and has 3 currently")
	e.must(e.evict("web-0")) // it goes already
	if e.going("web-1") {
		t.Error("a refused eviction deleted the pod")
	}
	if err := e.evict("nobody"); !apierrors.IsNotFound(err) {
		t.Errorf("a pod that is not there: %v", err)
	}
}

// marked reports whether the pod has the condition DisruptionTarget.
func marked(p *corev1.Pod) bool {
	return slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.DisruptionTarget && c.Status == corev1.ConditionTrue && c.Reason == "EvictionByEvictionAPI" && c.Message == "Eviction API: evicting"
	})
}

// A Job that forgives disruptions must see that one was, budget or no budget.
func TestEvictionWithoutABudgetSaysSoInThePod(t *testing.T) {
	e := newEvictions(t)
	e.pod("p", corev1.PodRunning, corev1.ConditionTrue)
	e.must(e.evict("p", metav1.DryRunAll))
	p, err := e.CoreV1().Pods("default").Get(e.ctx, "p", metav1.GetOptions{})
	e.must(err)
	if marked(p) || p.DeletionTimestamp != nil {
		t.Errorf("after a dry run: deleted %v, conditions %+v", p.DeletionTimestamp, p.Status.Conditions)
	}
	e.must(e.evict("p"))
	p, err = e.CoreV1().Pods("default").Get(e.ctx, "p", metav1.GetOptions{})
	e.must(err)
	if !marked(p) || p.DeletionTimestamp == nil {
		t.Errorf("deleted %v, conditions %+v", p.DeletionTimestamp, p.Status.Conditions)
	}
}

// At once, as several drains would: no more go than the budget allows.
func TestEvictionsAtOnce(t *testing.T) {
	const pods, allowed = 20, 3
	e := newEvictions(t)
	for i := range pods {
		e.pod(fmt.Sprint("web-", i), corev1.PodRunning, corev1.ConditionTrue)
	}
	e.budget("web", policyv1.PodDisruptionBudgetStatus{ObservedGeneration: 1, DisruptionsAllowed: allowed, CurrentHealthy: pods, DesiredHealthy: pods - allowed})
	var all sync.WaitGroup
	var went atomic.Int32
	for i := range pods {
		all.Go(func() {
			err := e.evict(fmt.Sprint("web-", i))
			switch {
			case err == nil:
				went.Add(1)
			case !apierrors.IsTooManyRequests(err):
				t.Error(err)
			}
		})
	}
	all.Wait()
	if went.Load() != allowed {
		t.Errorf("%d pods were evicted, %d may go", went.Load(), allowed)
	}
}

func TestEvictionByBudget(t *testing.T) {
	always := policyv1.AlwaysAllow
	for _, tt := range []struct {
		name   string
		phase  corev1.PodPhase
		ready  corev1.ConditionStatus
		status policyv1.PodDisruptionBudgetStatus
		edit   func(*policyv1.PodDisruptionBudgetSpec)
		cause  string // "": it goes
	}{
		{
			name: "not observed yet", phase: corev1.PodRunning, ready: corev1.ConditionTrue,
			status: policyv1.PodDisruptionBudgetStatus{DisruptionsAllowed: 5}, cause: "The disruption budget b is still being processed by the server.",
		},
		{name: "ended", phase: corev1.PodFailed, ready: corev1.ConditionFalse, status: policyv1.PodDisruptionBudgetStatus{ObservedGeneration: 1}},
		{name: "not started", phase: corev1.PodPending, ready: corev1.ConditionFalse, status: policyv1.PodDisruptionBudgetStatus{ObservedGeneration: 1}},
		{
			name: "unhealthy, healthy budget", phase: corev1.PodRunning, ready: corev1.ConditionFalse,
			status: policyv1.PodDisruptionBudgetStatus{ObservedGeneration: 1, CurrentHealthy: 2, DesiredHealthy: 2},
		},
		{
			name: "unhealthy, unhealthy budget", phase: corev1.PodRunning, ready: corev1.ConditionFalse,
			status: policyv1.PodDisruptionBudgetStatus{ObservedGeneration: 1, CurrentHealthy: 1, DesiredHealthy: 2}, cause: "The disruption budget b needs 2 healthy pods and has 1 currently",
		},
		{
			name: "unhealthy, always allowed", phase: corev1.PodRunning, ready: corev1.ConditionFalse,
			status: policyv1.PodDisruptionBudgetStatus{ObservedGeneration: 1, CurrentHealthy: 1, DesiredHealthy: 2},
			edit:   func(s *policyv1.PodDisruptionBudgetSpec) { s.UnhealthyPodEvictionPolicy = &always },
		},
		{
			name: "failed sync", phase: corev1.PodRunning, ready: corev1.ConditionTrue,
			status: policyv1.PodDisruptionBudgetStatus{ObservedGeneration: 1, Conditions: []metav1.Condition{{
				Type: policyv1.DisruptionAllowedCondition, Status: metav1.ConditionFalse, Reason: policyv1.SyncFailedReason, Message: "no scale", LastTransitionTime: metav1.Now(),
			}}},
			cause: "The disruption budget b does not allow evicting pods currently because it failed sync: no scale",
		},
		{
			name: "others' budget", phase: corev1.PodRunning, ready: corev1.ConditionTrue, status: policyv1.PodDisruptionBudgetStatus{ObservedGeneration: 1},
			edit: func(s *policyv1.PodDisruptionBudgetSpec) { s.Selector.MatchLabels["app"] = "other" },
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := newEvictions(t)
			e.pod("p", tt.phase, tt.ready)
			var edits []func(*policyv1.PodDisruptionBudgetSpec)
			if tt.edit != nil {
				edits = append(edits, tt.edit)
			}
			e.budget("b", tt.status, edits...)
			err := e.evict("p")
			if tt.cause != "" {
				e.refused(err, tt.cause)
			} else {
				e.must(err)
			}
			if got := e.going("p"); got != (tt.cause == "") {
				t.Errorf("going: %v", got)
			}
		})
	}
}

func TestEvictionOfTwoBudgets(t *testing.T) {
	e := newEvictions(t)
	e.pod("p", corev1.PodRunning, corev1.ConditionTrue)
	e.budget("a", policyv1.PodDisruptionBudgetStatus{ObservedGeneration: 1, DisruptionsAllowed: 1})
	e.budget("b", policyv1.PodDisruptionBudgetStatus{ObservedGeneration: 1, DisruptionsAllowed: 1})
	if err := e.evict("p"); err == nil || !strings.Contains(err.Error(), "This pod has more than one PodDisruptionBudget") {
		t.Errorf("got %v", err)
	}
}

// A node may evict its own pods only; of others, neither the pod nor its budget changes.
func TestEvictionOfAnothersPodChangesNothing(t *testing.T) {
	server, cfg := apitest.StartServer(t, apitest.WithAdmission(t))
	e := &evictions{clientset(t, cfg), t, within(t)}
	_, err := e.CoreV1().ServiceAccounts("default").Create(e.ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default"}}, metav1.CreateOptions{})
	e.must(err)
	e.pod("p", corev1.PodRunning, corev1.ConditionTrue)
	e.budget("b", policyv1.PodDisruptionBudgetStatus{ObservedGeneration: 1, DisruptionsAllowed: 1})
	state := func() string {
		p, err := e.CoreV1().Pods("default").Get(e.ctx, "p", metav1.GetOptions{})
		e.must(err)
		b, err := e.PolicyV1().PodDisruptionBudgets("default").Get(e.ctx, "b", metav1.GetOptions{})
		e.must(err)
		return p.ResourceVersion + " " + b.ResourceVersion
	}
	before := state()
	user := &client.User{Name: "system:node:other", Groups: []string{"system:nodes", "system:authenticated"}}
	req := httptest.NewRequestWithContext(client.WithUser(e.ctx, user), http.MethodPost, "/api/v1/namespaces/default/pods/p/eviction",
		strings.NewReader(`{"kind":"Eviction","apiVersion":"policy/v1","metadata":{"name":"p"}}`))
	req.Header.Set("Content-Type", "application/json")
	rec := httptest.NewRecorder()
	server.Handler().ServeHTTP(rec, req)
	if want := "node other can only evict pods with spec.nodeName set to itself"; rec.Code != http.StatusForbidden || !strings.Contains(rec.Body.String(), want) {
		t.Errorf("%d %s, want 403 with %q", rec.Code, rec.Body, want)
	}
	if after := state(); after != before {
		t.Errorf("versions of pod and budget were %s, are %s", before, after)
	}
}
