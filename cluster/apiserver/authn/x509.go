package authn

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"wheelhouse/cluster/apiserver/flowcontrol"
	"wheelhouse/cluster/apiserver/pki"
)

// certificate returns the user that r's client certificate names: the common name,
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
		if err := a.verified(r); err != nil {
			return nil, err
		}
	}
	switch {
	case leaf.Subject.CommonName == "":
		return nil, errors.New("a certificate without a common name")
	case leaf.Subject.CommonName == pki.KubeletClient || slices.Contains(leaf.Subject.Organization, pki.KubeletClients):
		return nil, fmt.Errorf("the certificate of %s is for kubelets only", leaf.Subject)
	case a.Revoked != nil && a.Revoked(r.Context(), leaf): // asked with each request: the connection may be older
		return nil, fmt.Errorf("the certificate of %s with serial number %x has been revoked", leaf.Subject, leaf.SerialNumber)
	}
	sum := sha256.Sum256(leaf.Raw)
	return &User{
		Name: leaf.Subject.CommonName, Groups: leaf.Subject.Organization,
		Extra: map[string][]string{extraCredentialID: {"X509SHA256=" + hex.EncodeToString(sum[:])}},
	}, nil
}

// verified caches the valid certificates: each request of a connection has the same one, and
// a signature costs more than all the rest. Their expiry is checked every time.
func (a *Authenticator) verified(r *http.Request) error {
	chain := r.TLS.PeerCertificates
	sum := sha256.Sum256(chain[0].Raw)
	a.mu.Lock()
	known := a.good[sum]
	a.mu.Unlock()
	if known {
		return nil
	}
	done, err := a.acquireVerification(r.Context(), flowcontrol.SourceOf(r.RemoteAddr))
	if err != nil {
		return err
	}
	defer done()
	if err := a.verify(chain); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.good) >= maxCertificates {
		clear(a.good)
	}
	a.good[sum] = true
	return nil
}

// maxCertificates bounds the cache.
const maxCertificates = 4096

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
