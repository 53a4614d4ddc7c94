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
	block, _ := pem.Decode(ca)
	if block == nil {
		return "", errors.New("the cluster's authority is not PEM")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return "", fmt.Errorf("reading the cluster's authority: %w", err)
	}
	return PinOf(cert), nil
}

// PinOf returns the hash of an authority's public key, in the form of Pin.
func PinOf(cert *x509.Certificate) string {
	hash := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	return "sha256:" + hex.EncodeToString(hash[:])
}

// PinnedCA returns the certificate of server's authority ("https://10.245.1.2"), in PEM, if
// it matches pin and verifies the server's certificate.
func PinnedCA(ctx context.Context, server, pin string) ([]byte, error) {
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
		// The authority is not trusted yet; pinned verifies the certificate instead.
		InsecureSkipVerify: true,
		VerifyConnection: func(s tls.ConnectionState) (err error) {
			found, err = pinned(s, pin)
			return err
		},
	}}
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return nil, fmt.Errorf("getting the authority of %s: %w", server, err)
	}
	return found, conn.Close()
}

// pinned returns the pinned authority from the peer's certificates, if it signed the peer's.
func pinned(s tls.ConnectionState, pin string) ([]byte, error) {
	for _, ca := range s.PeerCertificates[1:] {
		if PinOf(ca) != pin {
			continue
		}
		roots := x509.NewCertPool()
		roots.AddCert(ca)
		if _, err := s.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots, DNSName: s.ServerName}); err != nil {
			return nil, err
		}
		return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Raw}), nil
	}
	return nil, errors.New("its authority is not the one that --ca-pin names: this is another cluster, or somebody in between")
}
