// Package review has the kinds that are never stored because they are requests for an answer: those of the
// groups authentication.k8s.io and authorization.k8s.io.
package review

import (
	"fmt"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/api/rules"
)

// A client creates a review; the server returns it with its status.
var (
	TokenReviews = review(authenticationv1.GroupName, "TokenReview", "tokenreviews", false,
		func() api.Object { return &authenticationv1.TokenReview{} }, tokenReviewsV1beta1)
	SelfSubjectReviews = review(authenticationv1.GroupName, "SelfSubjectReview", "selfsubjectreviews", false,
		func() api.Object { return &authenticationv1.SelfSubjectReview{} }, selfSubjectReviewsV1beta1)

	SubjectAccessReviews = withValidation(review(authorizationv1.GroupName, "SubjectAccessReview", "subjectaccessreviews", false,
		func() api.Object { return &authorizationv1.SubjectAccessReview{} }, subjectAccessReviewsV1beta1),
		rules.Typed(func(r *authorizationv1.SubjectAccessReview) field.ErrorList {
			return append(validateSubjectAccess(&r.Spec), validateNoMetadata(&r.ObjectMeta)...)
		}))
	LocalSubjectAccessReviews = withValidation(review(authorizationv1.GroupName, "LocalSubjectAccessReview", "localsubjectaccessreviews", true,
		func() api.Object { return &authorizationv1.LocalSubjectAccessReview{} }, localSubjectAccessReviewsV1beta1),
		rules.Typed(validateLocalSubjectAccess))
	SelfSubjectAccessReviews = withValidation(review(authorizationv1.GroupName, "SelfSubjectAccessReview", "selfsubjectaccessreviews", false,
		func() api.Object { return &authorizationv1.SelfSubjectAccessReview{} }, selfSubjectAccessReviewsV1beta1),
		rules.Typed(func(r *authorizationv1.SelfSubjectAccessReview) field.ErrorList {
			errs := validateAccess(r.Spec.ResourceAttributes, r.Spec.NonResourceAttributes)
			errs = append(errs, validateResourceAttributes(r.Spec.ResourceAttributes)...)
			return append(errs, validateNoMetadata(&r.ObjectMeta)...)
		}))
	SelfSubjectRulesReviews = review(authorizationv1.GroupName, "SelfSubjectRulesReview", "selfsubjectrulesreviews", false,
		func() api.Object { return &authorizationv1.SelfSubjectRulesReview{} }, selfSubjectRulesReviewsV1beta1)
)

func review(group, kind, plural string, namespaced bool, make func() api.Object, v1beta1 api.Version) *api.Kind {
	return &api.Kind{
		GroupVersionKind: api.GVK(group, "v1", kind),
		Plural:           plural, Singular: plural[:len(plural)-1], Namespaced: namespaced,
		Verbs:    []string{"create"},
		Virtual:  true,
		Versions: []api.Version{v1beta1},
		New:      make,
		NewList:  func() runtime.Object { return nil },
	}
}

func withValidation(k *api.Kind, validate func(api.Object) field.ErrorList) *api.Kind {
	k.Validate = validate
	return k
}

func validateAccess(resource *authorizationv1.ResourceAttributes, path *authorizationv1.NonResourceAttributes) field.ErrorList {
	switch {
	case resource != nil && path != nil:
		return field.ErrorList{field.Invalid(rules.SpecPath.Child("nonResourceAttributes"), path,
			"cannot be specified in combination with resourceAttributes")}
	case resource == nil && path == nil:
		return field.ErrorList{field.Invalid(rules.SpecPath.Child("resourceAttributes"), resource,
			"exactly one of nonResourceAttributes or resourceAttributes must be specified")}
	}
	return nil
}

func validateSubjectAccess(s *authorizationv1.SubjectAccessReviewSpec) field.ErrorList {
	errs := validateAccess(s.ResourceAttributes, s.NonResourceAttributes)
	if s.User == "" && len(s.Groups) == 0 {
		errs = append(errs, field.Invalid(rules.SpecPath.Child("user"), s.User, "at least one of user or group must be specified"))
	}
	return append(errs, validateResourceAttributes(s.ResourceAttributes)...)
}

// validateNoMetadata reports metadata of a review: nothing is stored under a name.
func validateNoMetadata(m *metav1.ObjectMeta) field.ErrorList {
	without := *m
	without.ManagedFields = nil
	if rules.Equal(without, metav1.ObjectMeta{}) {
		return nil
	}
	return field.ErrorList{field.Invalid(rules.MetadataPath, *m, "must be empty")}
}

// validateResourceAttributes validates the selectors. Their operators may be ones of later versions.
func validateResourceAttributes(a *authorizationv1.ResourceAttributes) field.ErrorList {
	if a == nil {
		return nil
	}
	var errs field.ErrorList
	one := func(p *field.Path, raw string, requirements int) {
		if raw != "" && requirements > 0 {
			errs = append(errs, field.Invalid(p.Child("rawSelector"), raw, "may not specified at the same time as requirements"))
		}
		if raw == "" && requirements == 0 {
			errs = append(errs, field.Required(p.Child("requirements"), fmt.Sprintf("when %s is specified, requirements or rawSelector is required", p)))
		}
	}
	if s := a.FieldSelector; s != nil {
		p := rules.SpecPath.Child("resourceAttributes", "fieldSelector")
		one(p, s.RawSelector, len(s.Requirements))
		for i, r := range s.Requirements {
			errs = append(errs, metav1validation.ValidateFieldSelectorRequirement(r,
				metav1validation.FieldSelectorValidationOptions{AllowUnknownOperatorInRequirement: true}, p.Child("requirements").Index(i))...)
		}
	}
	if s := a.LabelSelector; s != nil {
		p := rules.SpecPath.Child("resourceAttributes", "labelSelector")
		one(p, s.RawSelector, len(s.Requirements))
		for i, r := range s.Requirements {
			errs = append(errs, metav1validation.ValidateLabelSelectorRequirement(r,
				metav1validation.LabelSelectorValidationOptions{AllowUnknownOperatorInRequirement: true}, p.Child("requirements").Index(i))...)
		}
	}
	return errs
}

func validateLocalSubjectAccess(r *authorizationv1.LocalSubjectAccessReview) field.ErrorList {
	errs := validateSubjectAccess(&r.Spec)
	m := r.ObjectMeta
	m.Namespace, m.ManagedFields = "", nil
	if !rules.Equal(m, metav1.ObjectMeta{}) {
		errs = append(errs, field.Invalid(rules.MetadataPath, r.ObjectMeta, "must be empty except for namespace"))
	}
	if a := r.Spec.ResourceAttributes; a != nil && a.Namespace != r.Namespace {
		errs = append(errs, field.Invalid(rules.SpecPath.Child("resourceAttributes", "namespace"), a.Namespace, "must match metadata.namespace"))
	}
	if r.Spec.NonResourceAttributes != nil {
		errs = append(errs, field.Invalid(rules.SpecPath.Child("nonResourceAttributes"), r.Spec.NonResourceAttributes,
			"disallowed on this kind of request"))
	}
	return errs
}
