package disruption

import (
	"time"

	v1 "k8s.io/api/core/v1"
	policy "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"wheelhouse/cluster/api/podfacts"
)

// deletionTimeout is how long a pod whose eviction was granted counts as deleted.
const deletionTimeout = 2 * time.Minute

// count is the result for one budget.
type count struct {
	status       policy.PodDisruptionBudgetStatus
	notDeleted   []*v1.Pod     // evicted, and not deleted within deletionTimeout
	requeueAfter time.Duration // until the next of disruptedPods times out; 0 is never
}

// needsScale reports whether the budget is relative to the replicas of the pods' owners, and
// not a number of the existing pods.
func needsScale(b *policy.PodDisruptionBudget) bool {
	return b.Spec.MaxUnavailable != nil || b.Spec.MinAvailable != nil && b.Spec.MinAvailable.Type == intstr.String
}

// counted returns the status of a budget over pods of which n are expected.
func counted(b *policy.PodDisruptionBudget, pods []*v1.Pod, n int32, now time.Time) count {
	var out count
	out.status.Conditions = append([]metav1.Condition(nil), b.Status.Conditions...)
	out.disrupted(b, pods, now)
	st := &out.status
	for _, p := range pods {
		if _, going := st.DisruptedPods[p.Name]; !going && p.DeletionTimestamp == nil && podfacts.Ready(p) {
			st.CurrentHealthy++
		}
	}
	st.ExpectedPods = n
	st.DesiredHealthy = desired(b, n)
	// A budget without pods allows no disruption: its first pods may exist before the next count.
	if n > 0 {
		st.DisruptionsAllowed = max(0, st.CurrentHealthy-st.DesiredHealthy)
	}
	st.ObservedGeneration = b.Generation
	c := metav1.Condition{
		Type: policy.DisruptionAllowedCondition, Status: metav1.ConditionFalse, Reason: policy.InsufficientPodsReason,
		ObservedGeneration: b.Generation, LastTransitionTime: metav1.NewTime(now),
	}
	if st.DisruptionsAllowed > 0 {
		c.Status, c.Reason = metav1.ConditionTrue, policy.SufficientPodsReason
	}
	meta.SetStatusCondition(&st.Conditions, c)
	return out
}

// disrupted keeps the pods whose eviction was granted and that are not deleted yet.
func (s *count) disrupted(b *policy.PodDisruptionBudget, pods []*v1.Pod, now time.Time) {
	for _, p := range pods {
		granted, ok := b.Status.DisruptedPods[p.Name]
		if !ok || p.DeletionTimestamp != nil {
			continue
		}
		left := granted.Add(deletionTimeout).Sub(now)
		if left < 0 {
			s.notDeleted = append(s.notDeleted, p)
			continue
		}
		if s.status.DisruptedPods == nil {
			s.status.DisruptedPods = map[string]metav1.Time{}
		}
		s.status.DisruptedPods[p.Name] = granted
		if wait := left + time.Second; s.requeueAfter == 0 || wait < s.requeueAfter {
			s.requeueAfter = wait
		}
	}
}

// desired returns how many of n pods must stay healthy.
func desired(b *policy.PodDisruptionBudget, n int32) int32 {
	if u := b.Spec.MaxUnavailable; u != nil {
		// Validation rejects what cannot be resolved.
		missing, _ := intstr.GetScaledValueFromIntOrPercent(u, int(n), true)
		return max(0, n-int32(missing))
	}
	if b.Spec.MinAvailable == nil {
		return 0
	}
	least, _ := intstr.GetScaledValueFromIntOrPercent(b.Spec.MinAvailable, int(n), true)
	return int32(least)
}

// failed returns the status of a budget whose count failed.
func failed(b *policy.PodDisruptionBudget, err error, now time.Time) policy.PodDisruptionBudgetStatus {
	st := *b.Status.DeepCopy()
	st.DisruptionsAllowed = 0
	st.ObservedGeneration = b.Generation
	meta.SetStatusCondition(&st.Conditions, metav1.Condition{
		Type: policy.DisruptionAllowedCondition, Status: metav1.ConditionFalse, Reason: policy.SyncFailedReason,
		Message: err.Error(), ObservedGeneration: b.Generation, LastTransitionTime: metav1.NewTime(now),
	})
	return st
}

// byOwner returns the controllers of the pods, and how many pods have none.
func byOwner(pods []*v1.Pod) (refs map[types.UID]metav1.OwnerReference, unmanaged int) {
	refs = map[types.UID]metav1.OwnerReference{}
	for _, p := range pods {
		ref := metav1.GetControllerOfNoCopy(p)
		if ref == nil {
			unmanaged++
			continue
		}
		refs[ref.UID] = *ref
	}
	return refs, unmanaged
}
