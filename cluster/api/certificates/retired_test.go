package certificates

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"testing"

	certificatesv1 "k8s.io/api/certificates/v1"
	certificatesv1beta1 "k8s.io/api/certificates/v1beta1"
)

func requestOf(t *testing.T, r x509.CertificateRequest) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &r, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
}

// A request of 2018 names no signer: it is chosen by what the certificate is for.
func TestSignerOfV1beta1(t *testing.T) {
	node := pkix.Name{CommonName: "system:node:a", Organization: []string{"system:nodes"}}
	const sign, encipher = certificatesv1beta1.UsageDigitalSignature, certificatesv1beta1.UsageKeyEncipherment
	const client, server = certificatesv1beta1.UsageClientAuth, certificatesv1beta1.UsageServerAuth
	for name, c := range map[string]struct {
		request x509.CertificateRequest
		usages  []certificatesv1beta1.KeyUsage
		want    string
	}{
		"user":               {x509.CertificateRequest{Subject: pkix.Name{CommonName: "john"}}, []certificatesv1beta1.KeyUsage{sign, encipher, client}, certificatesv1.KubeAPIServerClientSignerName},
		"node's client":      {x509.CertificateRequest{Subject: node}, []certificatesv1beta1.KeyUsage{client, sign}, certificatesv1.KubeAPIServerClientKubeletSignerName},
		"node's server":      {x509.CertificateRequest{Subject: node, DNSNames: []string{"a"}}, []certificatesv1beta1.KeyUsage{sign, encipher, server}, certificatesv1.KubeletServingSignerName},
		"server":             {x509.CertificateRequest{Subject: pkix.Name{CommonName: "my-svc"}, DNSNames: []string{"my-svc"}}, []certificatesv1beta1.KeyUsage{sign, encipher, server}, certificatesv1beta1.LegacyUnknownSignerName},
		"client and server":  {x509.CertificateRequest{Subject: pkix.Name{CommonName: "john"}}, []certificatesv1beta1.KeyUsage{sign, client, server}, certificatesv1beta1.LegacyUnknownSignerName},
		"no usages":          {x509.CertificateRequest{Subject: pkix.Name{CommonName: "john"}}, nil, certificatesv1beta1.LegacyUnknownSignerName},
		"a node with a name": {x509.CertificateRequest{Subject: node, DNSNames: []string{"a"}}, []certificatesv1beta1.KeyUsage{client, sign, "any"}, certificatesv1beta1.LegacyUnknownSignerName},
	} {
		t.Run(name, func(t *testing.T) {
			v := requestsV1beta1()
			r := &certificatesv1beta1.CertificateSigningRequest{Spec: certificatesv1beta1.CertificateSigningRequestSpec{Request: requestOf(t, c.request), Usages: c.usages}}
			r.Name = "a"
			r.Status.Conditions = []certificatesv1beta1.CertificateSigningRequestCondition{{Type: certificatesv1beta1.CertificateApproved}}
			v.Default(r)
			if *r.Spec.SignerName != c.want || len(r.Spec.Usages) == 0 || r.Status.Conditions[0].Status != "True" {
				t.Errorf("signer %s, usages %v, conditions %v, want %s", *r.Spec.SignerName, r.Spec.Usages, r.Status.Conditions, c.want)
			}
			stored := &certificatesv1.CertificateSigningRequest{ObjectMeta: r.ObjectMeta, Spec: certificatesv1.CertificateSigningRequestSpec{
				Request: r.Spec.Request, SignerName: *r.Spec.SignerName, Usages: []certificatesv1.KeyUsage{certificatesv1.UsageClientAuth},
			}}
			if errs := v.Validate(stored); len(errs) > 0 {
				t.Errorf("v1beta1: %v", errs)
			}
			legacy := c.want == certificatesv1beta1.LegacyUnknownSignerName
			if errs := CertificateSigningRequests.Validate(stored); len(errs) > 0 != legacy {
				t.Errorf("v1: %v", errs)
			}
		})
	}
}
