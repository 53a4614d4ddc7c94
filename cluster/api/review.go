package api

import (
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// The reviews are questions: a client creates one and gets it back with its status
// filled in. None is stored.
var (
	TokenReviews = review(authenticationv1.GroupName, "TokenReview", "tokenreviews", false,
		func() Object { return &authenticationv1.TokenReview{} })
	SelfSubjectReviews = review(authenticationv1.GroupName, "SelfSubjectReview", "selfsubjectreviews", false,
		func() Object { return &authenticationv1.SelfSubjectReview{} })

	SubjectAccessReviews = checked(review(authorizationv1.GroupName, "SubjectAccessReview", "subjectaccessreviews", false,
		func() Object { return &authorizationv1.SubjectAccessReview{} }),
		as(func(r *authorizationv1.SubjectAccessReview) field.ErrorList { return checkSubjectAccess(&r.Spec) }))
	LocalSubjectAccessReviews = checked(review(authorizationv1.GroupName, "LocalSubjectAccessReview", "localsubjectaccessreviews", true,
		func() Object { return &authorizationv1.LocalSubjectAccessReview{} }),
		as(checkLocalSubjectAccess))
	SelfSubjectAccessReviews = checked(review(authorizationv1.GroupName, "SelfSubjectAccessReview", "selfsubjectaccessreviews", false,
		func() Object { return &authorizationv1.SelfSubjectAccessReview{} }),
		as(func(r *authorizationv1.SelfSubjectAccessReview) field.ErrorList {
			return checkAccess(r.Spec.ResourceAttributes, r.Spec.NonResourceAttributes)
		}))
	SelfSubjectRulesReviews = review(authorizationv1.GroupName, "SelfSubjectRulesReview", "selfsubjectrulesreviews", false,
		func() Object { return &authorizationv1.SelfSubjectRulesReview{} })
)

func review(group, kind, plural string, namespaced bool, make func() Object) *Kind {
	return &Kind{
		GroupVersionKind: gvk(group, "v1", kind),
		Plural:           plural, Singular: plural[:len(plural)-1], Namespaced: namespaced,
		Verbs:   []string{"create"},
		Virtual: true,
		New:     make,
		NewList: func() runtime.Object { return nil },
	}
}

func checked(k *Kind, validate func(Object) field.ErrorList) *Kind {
	k.Validate = validate
	return k
}

func checkAccess(resource *authorizationv1.ResourceAttributes, path *authorizationv1.NonResourceAttributes) field.ErrorList {
	switch {
	case resource != nil && path != nil:
		return field.ErrorList{field.Invalid(specPath.Child("nonResourceAttributes"), path,
			"cannot be specified in combination with resourceAttributes")}
	case resource == nil && path == nil:
		return field.ErrorList{field.Invalid(specPath.Child("resourceAttributes"), resource,
			"exactly one of nonResourceAttributes or resourceAttributes must be specified")}
	}
	return nil
}

func checkSubjectAccess(s *authorizationv1.SubjectAccessReviewSpec) field.ErrorList {
	errs := checkAccess(s.ResourceAttributes, s.NonResourceAttributes)
	if s.User == "" && len(s.Groups) == 0 {
		errs = append(errs, field.Invalid(specPath.Child("user"), s.User, "at least one of user or group must be specified"))
	}
	return errs
}

func checkLocalSubjectAccess(r *authorizationv1.LocalSubjectAccessReview) field.ErrorList {
	errs := checkSubjectAccess(&r.Spec)
	m := r.ObjectMeta
	m.Namespace = ""
	if !same(m, metav1.ObjectMeta{}) {
		errs = append(errs, field.Invalid(metadataPath, r.ObjectMeta, "must be empty except for namespace"))
	}
	if a := r.Spec.ResourceAttributes; a != nil && a.Namespace != r.Namespace {
		errs = append(errs, field.Invalid(specPath.Child("resourceAttributes", "namespace"), a.Namespace, "must match metadata.namespace"))
	}
	if r.Spec.NonResourceAttributes != nil {
		errs = append(errs, field.Invalid(specPath.Child("nonResourceAttributes"), r.Spec.NonResourceAttributes,
			"disallowed on this kind of request"))
	}
	return errs
}
