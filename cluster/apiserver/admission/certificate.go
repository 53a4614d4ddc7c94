package admission

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	certificatesv1 "k8s.io/api/certificates/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/runtime"

	"wheelhouse/cluster/apiserver/authz"
	"wheelhouse/cluster/apiserver/pki"
	"wheelhouse/cluster/client"
)

// Signer signs certificate requests; pki.Signer is one.
type Signer interface {
	// Signs reports whether Sign answers a request of u.
	Signs(u *client.User, csr *certificatesv1.CertificateSigningRequest) bool
	Sign(ctx context.Context, u *client.User, request runtime.Object, dryRun bool) (runtime.Object, error)
	// Issue gives an approved request its certificate, if it is one of its own.
	Issue(csr *certificatesv1.CertificateSigningRequest) error
}

// certificate writes into a certificate request who makes it, and has a node's
// signed at once: the answer to the create has the certificate. A client's is signed
// with its approval. Requests for other signers wait for those.
func (c *Chain) certificate(ctx context.Context, r *Request) error {
	csr, ok := r.Object.(*certificatesv1.CertificateSigningRequest)
	switch {
	case !ok || r.User == nil:
		return nil
	case r.Verb == Update && r.Subresource == "approval":
		return c.approval(ctx, r, csr)
	case r.Verb != Create || r.Subresource != "":
		return nil
	}
	if err := pki.Restricted(csr); err != nil {
		return r.forbidden("%w", err)
	}
	csr.Spec.Username, csr.Spec.UID, csr.Spec.Groups, csr.Spec.Extra = r.User.Name, r.User.UID, r.User.Groups, nil
	for k, v := range r.User.Extra {
		if csr.Spec.Extra == nil {
			csr.Spec.Extra = map[string]certificatesv1.ExtraValue{}
		}
		csr.Spec.Extra[k] = v
	}
	if c.signer == nil || !c.signer.Signs(r.User, csr) {
		return nil
	}
	signed, err := c.signer.Sign(ctx, r.User, csr, r.DryRun)
	if err != nil {
		return err
	}
	out, ok := signed.(*certificatesv1.CertificateSigningRequest)
	if !ok {
		return fmt.Errorf("the signer answered with a %T", signed)
	}
	csr.Status = out.Status
	return nil
}

// approval asks whether the user may approve for this signer, and signs.
func (c *Chain) approval(ctx context.Context, r *Request, csr *certificatesv1.CertificateSigningRequest) error {
	may, err := c.maySign(ctx, r, "approve", csr.Spec.SignerName)
	switch {
	case err != nil:
		return err
	case !may:
		return r.forbidden("user not permitted to approve requests with signerName %q", csr.Spec.SignerName)
	case c.signer == nil || r.DryRun:
		return nil
	}
	return c.signer.Issue(csr)
}

// signing: a certificate, and what a signer says of a request, is the signer's to write,
// whoever may write to the status; as upstream's plugin CertificateSigning.
func (c *Chain) signing(ctx context.Context, r *Request) error {
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
	may, err := c.maySign(ctx, r, "sign", old.Spec.SignerName)
	if err == nil && !may {
		err = r.forbidden("user not permitted to sign requests with signerName %q", old.Spec.SignerName)
	}
	return err
}

// maySign reports whether r's user has a verb (approve, sign) on a signer, by its name or
// as one of its domain's.
func (c *Chain) maySign(ctx context.Context, r *Request, verb, signer string) (bool, error) {
	domain, _, _ := strings.Cut(signer, "/")
	for _, name := range []string{signer, domain + "/*"} {
		allowed, _, err := c.authorizer.Authorize(ctx, authz.Attributes{
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
