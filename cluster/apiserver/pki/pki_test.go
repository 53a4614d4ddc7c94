package pki

import (
	"bytes"
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
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"

	"wheelhouse/cluster/apiserver/authz/authztest"
	"wheelhouse/cluster/client"
)

func mustOpen(t *testing.T, dir string) *Authority {
	t.Helper()
	a, err := Open(dir, "wheelhouse")
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func mustPair(t *testing.T, a *Authority, name string, r Request) *Pair {
	t.Helper()
	p, err := a.Pair(name, r)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

var master = net.IPv4(10, 245, 1, 2)

func TestKeptOverRestart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pki")
	a := mustOpen(t, dir)
	r := ServerRequest("cluster.local", net.IPv4(10, 247, 0, 1), []net.IP{master})
	p := mustPair(t, a, "apiserver", r)
	b := mustOpen(t, dir)
	if !bytes.Equal(a.CertPEM(), b.CertPEM()) || !a.TokenKey().Equal(b.TokenKey()) {
		t.Error("the authority changed")
	}
	if !bytes.Equal(p.Cert, mustPair(t, b, "apiserver", r).Cert) {
		t.Error("the certificate changed")
	}
	r.IPs = append(r.IPs, net.IPv4(10, 245, 1, 9))
	if bytes.Equal(p.Cert, mustPair(t, b, "apiserver", r).Cert) {
		t.Error("a further address did not give a new certificate")
	}
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if st, _ := e.Info(); st.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", e.Name(), st.Mode())
		}
	}
	if st, _ := os.Stat(dir); st.Mode().Perm() != 0o700 {
		t.Errorf("the directory has mode %v", st.Mode())
	}
}

func TestHealsWhatACrashLeft(t *testing.T) {
	cases := map[string]func(dir string) error{
		"no authority certificate": func(d string) error { return os.Remove(d + "/ca.crt") },
		"empty certificate":        func(d string) error { return os.Truncate(d+"/admin.crt", 0) },
		"half a key":               func(d string) error { return os.Truncate(d+"/admin.key", 20) },
		"no key":                   func(d string) error { return os.Remove(d + "/admin.key") },
		"temporary file":           func(d string) error { return os.WriteFile(d+"/.tmp-1", nil, 0o600) },
	}
	for name, damage := range cases {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			mustPair(t, mustOpen(t, dir), "admin", AdminRequest())
			if err := damage(dir); err != nil {
				t.Fatal(err)
			}
			a := mustOpen(t, dir)
			c, err := mustPair(t, a, "admin", AdminRequest()).TLS()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.Leaf.Verify(x509.VerifyOptions{Roots: a.Pool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
				t.Error(err)
			}
			if left, _ := filepath.Glob(dir + "/.tmp*"); len(left) > 0 {
				t.Errorf("left over: %v", left)
			}
		})
	}
}

