package ingress

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// tlsSecret returns a Secret with a self-signed certificate for hosts.
func tlsSecret(name string, hosts ...string) *corev1.Secret {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: hosts, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der := must(x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key))
	keyDER := must(x509.MarshalPKCS8PrivateKey(key))
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, UID: types.UID("uid-" + name), ResourceVersion: "1"},
		Type:       corev1.SecretTypeTLS,
		Data: map[string][]byte{
			corev1.TLSCertKey:       pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
			corev1.TLSPrivateKeyKey: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}),
		},
	}
}

// endpoint runs a server on loopback, and returns where.
func endpoint(t *testing.T, h http.HandlerFunc) netip.AddrPort {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return netip.MustParseAddrPort(s.Listener.Addr().String())
}

// closedPort returns an address at which nothing listens.
func closedPort(t *testing.T) netip.AddrPort {
	t.Helper()
	l := must(net.Listen("tcp", "127.0.0.1:0"))
	defer l.Close()
	return netip.MustParseAddrPort(l.Addr().String())
}

// to returns a backend with the usual options.
func to(endpoints ...netip.AddrPort) *Backend {
	return &Backend{Service: "web:80", endpoints: endpoints, options: options{maxBody: defaultMaxBody, timeout: defaultTimeout}}
}

// front serves a table on loopback: plain, and with TLS.
type front struct {
	handler       *handler
	plain, secure string // addresses
}

func serveTable(t *testing.T, table *Table, access io.Writer) *front {
	t.Helper()
	f := &front{handler: newHandler(nil)}
	if access != nil {
		f.handler = newHandler(slog.New(slog.NewJSONHandler(access, nil)))
	}
	f.handler.table.Store(table)
	s := &server{handler: f.handler, fallback: must(selfSigned()), log: slog.Default(), changed: func() {}}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 2)
	for _, secure := range []bool{false, true} {
		l := must(net.Listen("tcp", "127.0.0.1:0"))
		var config *tls.Config
		if secure {
			config, f.secure = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: s.certificate}, l.Addr().String()
		} else {
			f.plain = l.Addr().String()
		}
		go func() { ended <- s.serveOn(ctx, l, config) }()
	}
	t.Cleanup(func() {
		cancel()
		for range 2 {
			if err := <-ended; !errors.Is(err, context.Canceled) {
				t.Errorf("the server ended with %v", err)
			}
		}
		f.handler.transport.close()
	})
	return f
}

// everywhere is a table with one backend for all requests.
func everywhere(b *Backend) *Table { return &Table{fallback: b, certs: newCertificates()} }

func read(t *testing.T, resp *http.Response, err error) (int, string) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode, string(must(io.ReadAll(resp.Body)))
}

func newLog(t *testing.T) *slog.Logger {
	t.Helper()
	return slog.New(slog.NewTextHandler(t.Output(), nil))
}
