package apiserver

import (
	"net/http"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"wheelhouse/cluster/apiserver/admission"
	"wheelhouse/cluster/apiserver/apistatus"
)

// createToken answers POST serviceaccounts/NAME/token.
func (r *request) createToken() (err error) {
	o, err := createOptions(r.Request)
	if err != nil {
		return err
	}
	wanted := &authenticationv1.TokenRequest{}
	gvk := authenticationv1.SchemeGroupVersion.WithKind("TokenRequest")
	if err := r.decode(wanted, gvk, o.validation); err != nil {
		return err
	}
	if err := r.checkTokenRequest(wanted); err != nil {
		return err
	}
	item, err := r.res.collection.Get(r.Context(), r.Namespace, r.Name, "")
	if err != nil {
		return err
	}
	var a admitting
	if err := a.begin(r.Context(), r.exchange, admission.Create, wanted, nil, o.options); err != nil {
		return err
	}
	defer func() { a.end(r.Context(), err) }()
	token, err := r.s.ServiceAccountToken(r.Context(), r.user, item.Object().(*corev1.ServiceAccount), wanted)
	if err != nil {
		return err
	}
	return r.writeObject(http.StatusCreated, token, gvk)
}

// checkTokenRequest refuses a request for the token of another account than the path's.
func (r *request) checkTokenRequest(t *authenticationv1.TokenRequest) error {
	var errs field.ErrorList
	meta := field.NewPath("metadata")
	switch {
	case t.Name != "" && t.Name != r.Name:
		errs = append(errs, field.Invalid(meta.Child("name"), t.Name, "must match the service account name if specified"))
	case t.Namespace != "" && t.Namespace != r.Namespace:
		errs = append(errs, field.Invalid(meta.Child("namespace"), t.Namespace, "must match the service account namespace if specified"))
	}
	t.Name, t.Namespace = r.Name, r.Namespace
	return apistatus.Invalid(authenticationv1.SchemeGroupVersion.WithKind("TokenRequest").GroupKind(), r.Name, errs)
}