// A key of an existing cluster is never replaced: the error names the file, since when, and what can be done.
func TestKeysOfAnExistingClusterStay(t *testing.T) {
	remove, cut := os.Remove, func(f string) error { return os.Truncate(f, 20) }
	for _, file := range []string{"ca.key", "sa.key"} {
		for what, damage := range map[string]func(string) error{"is missing": remove, "is damaged": cut} {
			t.Run(file+" "+what, func(t *testing.T) {
				dir := t.TempDir()
				mustOpen(t, dir)
				path := filepath.Join(dir, file)
				if err := damage(path); err != nil {
					t.Fatal(err)
				}
				_, err := Open(dir, "test")
				var e *KeyError
				if !errors.As(err, &e) || e.File != path || e.Written.IsZero() {
					t.Fatalf("opened with %v", err)
				}
				for _, want := range []string{path + " of a cluster", what, "remove " + filepath.Join(dir, "ca.crt") + ":", "Put back a copy"} {
					if !strings.Contains(err.Error(), want) {
						t.Errorf("no %q in %v", want, err)
					}
				}
				if _, err := os.Stat(path); what == "is missing" && err == nil {
					t.Error("a new key was written")
				}
				if err := os.Remove(filepath.Join(dir, "ca.crt")); err != nil { // the remedy
					t.Fatal(err)
				}
				mustOpen(t, dir)
			})
		}
	}
	made := filepath.Join(t.TempDir(), "made")
	if err := os.WriteFile(made, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var e *KeyError
	if _, err := Open(filepath.Join(t.TempDir(), "pki"), "test", made); !errors.As(err, &e) || !strings.Contains(err.Error(), made) {
		t.Errorf("opened beside a cluster, with %v", err)
	}
}

func TestRenewedBeforeItExpires(t *testing.T) {
	dir := t.TempDir()
	old := mustPair(t, mustOpen(t, dir), "admin", AdminRequest())
	later, err := open(dir, "wheelhouse", func() time.Time { return time.Now().Add(leafLife - 24*time.Hour) })
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(old.Cert, mustPair(t, later, "admin", AdminRequest()).Cert) {
		t.Error("a certificate with one day left was kept")
	}
}

// A client certificate is taken by a TLS server that serves with ours, under each
// of its names; one of another authority is not.
func TestChainOverTLS(t *testing.T) {
	a := mustOpen(t, t.TempDir())
	serving, err := mustPair(t, a, "apiserver", ServerRequest("cluster.local", net.IPv4(10, 247, 0, 1), []net.IP{master})).TLS()
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.TLS.PeerCertificates[0].Subject)
	}))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{serving}, ClientCAs: a.Pool(), ClientAuth: tls.RequireAndVerifyClientCert}
	s.StartTLS()
	defer s.Close()

	get := func(by *Authority, r Request, name string) (string, error) {
		p, err := by.Issue(r)
		if err != nil {
			t.Fatal(err)
		}
		c, _ := p.TLS()
		resp, err := (&http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{
			RootCAs: a.Pool(), Certificates: []tls.Certificate{c}, ServerName: name,
		}}}).Get(s.URL)
		if err != nil {
			return "", err
		}
		defer resp.Body.Close()
		var b bytes.Buffer
		_, err = b.ReadFrom(resp.Body)
		return b.String(), err
	}
	for _, name := range []string{"kubernetes", "kubernetes.default.svc.cluster.local", "localhost", "10.247.0.1", "10.245.1.2", "127.0.0.1"} {
		got, err := get(a, NodeRequest("minion-1"), name)
		if err != nil || got != "CN=system:node:minion-1,O=system:nodes" {
			t.Errorf("as %s: %q, %v", name, got, err)
		}
	}
	if _, err := get(a, AdminRequest(), "10.245.1.3"); err == nil {
		t.Error("served under an address that is not its own")
	}
	if _, err := get(mustOpen(t, t.TempDir()), AdminRequest(), "kubernetes"); err == nil {
		t.Error("a stranger's certificate was taken")
	}
	if _, err := get(a, NodeServingRequest("minion-1"), "kubernetes"); err == nil {
		t.Error("a serving certificate was taken from a client")
	}
}

func reserved() *Reserved {
	return &Reserved{
		Names: ServerNames("cluster.local", "master"), Addresses: []netip.Addr{netip.MustParseAddr("10.245.1.2")},
		Ranges: []netip.Prefix{netip.MustParsePrefix("10.246.0.0/16"), netip.MustParsePrefix("10.247.0.0/16")},
		Nodes: map[string]netip.Addr{
			"owned": netip.MustParseAddr("10.245.1.2"), "named": netip.MustParseAddr("10.245.1.7"), "master": netip.MustParseAddr("10.245.1.8"),
		},
	}
}

