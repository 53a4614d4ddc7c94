package authn

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"wheelhouse/cluster/apiserver/authz"
)

// impersonate returns the user whom u impersonates by the headers of r, if u may; u itself
// without such headers. With an error it is u, who is authenticated all the same.
func (a *Authenticator) impersonate(r *http.Request, u *User) (*User, error) {
	as := wanted(r.Header)
	if as == nil {
		return u, nil
	}
	if as.Name == "" {
		return u, apierrors.NewBadRequest(fmt.Sprintf("requested %v without impersonating a user", headersOf(as)))
	}
	for _, at := range impersonations(as) {
		at.User = u
		if err := a.mayImpersonate(r, at); err != nil {
			return u, err
		}
	}
	as.Impersonator = u
	for h := range r.Header {
		if strings.HasPrefix(h, "Impersonate-") {
			r.Header.Del(h)
		}
	}
	if len(as.Groups) == 0 {
		if ns, _, ok := serviceAccount(as.Name); ok {
			as.Groups = serviceAccountGroups(ns)
		}
	}
	if as.Name == Anonymous {
		return withGroup(as, AllUnauthenticated), nil
	}
	if slices.Contains(as.Groups, AllUnauthenticated) {
		return as, nil
	}
	return withGroup(as, AllAuthenticated), nil
}

func wanted(h http.Header) *User {
	as := &User{
		Name:   h.Get(authenticationv1.ImpersonateUserHeader),
		UID:    h.Get(authenticationv1.ImpersonateUIDHeader),
		Groups: slices.Clone(h.Values(authenticationv1.ImpersonateGroupHeader)),
		Extra:  map[string][]string{},
	}
	for k, v := range h {
		if key, ok := strings.CutPrefix(k, authenticationv1.ImpersonateUserExtraHeaderPrefix); ok {
			key = strings.ToLower(key)
			if plain, err := url.PathUnescape(key); err == nil {
				key = plain
			}
			as.Extra[key] = slices.Clone(v)
		}
	}
	if as.Name == "" && as.UID == "" && len(as.Groups) == 0 && len(as.Extra) == 0 {
		return nil
	}
	return as
}

func headersOf(as *User) []string {
	var out []string
	for _, g := range as.Groups {
		out = append(out, "groups/"+g)
	}
	for k := range as.Extra {
		out = append(out, "userextras/"+k)
	}
	if as.UID != "" {
		out = append(out, "uids/"+as.UID)
	}
	slices.Sort(out)
	return out
}

// impersonations returns what a user must be authorized for to impersonate as.
func impersonations(as *User) []authz.Attributes {
	const group = "authentication.k8s.io"
	var out []authz.Attributes
	add := func(at authz.Attributes) {
		at.Verb, at.ResourceRequest = "impersonate", true
		if at.Version == "" {
			at.Version = "v1"
		}
		out = append(out, at)
	}
	if ns, name, ok := serviceAccount(as.Name); ok {
		add(authz.Attributes{Resource: "serviceaccounts", Namespace: ns, Name: name})
	} else {
		add(authz.Attributes{Resource: "users", Name: as.Name})
	}
	for _, g := range as.Groups {
		add(authz.Attributes{Resource: "groups", Name: g})
	}
	for key, values := range as.Extra {
		for _, v := range values {
			add(authz.Attributes{Group: group, Resource: "userextras", Subresource: key, Name: v})
		}
	}
	if as.UID != "" {
		add(authz.Attributes{Group: group, Resource: "uids", Name: as.UID})
	}
	return out
}

func (a *Authenticator) mayImpersonate(r *http.Request, at authz.Attributes) error {
	reason := ""
	if a.Authorizer != nil {
		allowed, why, err := a.Authorizer.Authorize(r.Context(), at)
		if err != nil {
			return apierrors.NewInternalError(fmt.Errorf("authorizing the impersonation: %w", err))
		}
		if allowed {
			return nil
		}
		reason = why
	}
	message := fmt.Sprintf("User %q cannot impersonate resource %q in API group %q", at.User.Name, at.Resource, at.Group)
	if at.Namespace != "" {
		message += fmt.Sprintf(" in the namespace %q", at.Namespace)
	} else {
		message += " at the cluster scope"
	}
	if reason != "" {
		message += ": " + reason
	}
	return apierrors.NewForbidden(schema.GroupResource{Group: at.Group, Resource: at.Resource}, at.Name, errors.New(message))
}

// serviceAccount splits the user name of a service account.
func serviceAccount(user string) (namespace, name string, ok bool) {
	rest, ok := strings.CutPrefix(user, ServiceAccountPrefix)
	if !ok {
		return "", "", false
	}
	namespace, name, ok = strings.Cut(rest, ":")
	return namespace, name, ok && namespace != "" && name != "" && !strings.Contains(name, ":")
}

func serviceAccountGroups(namespace string) []string {
	return []string{AllServiceAccounts, AllServiceAccounts + ":" + namespace}
}
