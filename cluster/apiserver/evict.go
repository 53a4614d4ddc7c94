package apiserver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	policyv1beta1 "k8s.io/api/policy/v1beta1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/api/podfacts"
	"wheelhouse/cluster/apiserver/admission"
	"wheelhouse/cluster/apiserver/apistatus"
	"wheelhouse/cluster/apiserver/negotiate"
	"wheelhouse/cluster/store"
)

// maxDisrupted is how many evictions the disruption controller may be behind.
const maxDisrupted = 2000

// eviction is a request to evict a pod.
type eviction struct{ *request }

// evict answers POST pods/NAME/eviction, which kubectl drain uses: it deletes the pod if its
// disruption budget allows it.
func (r eviction) evict() error {
	o, err := createOptions(r.Request)
	if err != nil {
		return err
	}
	e, err := r.decodeEviction(o.validation)
	if err != nil {
		return err
	}
	if e.Name != r.Name {
		return apistatus.BadRequest("name in URL does not match name in Eviction object")
	}
	if err := r.checkNamespace(e); err != nil {
		return err
	}
	options := e.DeleteOptions
	if options == nil {
		options = &metav1.DeleteOptions{}
	}
	if o.dryRun {
		options.DryRun = []string{metav1.DryRunAll}
	}
	if err := r.admit(admission.Create, e, o.options); err != nil {
		return err
	}
	if err := r.evictPod(r.Context(), options); err != nil {
		return err
	}
	return r.writeObject(http.StatusCreated, &metav1.Status{Status: metav1.StatusSuccess, Code: http.StatusCreated}, apistatus.GVK)
}

// decodeEviction accepts an Eviction of policy/v1beta1 too, which clients up to 1.21 send.
func (r eviction) decodeEviction(validation string) (*policyv1.Eviction, error) {
	body, err := r.readBody()
	if err != nil {
		return nil, err
	}
	e, old, media := &policyv1.Eviction{}, &policyv1beta1.Eviction{}, negotiate.BodyType(r.Request)
	err = r.decodeBytes(body, media, e, policyv1.SchemeGroupVersion.WithKind("Eviction"), validation)
	if err == nil {
		return e, nil
	}
	if r.decodeBytes(body, media, old, policyv1beta1.SchemeGroupVersion.WithKind("Eviction"), validation) == nil {
		return &policyv1.Eviction{ObjectMeta: old.ObjectMeta, DeleteOptions: old.DeleteOptions}, nil
	}
	return nil, err
}

// evictPod deletes the pod when its budget allows it. It retries while the pod changes.
func (r eviction) evictPod(ctx context.Context, asked *metav1.DeleteOptions) error {
	for {
		item, err := r.res.collection.Get(ctx, r.Namespace, r.Name, "")
		if err != nil {
			return err
		}
		pod := item.Object().(*corev1.Pod)
		o := asked.DeepCopy()
		preconditions := &o.Preconditions // not another pod of the same name
		if *preconditions == nil {
			*preconditions = &metav1.Preconditions{}
		}
		if (*preconditions).UID == nil {
			(*preconditions).UID = &pod.UID
		}
		exempt, err := r.takeDisruption(ctx, pod, len(o.DryRun) > 0)
		if err != nil {
			return err
		}
		exempt = exempt && (*preconditions).ResourceVersion == nil
		if exempt {
			(*preconditions).ResourceVersion = &pod.ResourceVersion
		}
		if len(o.DryRun) == 0 {
			err = r.markEvicted(ctx, o)
		}
		if err == nil {
			_, err = r.deleteOne(ctx, r.Namespace, r.Name, o)
		}
		if exempt && apierrors.IsConflict(err) {
			continue
		}
		return err
	}
}

// markEvicted sets the condition DisruptionTarget of the pod, for a Job whose failure policy
// ignores disruptions, for example. It updates the preconditions to the pod that it has
// written.
func (r eviction) markEvicted(ctx context.Context, o *metav1.DeleteOptions) error {
	marked, err := r.res.collection.Update(ctx, r.Namespace, r.Name, func(cur *store.Item) (api.Object, error) {
		pod := cur.Object().(*corev1.Pod)
		if err := r.checkPreconditions(pod, o); err != nil {
			return nil, err
		}
		return evicted(pod), nil
	})
	if err == nil && o.Preconditions.ResourceVersion != nil {
		version := marked.Object().GetResourceVersion()
		o.Preconditions.ResourceVersion = &version
	}
	return err
}

// takeDisruption takes one disruption from the budget that counts the pod. It reports exempt
// when the pod may be deleted as it is now, without a budget.
func (r eviction) takeDisruption(ctx context.Context, pod *corev1.Pod, dryRun bool) (exempt bool, err error) {
	if ignoresBudgets(pod) {
		return true, nil
	}
	budgets, err := r.budgetsOf(ctx, pod)
	if err != nil {
		return false, err
	}
	switch len(budgets) {
	case 0:
		return false, nil
	case 1:
	default:
		return false, apistatus.New(http.StatusInternalServerError, metav1.StatusReasonInternalError,
			"This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.")
	}
	if unprotected(pod, budgets[0]) {
		return true, nil
	}
	take := func(cur *store.Item) (api.Object, error) {
		return taken(cur.Object().(*policyv1.PodDisruptionBudget), pod.Name)
	}
	if dryRun {
		_, err := taken(budgets[0], pod.Name)
		return false, err
	}
	if _, err := r.budgets().Update(ctx, r.Namespace, budgets[0].Name, take); err != nil && !apierrors.IsNotFound(err) {
		return false, err
	}
	return false, nil
}