func TestSign(t *testing.T) {
	a := mustOpen(t, t.TempDir())
	token := &client.User{Name: "system:bootstrap:abcdef", Groups: []string{Bootstrappers}}
	node := &client.User{Name: "system:node:minion-3", Groups: []string{Nodes}}
	cases := []struct {
		name, signer, cn, org string
		dns                   []string
		ip                    net.IP
		user                  *client.User
		refused               string
	}{
		{name: "join", signer: certificatesv1.KubeAPIServerClientKubeletSignerName, cn: "system:node:minion-3", org: Nodes, user: token},
		{name: "renew", signer: certificatesv1.KubeAPIServerClientKubeletSignerName, cn: "system:node:minion-3", org: Nodes, user: node},
		{name: "serving", signer: certificatesv1.KubeletServingSignerName, cn: "system:node:minion-3", org: Nodes, dns: []string{"minion-3"}, user: node},
		{name: "another node", signer: certificatesv1.KubeAPIServerClientKubeletSignerName, cn: "system:node:minion-1", org: Nodes, user: node, refused: "only the node itself"},
		{name: "admin", signer: certificatesv1.KubeAPIServerClientKubeletSignerName, cn: "admin", org: Admins, user: token, refused: "subject must be"},
		{name: "foreign name", signer: certificatesv1.KubeletServingSignerName, cn: "system:node:minion-3", org: Nodes, dns: []string{"kubernetes"}, user: node, refused: "not the node's"},
		{name: "server's address", signer: certificatesv1.KubeletServingSignerName, cn: "system:node:minion-3", org: Nodes, ip: master, user: node, refused: "not the node's"},
		{name: "join as a named node", signer: certificatesv1.KubeAPIServerClientKubeletSignerName, cn: "system:node:named", org: Nodes, user: token},
		{name: "join as the server's own node", signer: certificatesv1.KubeAPIServerClientKubeletSignerName, cn: "system:node:owned", org: Nodes, user: token, refused: "its kubeconfig is there"},
		{name: "join as the server's own name", signer: certificatesv1.KubeAPIServerClientKubeletSignerName, cn: "system:node:master", org: Nodes, user: token, refused: "its kubeconfig is there"},
		{name: "join as a reserved name", signer: certificatesv1.KubeAPIServerClientKubeletSignerName, cn: "system:node:kubernetes.default", org: Nodes, user: token, refused: "is reserved"},
		{name: "anonymous", signer: certificatesv1.KubeAPIServerClientKubeletSignerName, cn: "system:node:minion-3", org: Nodes, refused: "only the node itself"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
			der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
				Subject: pkix.Name{CommonName: c.cn, Organization: []string{c.org}}, DNSNames: c.dns, IPAddresses: addressesOf(c.ip),
			}, key)
			if err != nil {
				t.Fatal(err)
			}
			in := &certificatesv1.CertificateSigningRequest{Spec: certificatesv1.CertificateSigningRequestSpec{
				SignerName: c.signer, Request: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}),
			}}
			signer := &Signer{
				Authority: a, Objects: authztest.New(), Reserved: reserved(),
				Join: func(context.Context, *client.User, string) error { return nil },
			}
			out, err := signer.Sign(context.Background(), c.user, in, false)
			if c.refused != "" {
				if err == nil || !strings.Contains(err.Error(), c.refused) {
					t.Errorf("error %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			cert, err := decodeCert(out.(*certificatesv1.CertificateSigningRequest).Status.Certificate)
			if err != nil || cert.Subject.CommonName != c.cn || !key.PublicKey.Equal(cert.PublicKey) {
				t.Errorf("certificate %v, %v", cert.Subject, err)
			}
		})
	}
}

func addressesOf(ip net.IP) []net.IP {
	if ip == nil {
		return nil
	}
	return []net.IP{ip}
}

func BenchmarkFirstStart(b *testing.B) {
	for b.Loop() {
		dir := b.TempDir()
		a, err := Open(dir, "wheelhouse")
		if err != nil {
			b.Fatal(err)
		}
		for i, r := range []Request{AdminRequest(), KubeletClientRequest(), ServerRequest("cluster.local", nil, nil)} {
			if _, err := a.Pair(fmt.Sprint(i), r); err != nil {
				b.Fatal(err)
			}
		}
	}
}
