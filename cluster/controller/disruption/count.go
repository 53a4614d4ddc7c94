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

// patience is how long a pod whose eviction was granted is counted as gone.
const patience = 2 * time.Minute

// sum is a count.
type sum struct {
	status policy.PodDisruptionBudgetStatus
	kept   []*v1.Pod     // to be evicted, and still there after patience
	after  time.Duration // when the next of disruptedPods is over patience; 0 is never
}

// needsScale says whether the budget is a share of the pods that their owners want, and
// not a plain number of those that are there.
func needsScale(b *policy.PodDisruptionBudget) bool {
	return b.Spec.MaxUnavailable != nil || b.Spec.MinAvailable != nil && b.Spec.MinAvailable.Type == intstr.String
}

// counted is the status of a budget over pods of which n are expected.
func counted(b *policy.PodDisruptionBudget, pods []*v1.Pod, n int32, now time.Time) sum {
	var out sum
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
	// A budget that covers nothing yet allows nothing: its first pods may come before the next count.
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

// disrupted carries over the pods whose eviction was granted and that are not deleted yet.
func (s *sum) disrupted(b *policy.PodDisruptionBudget, pods []*v1.Pod, now time.Time) {
	for _, p := range pods {
		granted, ok := b.Status.DisruptedPods[p.Name]
		if !ok || p.DeletionTimestamp != nil {
			continue
		}
		left := granted.Add(patience).Sub(now)
		if left < 0 {
			s.kept = append(s.kept, p)
			continue
		}
		if s.status.DisruptedPods == nil {
			s.status.DisruptedPods = map[string]metav1.Time{}
		}
		s.status.DisruptedPods[p.Name] = granted
		if wait := left + time.Second; s.after == 0 || wait < s.after {
			s.after = wait
		}
	}
}

// desired is how many of n pods must stay healthy.
func desired(b *policy.PodDisruptionBudget, n int32) int32 {
	if u := b.Spec.MaxUnavailable; u != nil {
		// Validation keeps out what cannot be resolved.
		missing, _ := intstr.GetScaledValueFromIntOrPercent(u, int(n), true)
		return max(0, n-int32(missing))
	}
	if b.Spec.MinAvailable == nil {
		return 0
	}
	least, _ := intstr.GetScaledValueFromIntOrPercent(b.Spec.MinAvailable, int(n), true)
	return int32(least)
}

// failed is the status of a budget that could not be counted for.
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

// byOwner is the controllers of the pods, and how many pods have none.
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
