package client

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"net"

	certificatesv1 "k8s.io/api/certificates/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// Pair is a certificate with its key, PEM and parsed.
type Pair struct {
	Cert, Key []byte
	TLS       *tls.Certificate
}

func newPair(cert, key []byte) (*Pair, error) {
	c, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("reading a certificate: %w", err)
	}
	return &Pair{Cert: cert, Key: key, TLS: &c}, nil
}

// certificateRequest describes a certificate that its signer issues with the approval.
type certificateRequest struct {
	name   string // of the request, a prefix
	signer string
	user   string
	group  string
	usage  certificatesv1.KeyUsage
	dns    []string
	ips    []net.IP
}

// NodeServingCertificate requests the certificate of a node's HTTPS server (signer
// kubernetes.io/kubelet-serving). c must have the node's identity.
func NodeServingCertificate(ctx context.Context, c kubernetes.Interface, node string, addresses ...net.IP) (*Pair, error) {
	return certify(ctx, c, certificateRequest{
		name: "kubelet-serving-", signer: certificatesv1.KubeletServingSignerName, user: NodePrefix + node, group: Nodes,
		usage: certificatesv1.UsageServerAuth, dns: []string{node}, ips: addresses,
	})
}

// nodeCertificate requests a kubelet's client certificate; c has the node's identity or a
// join token.
func nodeCertificate(ctx context.Context, c kubernetes.Interface, node string) (*Pair, error) {
	return certify(ctx, c, certificateRequest{
		name: "node-csr-", signer: certificatesv1.KubeAPIServerClientKubeletSignerName, user: NodePrefix + node, group: Nodes,
		usage: certificatesv1.UsageClientAuth,
	})
}

// proxierCertificate requests the client certificate of the node's proxy and routes; c has
// the node's identity.
func proxierCertificate(ctx context.Context, c kubernetes.Interface, node string) (*Pair, error) {
	return certify(ctx, c, certificateRequest{
		name: "node-proxier-", signer: certificatesv1.KubeAPIServerClientSignerName, user: ProxierPrefix + node, group: Proxiers,
		usage: certificatesv1.UsageClientAuth,
	})
}

// certify requests a certificate for a new key, which is never sent.
func certify(ctx context.Context, c kubernetes.Interface, r certificateRequest) (*Pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making a key: %w", err)
	}
	private, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encoding a key: %w", err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: r.user, Organization: []string{r.group}}, DNSNames: r.dns, IPAddresses: r.ips,
	}, key)
	if err != nil {
		return nil, fmt.Errorf("making a certificate request: %w", err)
	}
	answer, err := c.CertificatesV1().CertificateSigningRequests().Create(ctx, &certificatesv1.CertificateSigningRequest{
		ObjectMeta: metav1.ObjectMeta{GenerateName: r.name},
		Spec: certificatesv1.CertificateSigningRequestSpec{
			Request:    pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}),
			SignerName: r.signer, Usages: []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, r.usage},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		return nil, fmt.Errorf("requesting a certificate of %s: %w", r.user, err)
	}
	if len(answer.Status.Certificate) == 0 {
		return nil, errors.New("the cluster did not sign the certificate of " + r.user)
	}
	return newPair(answer.Status.Certificate, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: private}))
}
