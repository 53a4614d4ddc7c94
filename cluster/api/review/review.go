// Package review has the kinds that are never stored because they are requests for an answer: those of the
// groups authentication.k8s.io and authorization.k8s.io.
package review

import (
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/api/rules"
)

// A client creates a review; the server returns it with its status.
var (
	TokenReviews = review(authenticationv1.GroupName, "TokenReview", "tokenreviews", false,
		func() api.Object { return &authenticationv1.TokenReview{} })
	SelfSubjectReviews = review(authenticationv1.GroupName, "SelfSubjectReview", "selfsubjectreviews", false,
		func() api.Object { return &authenticationv1.SelfSubjectReview{} })

	SubjectAccessReviews = withValidation(review(authorizationv1.GroupName, "SubjectAccessReview", "subjectaccessreviews", false,
		func() api.Object { return &authorizationv1.SubjectAccessReview{} }),
		rules.Typed(func(r *authorizationv1.SubjectAccessReview) field.ErrorList { return validateSubjectAccess(&r.Spec) }))
	LocalSubjectAccessReviews = withValidation(review(authorizationv1.GroupName, "LocalSubjectAccessReview", "localsubjectaccessreviews", true,
		func() api.Object { return &authorizationv1.LocalSubjectAccessReview{} }),
		rules.Typed(validateLocalSubjectAccess))
	SelfSubjectAccessReviews = withValidation(review(authorizationv1.GroupName, "SelfSubjectAccessReview", "selfsubjectaccessreviews", false,
		func() api.Object { return &authorizationv1.SelfSubjectAccessReview{} }),
		rules.Typed(func(r *authorizationv1.SelfSubjectAccessReview) field.ErrorList {
			return validateAccess(r.Spec.ResourceAttributes, r.Spec.NonResourceAttributes)
		}))
	SelfSubjectRulesReviews = review(authorizationv1.GroupName, "SelfSubjectRulesReview", "selfsubjectrulesreviews", false,
		func() api.Object { return &authorizationv1.SelfSubjectRulesReview{} })
)

func review(group, kind, plural string, namespaced bool, make func() api.Object) *api.Kind {
	return &api.Kind{
		GroupVersionKind: api.GVK(group, "v1", kind),
		Plural:           plural, Singular: plural[:len(plural)-1], Namespaced: namespaced,
		Verbs:   []string{"create"},
		Virtual: true,
		New:     make,
		NewList: func() runtime.Object { return nil },
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
	return errs
}

func validateLocalSubjectAccess(r *authorizationv1.LocalSubjectAccessReview) field.ErrorList {
	errs := validateSubjectAccess(&r.Spec)
	m := r.ObjectMeta
	m.Namespace = ""
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
