package apiserver

import (
	"net/http"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"

	"wheelhouse/cluster/apiserver/admission"
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
	item, err := r.res.collection.Get(r.Context(), r.Namespace, r.Name, "")
	if err != nil {
		return err
	}
	var a admitting
	if err := a.begin(r.Context(), r, admission.Create, wanted, nil, o.dryRun); err != nil {
		return err
	}
	defer func() { a.end(r.Context(), err) }()
	token, err := r.s.ServiceAccountToken(r.Context(), r.user, item.Object().(*corev1.ServiceAccount), wanted)
	if err != nil {
		return err
	}
	return r.writeObject(http.StatusCreated, token, gvk)
}
