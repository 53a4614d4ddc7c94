package admission

import (
	"context"
	"fmt"
	"strings"

	certificatesv1 "k8s.io/api/certificates/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"wheelhouse/cluster/apiserver/authz"
	"wheelhouse/cluster/apiserver/pki"
	"wheelhouse/cluster/client"
)

// Signer signs certificate requests; pki.Signer is one.
type Signer interface {
	Sign(ctx context.Context, u *client.User, request runtime.Object) (runtime.Object, error)
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
	switch csr.Spec.SignerName {
	case certificatesv1.KubeAPIServerClientKubeletSignerName, certificatesv1.KubeletServingSignerName:
	default:
		return nil
	}
	if c.signer == nil {
		return nil
	}
	signed, err := c.signer.Sign(ctx, r.User, csr)
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
	domain, _, _ := strings.Cut(csr.Spec.SignerName, "/")
	for _, name := range []string{csr.Spec.SignerName, domain + "/*"} {
		allowed, _, err := c.authorizer.Authorize(ctx, authz.Attributes{
			User: r.User, Verb: "approve", Group: certificatesv1.GroupName, Version: "*", Resource: "signers", Name: name, ResourceRequest: true,
		})
		if err != nil {
			return err
		}
		if allowed {
			if c.signer == nil {
				return nil
			}
			return c.signer.Issue(csr)
		}
	}
	return r.forbidden("user not permitted to approve requests with signerName %q", csr.Spec.SignerName)
}
