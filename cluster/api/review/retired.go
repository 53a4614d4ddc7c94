package review

import (
	authenticationv1 "k8s.io/api/authentication/v1"
	authenticationv1beta1 "k8s.io/api/authentication/v1beta1"
	authorizationv1 "k8s.io/api/authorization/v1"
	authorizationv1beta1 "k8s.io/api/authorization/v1beta1"

	"wheelhouse/cluster/api"
)

// The versions before 1.6, which clients used until 1.22. A SubjectAccessReview has its groups as "group".
var (
	tokenReviewsV1beta1       = api.Retired[*authenticationv1beta1.TokenReview, *authenticationv1.TokenReview]{}.Version()
	selfSubjectReviewsV1beta1 = api.Retired[*authenticationv1beta1.SelfSubjectReview, *authenticationv1.SelfSubjectReview]{
		Deprecated: "authentication.k8s.io/v1beta1 SelfSubjectReview is deprecated in v1.30+, unavailable in v1.33+; use authentication.k8s.io/v1 SelfSubjectReview",
	}.Version()

	subjectAccessReviewsV1beta1 = api.Retired[*authorizationv1beta1.SubjectAccessReview, *authorizationv1.SubjectAccessReview]{
		ToStored: func(from *authorizationv1beta1.SubjectAccessReview, to *authorizationv1.SubjectAccessReview) {
			to.Spec.Groups = from.Spec.Groups
		},
		FromStored: func(from *authorizationv1.SubjectAccessReview, to *authorizationv1beta1.SubjectAccessReview) {
			to.Spec.Groups = from.Spec.Groups
		},
	}.Version()
	localSubjectAccessReviewsV1beta1 = api.Retired[*authorizationv1beta1.LocalSubjectAccessReview, *authorizationv1.LocalSubjectAccessReview]{
		ToStored: func(from *authorizationv1beta1.LocalSubjectAccessReview, to *authorizationv1.LocalSubjectAccessReview) {
			to.Spec.Groups = from.Spec.Groups
		},
		FromStored: func(from *authorizationv1.LocalSubjectAccessReview, to *authorizationv1beta1.LocalSubjectAccessReview) {
			to.Spec.Groups = from.Spec.Groups
		},
	}.Version()
	selfSubjectAccessReviewsV1beta1 = api.Retired[*authorizationv1beta1.SelfSubjectAccessReview, *authorizationv1.SelfSubjectAccessReview]{}.Version()
	selfSubjectRulesReviewsV1beta1  = api.Retired[*authorizationv1beta1.SelfSubjectRulesReview, *authorizationv1.SelfSubjectRulesReview]{}.Version()
)
