package statefulset

import (
	"slices"

	apps "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A claim is deleted with its owner: the set, or a pod that is scaled down.

// owners returns whether the set, and whether the pod, should own the pod's claims.
func owners(set *apps.StatefulSet, inRange bool) (bySet, byPod bool) {
	var policy apps.StatefulSetPersistentVolumeClaimRetentionPolicy
	if p := set.Spec.PersistentVolumeClaimRetentionPolicy; p != nil {
		policy = *p
	}
	const remove = apps.DeletePersistentVolumeClaimRetentionPolicyType
	byPod = policy.WhenScaled == remove && !inRange
	return policy.WhenDeleted == remove && !byPod, byPod
}

// desiredOwners returns the owners that a claim should have, and whether they differ. Other
// owners stay.
func desiredOwners(c *v1.PersistentVolumeClaim, set *apps.StatefulSet, p *v1.Pod, inRange bool) ([]metav1.OwnerReference, bool) {
	bySet, byPod := owners(set, inRange)
	own := func(r metav1.OwnerReference) bool {
		return r.UID == set.UID || r.Kind == "Pod" && r.APIVersion == "v1" && r.Name == p.Name
	}
	next := slices.DeleteFunc(slices.Clone(c.OwnerReferences), own)
	if slices.ContainsFunc(next, controls) {
		return next, len(next) < len(c.OwnerReferences) // it has another controller
	}
	if bySet {
		next = append(next, *metav1.NewControllerRef(set, kind))
	}
	if byPod {
		next = append(next, *metav1.NewControllerRef(p, v1.SchemeGroupVersion.WithKind("Pod")))
	}
	return next, !sameOwners(next, c.OwnerReferences)
}

// conflicting reports whether something else controls a claim that the set should own.
func conflicting(c *v1.PersistentVolumeClaim, set *apps.StatefulSet, p *v1.Pod) bool {
	const remove = apps.DeletePersistentVolumeClaimRetentionPolicyType
	policy := set.Spec.PersistentVolumeClaimRetentionPolicy
	if policy == nil || policy.WhenScaled != remove && policy.WhenDeleted != remove {
		return false
	}
	return slices.ContainsFunc(c.OwnerReferences, func(r metav1.OwnerReference) bool {
		switch {
		case r.Kind == kind.Kind && r.APIVersion == kind.GroupVersion().String() && r.Name == set.Name:
			return r.UID != set.UID
		case r.Kind == "Pod" && r.APIVersion == "v1" && r.Name == p.Name:
			return r.UID != p.UID
		}
		return controls(r)
	})
}

func sameOwners(a, b []metav1.OwnerReference) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(r metav1.OwnerReference) bool {
		return !slices.ContainsFunc(b, func(o metav1.OwnerReference) bool { return o.UID == r.UID && controls(o) == controls(r) })
	})
}

func controls(r metav1.OwnerReference) bool { return r.Controller != nil && *r.Controller }

// stale reports whether a claim is about to be deleted, so that a new pod must not use it.
func stale(c *v1.PersistentVolumeClaim, name string) bool {
	return c.DeletionTimestamp != nil || slices.ContainsFunc(c.OwnerReferences, func(r metav1.OwnerReference) bool {
		return r.Kind == "Pod" && r.APIVersion == "v1" && r.Name == name
	})
}
