package machine

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"wheelhouse/cluster/client"
)

// master serves TLS with a certificate of its own authority, valid around now, and says that it
// is says. It returns its URL and the hash of the authority.
func master(t *testing.T, says time.Time) (url, pin string) {
	t.Helper()
	url, ca := masterOf(t, says)
	return url, client.PinOf(ca)
}

// masterOf is master with the authority itself.
func masterOf(t *testing.T, says time.Time) (url string, ca *x509.Certificate) {
	t.Helper()
	now := time.Now()
	issue := func(c, by *x509.Certificate, signer *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if by == nil {
			by, signer = c, key
		}
		der, err := x509.CreateCertificate(rand.Reader, c, by, key.Public(), signer)
		if err != nil {
			t.Fatal(err)
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return cert, key
	}
	ca, caKey := issue(&x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		NotBefore: now.Add(-48 * time.Hour), NotAfter: now.Add(1000 * time.Hour),
	}, nil, nil)
	leaf, key := issue(&x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "server"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: now.Add(-24 * time.Hour), NotAfter: now.Add(24 * time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, ca, caKey)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", says.UTC().Format(http.TimeFormat))
	}))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{leaf.Raw, ca.Raw}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.URL, ca
}

func TestSetTime(t *testing.T) {
	now := time.Now().Truncate(time.Second)
	dead := time.Date(1970, 1, 1, 0, 1, 0, 0, time.UTC)
	for _, c := range []struct {
		name      string
		own, says time.Time
		pin       string
		set       bool
		err       string
	}{
		{"a clock that has stopped takes the master's time", dead, now, "", true, ""},
		{"a clock that can be right is left", now.Add(-time.Hour), now, "", false, ""},
		{"a clock that is late is never set back", now.Add(1000 * time.Hour), now, "", false, ""},
		{"another authority is not asked", dead, now, "sha256:00", false, "another cluster"},
		{"a master without a clock has no time to give", dead, now.Add(-72 * time.Hour), "", false, "outside"},
		{"a time after the certificate is not taken", dead, now.Add(72 * time.Hour), "", false, "outside"},
	} {
		t.Run(c.name, func(t *testing.T) {
			url, pin := master(t, c.says)
			if c.pin != "" {
				pin = c.pin
			}
			m := newMachine(t)
			var got time.Time
			m.Now, m.SetClock = func() time.Time { return c.own }, func(at time.Time) error { got = at; return nil }
			err := m.setTime(t.Context(), url, pinnedBy(pin))
			if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
				t.Errorf("%v", err)
			}
			if c.set != got.Equal(c.says) || !c.set && !got.IsZero() {
				t.Errorf("set to %v", got)
			}
		})
	}
}
