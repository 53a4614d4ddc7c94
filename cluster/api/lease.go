package api

import (
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Leases says who leads, and which node still lives.
var Leases = &Kind{
	GroupVersionKind: gvk(coordinationv1.GroupName, "v1", "Lease"),
	Plural:           "leases", Singular: "lease", Namespaced: true,
	New:     func() Object { return &coordinationv1.Lease{} },
	NewList: func() runtime.Object { return &coordinationv1.LeaseList{} },

	Validate: as(func(l *coordinationv1.Lease) field.ErrorList {
		return append(checkMeta(&l.ObjectMeta, true, dnsSubdomain), checkLease(&l.Spec)...)
	}),
	ValidateUpdate: as2(func(l, old *coordinationv1.Lease) field.ErrorList {
		return append(checkMetaUpdate(&l.ObjectMeta, &old.ObjectMeta), checkLease(&l.Spec)...)
	}),

	Columns: []metav1.TableColumnDefinition{nameColumn, col("Holder", "string", 0, "Who holds the lease."), ageColumn},
	Row: as(func(l *coordinationv1.Lease) []any {
		holder := ""
		if l.Spec.HolderIdentity != nil {
			holder = *l.Spec.HolderIdentity
		}
		return []any{l.Name, holder, age(l.CreationTimestamp)}
	}),
}

func checkLease(s *coordinationv1.LeaseSpec) field.ErrorList {
	var errs field.ErrorList
	if s.LeaseDurationSeconds != nil && *s.LeaseDurationSeconds <= 0 {
		errs = append(errs, field.Invalid(specPath.Child("leaseDurationSeconds"), *s.LeaseDurationSeconds, "must be greater than 0"))
	}
	if s.LeaseTransitions != nil && *s.LeaseTransitions < 0 {
		errs = append(errs, field.Invalid(specPath.Child("leaseTransitions"), *s.LeaseTransitions, "must be greater than or equal to 0"))
	}
	if s.Strategy != nil {
		errs = append(errs, oneOf(*s.Strategy, specPath.Child("strategy"), coordinationv1.OldestEmulationVersion)...)
	} else if s.PreferredHolder != nil && *s.PreferredHolder != "" {
		errs = append(errs, field.Forbidden(specPath.Child("preferredHolder"), "may only be specified if `strategy` is defined"))
	}
	return errs
}