func (r eviction) budgets() *store.Collection {
	return r.routes.resource(policyv1.GroupName, "v1", "poddisruptionbudgets").collection
}

// budgetsOf returns the budgets that count a pod.
func (r eviction) budgetsOf(ctx context.Context, pod *corev1.Pod) ([]*policyv1.PodDisruptionBudget, error) {
	page, err := r.budgets().List(ctx, pod.Namespace, store.ListOptions{})
	if err != nil {
		return nil, err
	}
	var found []*policyv1.PodDisruptionBudget
	for _, item := range page.Items {
		b := item.Object().(*policyv1.PodDisruptionBudget)
		selector, err := metav1.LabelSelectorAsSelector(b.Spec.Selector)
		if err == nil && selector.Matches(labels.Set(pod.Labels)) {
			found = append(found, b)
		}
	}
	return found, nil
}

// ignoresBudgets reports whether the pod has terminated, has not started, or is terminating.
func ignoresBudgets(p *corev1.Pod) bool {
	return !podfacts.Active(p) || p.Status.Phase == corev1.PodPending
}

// unprotected reports whether the pod is not ready, and its budget does not protect such pods.
func unprotected(p *corev1.Pod, b *policyv1.PodDisruptionBudget) bool {
	if podfacts.Ready(p) {
		return false
	}
	if policy := b.Spec.UnhealthyPodEvictionPolicy; policy != nil && *policy == policyv1.AlwaysAllow {
		return true
	}
	return b.Status.CurrentHealthy >= b.Status.DesiredHealthy && b.Status.DesiredHealthy > 0
}

// taken returns the budget with one disruption less, for that pod.
func taken(old *policyv1.PodDisruptionBudget, pod string) (*policyv1.PodDisruptionBudget, error) {
	forbidden := func(text string) error {
		return apierrors.NewForbidden(policyv1.Resource("poddisruptionbudget"), old.Name, errors.New(text))
	}
	s := &old.Status
	switch {
	case s.ObservedGeneration < old.Generation:
		return nil, tooManyDisruptions(10, "The disruption budget %s is still being processed by the server.", old.Name)
	case s.DisruptionsAllowed < 0:
		return nil, forbidden("pdb disruptions allowed is negative")
	case len(s.DisruptedPods) > maxDisrupted:
		return nil, forbidden("DisruptedPods map too big - too many evictions not confirmed by PDB controller")
	case s.DisruptionsAllowed == 0:
		if c := meta.FindStatusCondition(s.Conditions, policyv1.DisruptionAllowedCondition); c != nil && c.Status == metav1.ConditionFalse && c.Reason == policyv1.SyncFailedReason {
			return nil, tooManyDisruptions(0, "The disruption budget %s does not allow evicting pods currently because it failed sync: %v", old.Name, c.Message)
		}
		return nil, tooManyDisruptions(0, "The disruption budget %s needs %d healthy pods and has %d currently", old.Name, s.DesiredHealthy, s.CurrentHealthy)
	}
	b := old.DeepCopy()
	b.Status.DisruptionsAllowed--
	if b.Status.DisruptionsAllowed == 0 {
		meta.SetStatusCondition(&b.Status.Conditions, metav1.Condition{
			Type: policyv1.DisruptionAllowedCondition, Status: metav1.ConditionFalse,
			Reason: policyv1.InsufficientPodsReason, ObservedGeneration: b.Status.ObservedGeneration,
		})
	}
	if b.Status.DisruptedPods == nil {
		b.Status.DisruptedPods = map[string]metav1.Time{}
	}
	b.Status.DisruptedPods[pod] = metav1.Now()
	return b, nil
}

// tooManyDisruptions returns the refusal after which kubectl drain retries.
func tooManyDisruptions(retry int, format string, args ...any) error {
	err := apierrors.NewTooManyRequests("Cannot evict pod as it would violate the pod's disruption budget.", retry)
	err.ErrStatus.Details.Causes = append(err.ErrStatus.Details.Causes, metav1.StatusCause{
		Type: policyv1.DisruptionBudgetCause, Message: fmt.Sprintf(format, args...),
	})
	return err
}

// evicted returns the pod with the condition DisruptionTarget.
func evicted(old *corev1.Pod) *corev1.Pod {
	const reason = "EvictionByEvictionAPI"
	if slices.ContainsFunc(old.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.DisruptionTarget && c.Status == corev1.ConditionTrue && c.Reason == reason
	}) {
		return old
	}
	p := *old
	p.Status.Conditions = slices.DeleteFunc(slices.Clone(old.Status.Conditions), func(c corev1.PodCondition) bool { return c.Type == corev1.DisruptionTarget })
	p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{
		Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Now().Rfc3339Copy(),
		Reason: reason, Message: "Eviction API: evicting",
	})
	return &p
}
