package admission

import (
	"context"
	"fmt"

	certificatesv1 "k8s.io/api/certificates/v1"
	"k8s.io/apimachinery/pkg/runtime"

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

// CertificateApproval authorizes approvals by their signer, as upstream's CertificateApproval,
// and refuses subjects as CertificateSubjectRestriction. It sets the user of a request, and
// has the cluster's own signer sign: requests of nodes with their creation, those of clients
// with their approval. Requests for other signers wait for those.
type CertificateApproval struct {
	signers
	signer Signer // nil: there is none
}

// Admit implements Mutator.
func (p *CertificateApproval) Admit(ctx context.Context, r *Request) error {
	csr, ok := r.Object.(*certificatesv1.CertificateSigningRequest)
	switch {
	case !ok || r.User == nil:
		return nil
	case r.Verb == Update && r.Subresource == "approval":
		return p.approval(ctx, r, csr)
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
	if p.signer == nil || !p.signer.Signs(r.User, csr) {
		return nil
	}
	signed, err := p.signer.Sign(ctx, r.User, csr, r.DryRun)
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

// approval refuses users who may not approve for the signer, and signs.
func (p *CertificateApproval) approval(ctx context.Context, r *Request, csr *certificatesv1.CertificateSigningRequest) error {
	may, err := p.maySign(ctx, r, "approve", csr.Spec.SignerName)
	switch {
	case err != nil:
		return err
	case !may:
		return r.forbidden("user not permitted to approve requests with signerName %q", csr.Spec.SignerName)
	case p.signer == nil || r.DryRun:
		return nil
	}
	return p.signer.Issue(csr)
}
