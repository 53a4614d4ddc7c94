package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"slices"
	"strings"
	"testing"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
)

func clientRequest(t *testing.T, signer string, groups ...string) *certificatesv1.CertificateSigningRequest {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "ann", Organization: groups}}, key)
	if err != nil {
		t.Fatal(err)
	}
	csr := &certificatesv1.CertificateSigningRequest{Spec: certificatesv1.CertificateSigningRequestSpec{
		SignerName: signer, Request: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}),
		Usages: []certificatesv1.KeyUsage{certificatesv1.UsageClientAuth},
	}}
	csr.Status.Conditions = []certificatesv1.CertificateSigningRequestCondition{{Type: certificatesv1.CertificateApproved, Status: corev1.ConditionTrue}}
	return csr
}

func TestIssue(t *testing.T) {
	s := &Signer{Authority: mustOpen(t, t.TempDir())}
	hour := int32(3600)
	csr := clientRequest(t, certificatesv1.KubeAPIServerClientSignerName, "dev")
	csr.Spec.ExpirationSeconds = &hour
	if err := s.Issue(csr); err != nil {
		t.Fatal(err)
	}
	cert, err := decodeCert(csr.Status.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	if cert.Subject.CommonName != "ann" || !slices.Equal(cert.Subject.Organization, []string{"dev"}) ||
		!slices.Equal(cert.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}) || cert.NotAfter.Sub(cert.NotBefore) > time.Hour+5*time.Minute {
		t.Errorf("certificate of %v for %v until %v", cert.Subject, cert.ExtKeyUsage, cert.NotAfter)
	}

	asked := clientRequest(t, certificatesv1.KubeAPIServerClientSignerName)
	asked.Spec.Usages = append(asked.Spec.Usages, certificatesv1.UsageServerAuth)
	if err := s.Issue(asked); err != nil || !hasCondition(asked, certificatesv1.CertificateFailed) || len(asked.Status.Certificate) > 0 {
		t.Errorf("to serve: %v, %+v", err, asked.Status)
	}
	waiting := clientRequest(t, certificatesv1.KubeAPIServerClientSignerName)
	waiting.Status.Conditions = nil
	foreign := clientRequest(t, "example.com/mine")
	for _, csr := range []*certificatesv1.CertificateSigningRequest{waiting, foreign} {
		if err := s.Issue(csr); err != nil || len(csr.Status.Certificate) > 0 {
			t.Errorf("%s, conditions %v: signed (%v)", csr.Spec.SignerName, csr.Status.Conditions, err)
		}
	}
}

func TestRestricted(t *testing.T) {
	err := Restricted(clientRequest(t, certificatesv1.KubeAPIServerClientSignerName, Admins))
	if err == nil || !strings.Contains(err.Error(), "is not allowed") {
		t.Errorf("a certificate of the administrators: %v", err)
	}
	if err := Restricted(clientRequest(t, certificatesv1.KubeAPIServerClientSignerName, "dev")); err != nil {
		t.Error(err)
	}
}
