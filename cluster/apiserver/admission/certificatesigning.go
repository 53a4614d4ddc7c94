package admission

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	certificatesv1 "k8s.io/api/certificates/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	"wheelhouse/cluster/apiserver/authz"
)

// CertificateSigning refuses certificates and conditions by users who may not sign for the
// signer, even if they may write the status.
type CertificateSigning struct{ signers }

// Validate implements Validator.
func (p *CertificateSigning) Validate(ctx context.Context, r *Request) error {
	csr, ok := r.Object.(*certificatesv1.CertificateSigningRequest)
	if !ok || r.Verb != Update || r.Subresource != "status" {
		return nil
	}
	old, ok := r.Old.(*certificatesv1.CertificateSigningRequest)
	if !ok {
		return r.forbidden("expected type CertificateSigningRequest, got: %T", r.Old)
	}
	if bytes.Equal(old.Status.Certificate, csr.Status.Certificate) && equality.Semantic.DeepEqual(old.Status.Conditions, csr.Status.Conditions) {
		return nil
	}
	may, err := p.maySign(ctx, r, "sign", old.Spec.SignerName)
	if err == nil && !may {
		err = r.forbidden("user not permitted to sign requests with signerName %q", old.Spec.SignerName)
	}
	return err
}

// signers authorizes verbs on signers.
type signers struct{ authorizer Authorizer }

// maySign reports whether r's user has a verb (approve, sign) on a signer, by its name or by
// its domain.
func (p signers) maySign(ctx context.Context, r *Request, verb, signer string) (bool, error) {
	domain, _, _ := strings.Cut(signer, "/")
	for _, name := range []string{signer, domain + "/*"} {
		allowed, _, err := p.authorizer.Authorize(ctx, authz.Attributes{
			User: r.User, Verb: verb, Group: certificatesv1.GroupName, Version: "*", Resource: "signers", Name: name, ResourceRequest: true,
		})
		if err != nil {
			return false, fmt.Errorf("authorizing %s on signer %s: %w", verb, name, err)
		}
		if allowed {
			return true, nil
		}
	}
	return false, nil
}
