package authn

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
)

// certificate is the user that r's client certificate names: the common name,
// with the organizations as groups.
func (a *Authenticator) certificate(r *http.Request) (*User, error) {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return nil, nil
	}
	leaf := r.TLS.PeerCertificates[0]
	if now := a.now(); now.After(leaf.NotAfter) { // a connection may outlive its certificate
		return nil, fmt.Errorf("the certificate of %s expired at %s", leaf.Subject, leaf.NotAfter)
	}
	if len(r.TLS.VerifiedChains) == 0 {
		if err := a.verify(r.TLS.PeerCertificates); err != nil {
			return nil, err
		}
	}
	if leaf.Subject.CommonName == "" {
		return nil, errors.New("a certificate without a common name")
	}
	return &User{Name: leaf.Subject.CommonName, Groups: leaf.Subject.Organization}, nil
}

func (a *Authenticator) verify(chain []*x509.Certificate) error {
	if a.ClientCAs == nil {
		return errors.New("no authority for client certificates")
	}
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	_, err := chain[0].Verify(x509.VerifyOptions{
		Roots: a.ClientCAs, Intermediates: between, CurrentTime: a.now(),
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return fmt.Errorf("verifying the certificate of %s: %w", chain[0].Subject, err)
	}
	return nil
}
