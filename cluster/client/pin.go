package client

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"
)

// Pin returns the hash of an authority's public key (from its certificate in PEM) for a join
// command, in kubeadm's form "sha256:HEX".
func Pin(ca []byte) (string, error) {
	cert, err := ParseCA(ca)
	if err != nil {
		return "", err
	}
	return PinOf(cert), nil
}

// ParseCA reads an authority's certificate in PEM.
func ParseCA(ca []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(ca)
	if block == nil {
		return nil, errors.New("the cluster's authority is not PEM")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("reading the cluster's authority: %w", err)
	}
	return cert, nil
}

// PinOf returns the hash of an authority's public key, in the form of Pin.
func PinOf(cert *x509.Certificate) string {
	hash := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	return "sha256:" + hex.EncodeToString(hash[:])
}

// PinnedCA returns the certificate of server's authority ("https://10.245.1.2"), in PEM, if
// it matches pin and verifies the server's certificate.
func PinnedCA(ctx context.Context, server, pin string) ([]byte, error) {
	return KnownCA(ctx, server, func(chain []*x509.Certificate) (*x509.Certificate, error) {
		for _, ca := range chain[1:] {
			if PinOf(ca) == pin {
				return ca, nil
			}
		}
		return nil, errors.New("its authority is not the one that --ca-pin names: this is another cluster, or somebody in between")
	})
}

// KnownCA returns the certificate of server's authority, in PEM, if authority returns it from the
// chain that the server presents, and it verifies the server's certificate.
func KnownCA(ctx context.Context, server string, authority func(chain []*x509.Certificate) (*x509.Certificate, error)) ([]byte, error) {
	u, err := url.Parse(server)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" {
		return nil, fmt.Errorf("%q is no server: want a URL such as https://10.245.1.2", server)
	}
	port := u.Port()
	if port == "" {
		port = "443"
	}
	var found []byte
	dialer := tls.Dialer{NetDialer: &net.Dialer{Timeout: 10 * time.Second}, Config: &tls.Config{
		MinVersion: tls.VersionTLS12, ServerName: u.Hostname(),
		// The authority is not trusted yet; VerifyConnection verifies the certificate instead.
		InsecureSkipVerify: true,
		VerifyConnection: func(s tls.ConnectionState) error {
			ca, err := authority(s.PeerCertificates)
			if err != nil {
				return err
			}
			roots := x509.NewCertPool()
			roots.AddCert(ca)
			found = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Raw})
			_, err = s.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots, DNSName: s.ServerName})
			return err
		},
	}}
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return nil, fmt.Errorf("getting the authority of %s: %w", server, err)
	}
	return found, conn.Close()
}
