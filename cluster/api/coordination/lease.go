// Package coordination has the kinds of the group coordination.k8s.io.
package coordination

import (
	coordinationv1 "k8s.io/api/coordination/v1"
	coordinationv1beta1 "k8s.io/api/coordination/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/api/rules"
)

// Leases is the kind Lease, for leader election and for the heartbeats of nodes. The fields of coordinated leader election,
// whose feature gate is off, are dropped, as upstream.
var Leases = api.Of[coordinationv1.Lease, coordinationv1.LeaseList](&api.Kind{
	GroupVersionKind: api.GVK(coordinationv1.GroupName, "v1", "Lease"),
	Plural:           "leases", Singular: "lease", Namespaced: true,
	Versions: []api.Version{api.Retired[*coordinationv1beta1.Lease, *coordinationv1.Lease]{}.Version()},

	PrepareCreate: rules.Mutate(func(l *coordinationv1.Lease) { l.Spec.Strategy, l.Spec.PreferredHolder = nil, nil }),
	PrepareUpdate: rules.MutateUpdate(func(l, _ *coordinationv1.Lease) { l.Spec.Strategy, l.Spec.PreferredHolder = nil, nil }),

	Validate: rules.Typed(func(l *coordinationv1.Lease) field.ErrorList {
		return append(rules.ValidatePlainMeta(l, true, rules.DNSSubdomain), validateLease(l)...)
	}),
	ValidateUpdate: rules.TypedUpdate(func(l, old *coordinationv1.Lease) field.ErrorList {
		return append(rules.ValidatePlainMetaUpdate(l, old), validateLease(l)...)
	}),

	Columns: []metav1.TableColumnDefinition{rules.NameColumn, rules.Column("Holder", "string", 0, rules.Doc(coordinationv1.LeaseSpec{}, "holderIdentity")), rules.AgeColumn},
	Row: rules.Typed(func(l *coordinationv1.Lease) []any {
		holder := ""
		if l.Spec.HolderIdentity != nil {
			holder = *l.Spec.HolderIdentity
		}
		return []any{l.Name, holder, rules.Age(l.CreationTimestamp)}
	}),
})

func validateLease(l *coordinationv1.Lease) field.ErrorList {
	s := &l.Spec
	var errs field.ErrorList
	if s.LeaseDurationSeconds != nil && *s.LeaseDurationSeconds <= 0 {
		errs = append(errs, field.Invalid(rules.SpecPath.Child("leaseDurationSeconds"), *s.LeaseDurationSeconds, "must be greater than 0"))
	}
	if s.LeaseTransitions != nil && *s.LeaseTransitions < 0 {
		errs = append(errs, field.Invalid(rules.SpecPath.Child("leaseTransitions"), *s.LeaseTransitions, "must be greater than or equal to 0"))
	}
	return errs
}
