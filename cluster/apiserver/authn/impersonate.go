package authn

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/validation"

	"wheelhouse/cluster/apiserver/authz"
	"wheelhouse/cluster/apiserver/requestinfo"
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
	actual, err := a.tryModes(r.Context(), as, requestAttributes(r, u))
	if err != nil {
		return u, err
	}
	actual.Impersonator = u
	for h := range r.Header {
		if strings.HasPrefix(h, "Impersonate-") {
			r.Header.Del(h)
		}
	}
	return actual, nil
}

// requestAttributes describes what u asks for, whoever it is that may.
func requestAttributes(r *http.Request, u *User) authz.Attributes {
	info := requestinfo.Parse(r)
	at := info.Attributes(u, info.Verb)
	at.FieldSelector = info.FieldSelector(r.URL)
	return at
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

// serviceAccount splits the user name of a service account.
func serviceAccount(user string) (namespace, name string, ok bool) {
	rest, ok := strings.CutPrefix(user, ServiceAccountPrefix)
	if !ok {
		return "", "", false
	}
	namespace, name, ok = strings.Cut(rest, ":")
	return namespace, name, ok && len(validation.ValidateNamespaceName(namespace, false)) == 0 && len(validation.ValidateServiceAccountName(name, false)) == 0
}

func serviceAccountGroups(namespace string) []string {
	return []string{AllServiceAccounts, AllServiceAccounts + ":" + namespace}
}
