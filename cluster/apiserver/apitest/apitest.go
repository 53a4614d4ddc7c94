// Package apitest starts a real API server for tests: an embedded etcd in the test's
// own directory, the store, and the HTTP layer on a TLS listener on loopback. It stops
// with the test.
//
// Everybody may do everything, and nothing is admitted or refused beyond the kinds' own
// rules (no service accounts, no service addresses): Options add what a test needs.
package apitest

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
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"testing"
	"time"

	"wheelhouse/cluster/store/etcd"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"wheelhouse/cluster/api/builtin"
	"wheelhouse/cluster/apiserver"
	"wheelhouse/cluster/apiserver/authz"
	"wheelhouse/cluster/apiserver/nodeproxy"
	"wheelhouse/cluster/client"
	"wheelhouse/cluster/store"
)

// Option changes the server's configuration before it starts.
type Option func(*apiserver.Config)

// Start runs a server until the test ends. The namespace default exists. The Config is
// for client-go: an administrator's, JSON, without a limit on the rate.
func Start(t testing.TB, options ...Option) *rest.Config {
	t.Helper()
	_, cfg := StartServer(t, options...)
	return cfg
}

// StartServer is Start for tests that need the Server too.
func StartServer(t testing.TB, options ...Option) (*apiserver.Server, *rest.Config) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	ctx, cancel := context.WithCancel(context.Background())
	etcd, stop, err := etcd.StartEmbedded(ctx, etcd.Config{Dir: t.TempDir(), Log: log})
	if err != nil {
		cancel()
		t.Fatalf("starting etcd: %v", err)
	}
	st, err := store.New(store.Config{Client: etcd, Kinds: builtin.Kinds, OnlyWriter: true, Log: log})
	if err != nil {
		t.Fatalf("making the store: %v", err)
	}
	config := apiserver.Config{Store: st, Authorizer: allowAll{}, Authenticator: admin{}, Reach: nodeproxy.Reach{Loopback: true}, Log: log}
	for _, o := range options {
		o(&config)
	}
	server, err := apiserver.New(config)
	if err != nil {
		t.Fatalf("making the server: %v", err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("listening: %v", err)
	}
	certificate, ca := selfSigned(t)
	done := make(chan error, 2)
	go func() { done <- st.Run(ctx) }()
	go func() { done <- server.Serve(ctx, ln, &tls.Config{Certificates: []tls.Certificate{certificate}}) }()
	t.Cleanup(func() {
		cancel()
		for range cap(done) {
			if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
				t.Errorf("stopping: %v", err)
			}
		}
		stop()
	})
	if err := st.WaitReady(ctx); err != nil {
		t.Fatalf("waiting for the store: %v", err)
	}
	cfg := &rest.Config{
		Host: "https://" + ln.Addr().String(), TLSClientConfig: rest.TLSClientConfig{CAData: ca}, QPS: -1,
	}
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "default"}}
	if _, err := kubernetes.NewForConfigOrDie(cfg).CoreV1().Namespaces().Create(ctx, ns, metav1.CreateOptions{}); err != nil {
		t.Fatalf("making the namespace default: %v", err)
	}
	return server, cfg
}

type allowAll struct{}

func (allowAll) Authorize(context.Context, authz.Attributes) (bool, string, error) {
	return true, "", nil
}

type admin struct{}

func (admin) Authenticate(*http.Request) (*client.User, error) {
	return &client.User{Name: "admin", Groups: []string{"system:masters", "system:authenticated"}}, nil
}

// WithImpersonation has the server take the user and groups of impersonation headers, which everybody may send here.
func WithImpersonation() Option {
	return func(c *apiserver.Config) { c.Authenticator = impersonated{} }
}

type impersonated struct{ admin }

func (i impersonated) Authenticate(r *http.Request) (*client.User, error) {
	if name := r.Header.Get(authenticationv1.ImpersonateUserHeader); name != "" {
		return &client.User{Name: name, Groups: r.Header.Values(authenticationv1.ImpersonateGroupHeader)}, nil
	}
	return i.admin.Authenticate(r)
}

func selfSigned(t testing.TB) (certificate tls.Certificate, pemBytes []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatalf("making a key: %v", err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "apitest"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatalf("making a certificate: %v", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key},
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}
