package core

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/api/rules"
)

// Namespaces is the kind Namespace. Only the finalize subresource changes spec.finalizers.
var Namespaces = api.Of[corev1.Namespace, corev1.NamespaceList](&api.Kind{
	GroupVersionKind: api.GVK("", "v1", "Namespace"),
	Plural:           "namespaces", Singular: "namespace", Short: []string{"ns"},
	Verbs:     []string{"create", "delete", "get", "list", "patch", "update", "watch"},
	HasStatus: true,
	Connect: []api.Subresource{
		{
			Name: "finalize", Kind: api.GVK("", "v1", "Namespace"), Verbs: []string{"update"},
			Prepare: rules.MutateUpdate(func(n, old *corev1.Namespace) { n.Status = old.Status }),
			Validate: rules.TypedUpdate(func(n, old *corev1.Namespace) field.ErrorList {
				return append(rules.ValidateObjectMetaUpdate(&n.ObjectMeta, &old.ObjectMeta), validateFinalizers(n.Spec.Finalizers, rules.SpecPath.Child("finalizers"))...)
			}),
		},
	},

	Default: rules.Mutate(defaultNamespace),
	PrepareCreate: rules.Mutate(func(n *corev1.Namespace) {
		n.Status = corev1.NamespaceStatus{Phase: corev1.NamespaceActive}
		if !slices.Contains(n.Spec.Finalizers, corev1.FinalizerKubernetes) {
			n.Spec.Finalizers = append(n.Spec.Finalizers, corev1.FinalizerKubernetes)
		}
	}),
	PrepareUpdate: rules.MutateUpdate(func(n, old *corev1.Namespace) {
		n.Spec.Finalizers = old.Spec.Finalizers
		n.Status = old.Status
	}),
	PrepareStatus: rules.MutateUpdate(func(n, old *corev1.Namespace) { n.Spec = old.Spec }),

	Validate:       rules.Typed(validateNamespace),
	ValidateUpdate: rules.WholeUpdate[*corev1.Namespace](rules.Typed(validateNamespace)),
	ValidateStatus: rules.TypedUpdate(func(n, old *corev1.Namespace) field.ErrorList {
		errs := rules.ValidateObjectMetaUpdate(&n.ObjectMeta, &old.ObjectMeta)
		if n.DeletionTimestamp == nil && n.Status.Phase != corev1.NamespaceActive {
			errs = append(errs, field.Invalid(rules.StatusPath.Child("Phase"), n.Status.Phase, "may only be 'Active' if `deletionTimestamp` is empty"))
		}
		if n.DeletionTimestamp != nil && n.Status.Phase != corev1.NamespaceTerminating {
			errs = append(errs, field.Invalid(rules.StatusPath.Child("Phase"), n.Status.Phase, "may only be 'Terminating' if `deletionTimestamp` is not empty"))
		}
		return errs
	}),

	Columns: []metav1.TableColumnDefinition{rules.NameColumn, rules.Column("Status", "string", 0, "The status of the namespace"), rules.AgeColumn},
	Row: rules.Typed(func(n *corev1.Namespace) []any {
		return []any{n.Name, string(n.Status.Phase), rules.Age(n.CreationTimestamp)}
	}),
	Fields: rules.Typed(func(n *corev1.Namespace) fields.Set {
		return fields.Set{"status.phase": string(n.Status.Phase), "name": n.Name}
	}),
})

func defaultNamespace(n *corev1.Namespace) {
	rules.SetDefault(&n.Status.Phase, corev1.NamespaceActive)
	// The label makes a namespace selectable by its name.
	if n.Name != "" {
		if n.Labels == nil {
			n.Labels = map[string]string{}
		}
		n.Labels[corev1.LabelMetadataName] = n.Name
	}
}

func validateFinalizers(finalizers []corev1.FinalizerName, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, f := range finalizers {
		errs = append(errs, validateFinalizer(string(f), p.Index(i))...)
	}
	return errs
}

func validateFinalizer(name string, p *field.Path) field.ErrorList {
	errs := rules.Invalid(p, name, validation.IsQualifiedName(name))
	return append(errs, rules.ValidateKubeFinalizerName(name, p)...)
}

func validateNamespace(n *corev1.Namespace) field.ErrorList {
	errs := rules.ValidateObjectMeta(&n.ObjectMeta, false, rules.DNSLabel)
	for _, f := range n.Spec.Finalizers { // without an index, as upstream
		errs = append(errs, validateFinalizer(string(f), rules.SpecPath.Child("finalizers"))...)
	}
	return errs
}
