package admission

import (
	"context"
	"slices"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"

	"wheelhouse/cluster/apiserver/authz"
)

// ServiceAccountNodeAudienceRestriction restricts a node to the audiences for which its pods
// have tokens in their volumes, and those that it is authorized for. It follows
// NodeRestriction: the token is for a pod of the node.
type ServiceAccountNodeAudienceRestriction struct {
	objects    authz.Objects
	authorizer Authorizer
}

// Admit implements Mutator.
func (p *ServiceAccountNodeAudienceRestriction) Admit(ctx context.Context, r *Request) error {
	t, ok := r.Object.(*authenticationv1.TokenRequest)
	if !ok || !r.is("serviceaccounts", "token") || !r.User.InGroup("system:nodes") || t.Spec.BoundObjectRef == nil {
		return nil
	}
	audience := ""
	switch len(t.Spec.Audiences) {
	case 0:
	case 1:
		audience = t.Spec.Audiences[0]
	default:
		return r.forbidden("node may only request 0 or 1 audiences")
	}
	pod, err := get[*corev1.Pod](ctx, p.objects, podsResource, r.Namespace, t.Spec.BoundObjectRef.Name, true)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(pod.Spec.Volumes, func(v corev1.Volume) bool { return hasToken(&v, audience) }) {
		return nil
	}
	allowed, _, err := p.authorizer.Authorize(ctx, authz.Attributes{
		User: r.User, Verb: "request-serviceaccounts-token-audience", Namespace: r.Namespace, Version: "v1",
		Resource: audience, Name: r.Name, ResourceRequest: true,
	})
	if err != nil {
		return err
	}
	if !allowed {
		return r.forbidden("audience %q not found in pod spec volume, %s is not authorized to request tokens for this audience", audience, r.User.Name)
	}
	return nil
}

// hasToken reports whether the volume holds a token for the audience; "" is the API server's
// own.
func hasToken(v *corev1.Volume, audience string) bool {
	return v.Projected != nil && slices.ContainsFunc(v.Projected.Sources, func(s corev1.VolumeProjection) bool {
		return s.ServiceAccountToken != nil && s.ServiceAccountToken.Audience == audience
	})
}
