package ingress

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// certificates are those of hosts.
type certificates struct {
	hosts, wildcards map[string]*tls.Certificate // as those of Table
}

func newCertificates() certificates {
	return certificates{hosts: map[string]*tls.Certificate{}, wildcards: map[string]*tls.Certificate{}}
}

// add sets the certificate of a host or a wildcard, unless it has one.
func (c certificates) add(name string, cert *tls.Certificate) {
	in, key := c.hosts, strings.ToLower(name)
	if suffix, ok := strings.CutPrefix(key, "*"); ok {
		in, key = c.wildcards, suffix
	}
	if in[key] == nil {
		in[key] = cert
	}
}

// find returns the certificate for the name that a client asks for, nil if there is none.
func (c certificates) find(serverName string) *tls.Certificate {
	name := hostOf(serverName)
	if cert := c.hosts[name]; cert != nil {
		return cert
	}
	if dot := strings.IndexByte(name, '.'); dot > 0 {
		return c.wildcards[name[dot:]]
	}
	return nil
}

// covers reports whether a certificate is for a host, which may be a wildcard.
func covers(c *tls.Certificate, name string) bool {
	if strings.HasPrefix(name, "*") {
		return slices.ContainsFunc(c.Leaf.DNSNames, func(n string) bool { return strings.EqualFold(n, name) })
	}
	return c.Leaf.VerifyHostname(name) == nil
}

// certCache has the certificates of Secrets, so that a change of an endpoint parses none.
type certCache struct {
	last, next map[certKey]certEntry
}

type certKey struct {
	uid     types.UID
	version string
}

type certEntry struct {
	cert *tls.Certificate
	err  error
}

// begin starts a round: what the last round did not use is dropped at the next one.
func (c *certCache) begin() {
	c.last, c.next = c.next, map[certKey]certEntry{}
}

// parse returns the certificate in a Secret.
func (c *certCache) parse(s *corev1.Secret) (*tls.Certificate, error) {
	if c == nil {
		return parseCertificate(s)
	}
	key := certKey{s.UID, s.ResourceVersion}
	e, ok := c.next[key]
	if !ok {
		if e, ok = c.last[key]; !ok {
			e.cert, e.err = parseCertificate(s)
		}
		c.next[key] = e
	}
	return e.cert, e.err
}

// parseCertificate never returns an error with data of the Secret in it.
func parseCertificate(s *corev1.Secret) (*tls.Certificate, error) {
	if s.Type != corev1.SecretTypeTLS {
		return nil, fmt.Errorf("its type is %s, want %s", s.Type, corev1.SecretTypeTLS)
	}
	cert, err := tls.X509KeyPair(s.Data[corev1.TLSCertKey], s.Data[corev1.TLSPrivateKeyKey])
	if err != nil {
		return nil, fmt.Errorf("%s and %s are no certificate and key: %w", corev1.TLSCertKey, corev1.TLSPrivateKeyKey, err)
	}
	return &cert, nil
}

// selfSigned returns a certificate for clients that ask for a host without one: they see that it is none.
func selfSigned() (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	const day = 24 * time.Hour
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "Wheelhouse Ingress default certificate"},
		DNSNames:  []string{"ingress.wheelhouse.invalid"},
		NotBefore: time.Now().Add(-day), NotAfter: time.Now().Add(3650 * day),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, err
}
