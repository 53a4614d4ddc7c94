package statefulset

import (
	"slices"

	apps "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A claim is kept or goes by its owners: one that the set owns goes with the set,
// one that a pod owns goes with that pod, when the pod is scaled away.

// owners are who should own the claims of a pod.
func owners(set *apps.StatefulSet, inRange bool) (bySet, byPod bool) {
	var policy apps.StatefulSetPersistentVolumeClaimRetentionPolicy
	if p := set.Spec.PersistentVolumeClaimRetentionPolicy; p != nil {
		policy = *p
	}
	const remove = apps.DeletePersistentVolumeClaimRetentionPolicyType
	byPod = policy.WhenScaled == remove && !inRange
	return policy.WhenDeleted == remove && !byPod, byPod
}

// wantedOwners gives the owners that a claim should have, and whether that is a
// change. Owners that are no concern of the set stay.
func wantedOwners(c *v1.PersistentVolumeClaim, set *apps.StatefulSet, p *v1.Pod, inRange bool) ([]metav1.OwnerReference, bool) {
	bySet, byPod := owners(set, inRange)
	own := func(r metav1.OwnerReference) bool {
		return r.UID == set.UID || r.Kind == "Pod" && r.APIVersion == "v1" && r.Name == p.Name
	}
	next := slices.DeleteFunc(slices.Clone(c.OwnerReferences), own)
	if slices.ContainsFunc(next, controls) {
		return c.OwnerReferences, false // another controller looks after it
	}
	if bySet {
		next = append(next, *metav1.NewControllerRef(set, kind))
	}
	if byPod {
		next = append(next, *metav1.NewControllerRef(p, v1.SchemeGroupVersion.WithKind("Pod")))
	}
	return next, !sameOwners(next, c.OwnerReferences)
}

func sameOwners(a, b []metav1.OwnerReference) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(r metav1.OwnerReference) bool {
		return !slices.ContainsFunc(b, func(o metav1.OwnerReference) bool { return o.UID == r.UID && controls(o) == controls(r) })
	})
}

func controls(r metav1.OwnerReference) bool { return r.Controller != nil && *r.Controller }

// stale is a claim that is about to go, so that a new pod must not use it.
func stale(c *v1.PersistentVolumeClaim, name string) bool {
	return c.DeletionTimestamp != nil || slices.ContainsFunc(c.OwnerReferences, func(r metav1.OwnerReference) bool {
		return r.Kind == "Pod" && r.APIVersion == "v1" && r.Name == name
	})
}
