package authn

import (
	"context"
	"fmt"

	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"wheelhouse/cluster/apiserver/authz"
)

// Reviews returns the handlers of the reviews of authentication.k8s.io/v1.
func (a *Authenticator) Reviews() map[schema.GroupVersionResource]authz.Review {
	gv := authenticationv1.SchemeGroupVersion
	return map[schema.GroupVersionResource]authz.Review{
		gv.WithResource("tokenreviews"):       a.tokenReview,
		gv.WithResource("selfsubjectreviews"): selfSubjectReview,
	}
}

func (a *Authenticator) tokenReview(ctx context.Context, by *User, obj runtime.Object) (runtime.Object, error) {
	r, ok := obj.(*authenticationv1.TokenReview)
	if !ok {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("unexpected object %T", obj))
	}
	if r.Spec.Token == "" {
		return nil, apierrors.NewBadRequest("token is required for TokenReview in authentication")
	}
	out := r.DeepCopy()
	u, audiences, err := a.reviewed(ctx, by, r.Spec.Token, r.Spec.Audiences)
	out.Status = authenticationv1.TokenReviewStatus{}
	if apierrors.IsTooManyRequests(err) {
		return nil, err
	}
	if err != nil {
		out.Status.Error = err.Error()
		return out, nil //nolint:nilerr // it is the answer
	}
	out.Status = authenticationv1.TokenReviewStatus{Authenticated: true, User: UserInfo(withGroup(u, AllAuthenticated)), Audiences: audiences}
	return out, nil
}

func (a *Authenticator) reviewed(ctx context.Context, by *User, token string, audiences []string) (*User, []string, error) {
	if a.Tokens != nil && !isBootstrap(token) {
		u, matching, err := a.Tokens.Verify(ctx, token, audiences)
		if err == nil {
			return u, matching, nil
		}
		if len(audiences) > 0 {
			return nil, nil, err
		}
	}
	source := "review"
	if by != nil {
		source += " by " + by.Name
	}
	u, err := a.token(ctx, source, token)
	if a.Tokens != nil {
		audiences = a.Tokens.Audiences
	}
	return u, audiences, err
}

func selfSubjectReview(_ context.Context, u *User, obj runtime.Object) (runtime.Object, error) {
	r, ok := obj.(*authenticationv1.SelfSubjectReview)
	if !ok {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("unexpected object %T", obj))
	}
	out := r.DeepCopy()
	out.CreationTimestamp = metav1.Now()
	out.Status.UserInfo = UserInfo(u)
	return out, nil
}

// UserInfo returns a user as reviews and audit events have it.
func UserInfo(u *User) authenticationv1.UserInfo {
	i := authenticationv1.UserInfo{Username: u.Name, UID: u.UID, Groups: u.Groups}
	for k, v := range u.Extra {
		if i.Extra == nil {
			i.Extra = map[string]authenticationv1.ExtraValue{}
		}
		i.Extra[k] = v
	}
	return i
}
