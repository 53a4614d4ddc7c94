package authz

import (
	"context"
	"fmt"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/selection"

	"wheelhouse/cluster/client"
)

// Review answers the creation of a review, with its status set.
type Review = func(ctx context.Context, u *client.User, obj runtime.Object) (runtime.Object, error)

// Reviews returns the handlers of the reviews of authorization.k8s.io/v1.
func (a *Authorizer) Reviews() map[schema.GroupVersionResource]Review {
	gv := authorizationv1.SchemeGroupVersion
	return map[schema.GroupVersionResource]Review{
		gv.WithResource("subjectaccessreviews"):      a.subjectAccess,
		gv.WithResource("localsubjectaccessreviews"): a.localSubjectAccess,
		gv.WithResource("selfsubjectaccessreviews"):  a.selfSubjectAccess,
		gv.WithResource("selfsubjectrulesreviews"):   a.selfSubjectRules,
	}
}

func (a *Authorizer) subjectAccess(ctx context.Context, _ *client.User, obj runtime.Object) (runtime.Object, error) {
	r, ok := obj.(*authorizationv1.SubjectAccessReview)
	if !ok {
		return nil, unexpected(obj)
	}
	out := r.DeepCopy()
	out.Status = a.review(ctx, subjectOf(&r.Spec), r.Spec.ResourceAttributes, r.Spec.NonResourceAttributes)
	return out, nil
}

func (a *Authorizer) localSubjectAccess(ctx context.Context, _ *client.User, obj runtime.Object) (runtime.Object, error) {
	r, ok := obj.(*authorizationv1.LocalSubjectAccessReview)
	if !ok {
		return nil, unexpected(obj)
	}
	if r.Spec.ResourceAttributes == nil || r.Spec.ResourceAttributes.Namespace != r.Namespace {
		return nil, apierrors.NewBadRequest("spec.resourceAttributes.namespace must match metadata.namespace")
	}
	out := r.DeepCopy()
	out.Status = a.review(ctx, subjectOf(&r.Spec), r.Spec.ResourceAttributes, nil)
	return out, nil
}

func (a *Authorizer) selfSubjectAccess(ctx context.Context, u *client.User, obj runtime.Object) (runtime.Object, error) {
	r, ok := obj.(*authorizationv1.SelfSubjectAccessReview)
	if !ok {
		return nil, unexpected(obj)
	}
	out := r.DeepCopy()
	out.Status = a.review(ctx, u, r.Spec.ResourceAttributes, r.Spec.NonResourceAttributes)
	return out, nil
}

func subjectOf(s *authorizationv1.SubjectAccessReviewSpec) *client.User {
	u := &client.User{Name: s.User, UID: s.UID, Groups: s.Groups, Extra: map[string][]string{}}
	for k, v := range s.Extra {
		u.Extra[k] = v
	}
	return u
}

func (a *Authorizer) review(ctx context.Context, u *client.User,
	res *authorizationv1.ResourceAttributes, path *authorizationv1.NonResourceAttributes,
) authorizationv1.SubjectAccessReviewStatus {
	at := Attributes{User: u}
	switch {
	case res != nil:
		at.ResourceRequest = true
		at.Verb, at.Namespace, at.Group, at.Version = res.Verb, res.Namespace, res.Group, res.Version
		at.Resource, at.Subresource, at.Name = res.Resource, res.Subresource, res.Name
		at.FieldSelector = selected(res.FieldSelector)
	case path != nil:
		at.Verb, at.Path = path.Verb, path.Path
	}
	allowed, reason, err := a.Authorize(ctx, at)
	s := authorizationv1.SubjectAccessReviewStatus{Allowed: allowed, Reason: reason}
	if err != nil {
		s.EvaluationError = err.Error()
	}
	return s
}

// selected returns the field selector of a review. What cannot be parsed restricts nothing, as
// upstream: the answer is then about all objects.
func selected(f *authorizationv1.FieldSelectorAttributes) fields.Requirements {
	if f == nil {
		return nil
	}
	if f.RawSelector != "" {
		s, err := fields.ParseSelector(f.RawSelector)
		if err != nil {
			return nil
		}
		return s.Requirements()
	}
	var out fields.Requirements
	for _, r := range f.Requirements {
		switch {
		case len(r.Values) != 1:
		case r.Operator == metav1.FieldSelectorOpIn:
			out = append(out, fields.Requirement{Field: r.Key, Operator: selection.Equals, Value: r.Values[0]})
		case r.Operator == metav1.FieldSelectorOpNotIn:
			out = append(out, fields.Requirement{Field: r.Key, Operator: selection.NotEquals, Value: r.Values[0]})
		}
	}
	return out
}

func (a *Authorizer) selfSubjectRules(_ context.Context, u *client.User, obj runtime.Object) (runtime.Object, error) {
	r, ok := obj.(*authorizationv1.SelfSubjectRulesReview)
	if !ok {
		return nil, unexpected(obj)
	}
	if r.Spec.Namespace == "" {
		return nil, apierrors.NewBadRequest("no namespace on request")
	}
	out := &authorizationv1.SelfSubjectRulesReview{}
	rules, err := a.Rules(u, r.Spec.Namespace)
	out.Status = splitRules(rules)
	if err != nil {
		out.Status.EvaluationError = err.Error()
	}
	out.Status.Incomplete = nodeName(u) != "" // what depends on pods cannot be listed
	return out, nil
}

func splitRules(rules []rbacv1.PolicyRule) authorizationv1.SubjectRulesReviewStatus {
	s := authorizationv1.SubjectRulesReviewStatus{
		ResourceRules: []authorizationv1.ResourceRule{}, NonResourceRules: []authorizationv1.NonResourceRule{},
	}
	for _, r := range rules {
		if len(r.Resources) > 0 {
			s.ResourceRules = append(s.ResourceRules, authorizationv1.ResourceRule{
				Verbs: r.Verbs, APIGroups: r.APIGroups, Resources: r.Resources, ResourceNames: r.ResourceNames,
			})
		}
		if len(r.NonResourceURLs) > 0 {
			s.NonResourceRules = append(s.NonResourceRules, authorizationv1.NonResourceRule{
				Verbs: r.Verbs, NonResourceURLs: r.NonResourceURLs,
			})
		}
	}
	return s
}

func unexpected(obj runtime.Object) error {
	return apierrors.NewBadRequest(fmt.Sprintf("unexpected object %T", obj))
}
