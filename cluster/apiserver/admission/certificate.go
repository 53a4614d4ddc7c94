package admission

import (
	"context"
	"fmt"

	certificatesv1 "k8s.io/api/certificates/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"wheelhouse/cluster/client"
)

// Signer signs the certificate requests of nodes; pki.Signer is one.
type Signer interface {
	Sign(ctx context.Context, u *client.User, request runtime.Object) (runtime.Object, error)
}

// certificate writes into a certificate request who makes it, and has a node's
// signed at once: the answer to the create has the certificate. Requests for
// other signers wait for somebody to approve and sign them.
func (c *Chain) certificate(ctx context.Context, r *Request) error {
	csr, ok := r.Object.(*certificatesv1.CertificateSigningRequest)
	if !ok || r.Verb != Create || r.Subresource != "" || r.User == nil {
		return nil
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
