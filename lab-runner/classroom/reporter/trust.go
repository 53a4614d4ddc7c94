package reporter

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Address returns the address of a class as requests begin with it. It is HTTPS: a token would be read on the way else.
func Address(text string) (string, error) {
	if !strings.Contains(text, "://") {
		text = "https://" + text
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.User != nil:
		return "", fmt.Errorf("%.100q is not the address of a class: it is like https://192.0.2.7:8443/", text)
	case u.Scheme != "https":
		return "", errors.New("a class is joined over HTTPS: without it others on the way could read the session; the instructor starts the class without --plain-http")
	}
	return "https://" + u.Host + strings.TrimSuffix(u.EscapedPath(), "/") + "/", nil
}

// ParsePin returns the SHA-256 fingerprint of "sha256:..." in hexadecimal digits, with or without colons between them. It
// also takes "SHA-256 ...", as the class prints it.
func ParsePin(text string) ([sha256.Size]byte, error) {
	var pin [sha256.Size]byte
	digits, ok := strings.CutPrefix(strings.Replace(strings.ToLower(strings.TrimSpace(text)), "sha-256 ", "sha256:", 1), "sha256:")
	b, err := hex.DecodeString(strings.ReplaceAll(digits, ":", ""))
	if !ok || err != nil || len(b) != len(pin) {
		return pin, errors.New("a pin is sha256: and the 64 hexadecimal digits that `wheelhouse classroom serve` prints as the authority")
	}
	copy(pin[:], b)
	return pin, nil
}

// Fingerprint returns the fingerprint of a certificate, as the class and browsers show it.
func Fingerprint(c *x509.Certificate) string {
	return strings.ReplaceAll(fmt.Sprintf("% X", sha256.Sum256(c.Raw)), " ", ":")
}

// PEM returns the text of a certificate.
func PEM(c *x509.Certificate) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
}

// Offered returns the certificates that the class says may be trusted: first its authority, then those of the connection.
// Nothing of it counts until a fingerprint was compared. Nothing secret is sent.
func Offered(ctx context.Context, address string) ([]*x509.Certificate, error) {
	c := newClient(&tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: true}) //nolint:gosec // what comes is compared with a fingerprint
	defer c.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address+"trust/ca.crt", nil)
	if err != nil {
		return nil, err
	}
	res, err := c.Do(r)
	if err != nil {
		return nil, unreached(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(res.Body, answerMost))
	if err != nil {
		return nil, unreached(err)
	}
	var found []*x509.Certificate
	if block, _ := pem.Decode(text); block != nil && res.StatusCode == http.StatusOK {
		if authority, err := x509.ParseCertificate(block.Bytes); err == nil {
			found = append(found, authority)
		}
	}
	if res.TLS != nil { // the last of a chain is the nearest to its authority
		for i := len(res.TLS.PeerCertificates) - 1; i >= 0; i-- {
			found = append(found, res.TLS.PeerCertificates[i])
		}
	}
	if len(found) == 0 {
		return nil, errors.New("the class has shown no certificate")
	}
	return found, nil
}

// Pinned returns the certificate of the pin.
func Pinned(offered []*x509.Certificate, pin [sha256.Size]byte) (*x509.Certificate, error) {
	for _, c := range offered {
		if sha256.Sum256(c.Raw) == pin {
			return c, nil
		}
	}
	return nil, fmt.Errorf("the class at this address has the authority SHA-256 %s, which is not the pin: it may be another one in between; compare with what the instructor's terminal shows", Fingerprint(offered[0]))
}
