//go:build !quick

package main_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"wheelhouse/cluster/apiserver/pki"
)

// authorityOf are the keys of a running server.
func authorityOf(t *testing.T, s *server) *pki.Authority {
	t.Helper()
	return must[*pki.Authority](t)(pki.Open(filepath.Join(filepath.Dir(s.kubeconfig), "pki"), "wheelhouse"))
}

// configAs reaches the server with a certificate that its authority gives for r.
func configAs(t *testing.T, s *server, r pki.Request) *rest.Config {
	t.Helper()
	pair := must[*pki.Pair](t)(authorityOf(t, s).Issue(r))
	cfg := must[*rest.Config](t)(clientcmd.BuildConfigFromFlags("", s.kubeconfig))
	cfg.CertData, cfg.KeyData, cfg.QPS = pair.Cert, pair.Key, -1
	return cfg
}

func as(t *testing.T, s *server, r pki.Request) *kubernetes.Clientset {
	t.Helper()
	return must[*kubernetes.Clientset](t)(kubernetes.NewForConfig(configAs(t, s, r)))
}

// csr is a certificate request for a subject, names and addresses.
func csr(signer, user, group string, sans ...string) (*certificatesv1.CertificateSigningRequest, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.CertificateRequest{Subject: pkix.Name{CommonName: user, Organization: []string{group}}}
	for _, san := range sans {
		if ip := net.ParseIP(san); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, san)
		}
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, template, key)
	if err != nil {
		return nil, err
	}
	usage := certificatesv1.UsageClientAuth
	if signer == certificatesv1.KubeletServingSignerName {
		usage = certificatesv1.UsageServerAuth
	}
	return &certificatesv1.CertificateSigningRequest{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"},
		Spec: certificatesv1.CertificateSigningRequestSpec{
			Request: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}), SignerName: signer,
			Usages: []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, usage},
		},
	}, nil
}

// ask makes a certificate request and returns the certificate that it got at once.
func ask(ctx context.Context, c kubernetes.Interface, signer, user, group string, sans ...string) ([]byte, error) {
	r, err := csr(signer, user, group, sans...)
	if err != nil {
		return nil, err
	}
	made, err := c.CertificatesV1().CertificateSigningRequests().Create(ctx, r, metav1.CreateOptions{})
	if err != nil {
		return nil, err
	}
	return made.Status.Certificate, nil
}

// Nobody but the server itself serves under its names and addresses, and a node under
// those that are its own.
func TestServingCertificates(t *testing.T) {
	t.Parallel()
	s := startServer(t, "apiserver", t.TempDir(), "--node", "owned=127.0.0.1")
	n9 := as(t, s, pki.NodeRequest("n9"))
	serving := func(c kubernetes.Interface, node string, sans ...string) error {
		cert, err := ask(t.Context(), c, certificatesv1.KubeletServingSignerName, "system:node:"+node, "system:nodes", sans...)
		if err == nil && len(cert) == 0 {
			return fmt.Errorf("no certificate")
		}
		return err
	}
	register := func(c kubernetes.Interface, name, kind, address string) error {
		n, err := c.CoreV1().Nodes().Get(t.Context(), name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			n, err = c.CoreV1().Nodes().Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
		}
		if err != nil {
			return err
		}
		n.ResourceVersion = "" // the node controller may have changed it meanwhile
		n.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeAddressType(kind), Address: address}}
		_, err = c.CoreV1().Nodes().UpdateStatus(t.Context(), n, metav1.UpdateOptions{})
		return err
	}
	if err := register(as(t, s, pki.NodeRequest("n1")), "n1", "InternalIP", "10.9.0.1"); err != nil {
		t.Fatal(err)
	}
	reserved := []string{"127.0.0.1", "::1", "10.247.0.1", "10.247.3.4", "10.246.1.1", "169.254.169.254", "0.0.0.0", "::ffff:127.0.0.1", "10.9.0.1"}
	for _, address := range append(reserved, "10.9.0.9", "kubernetes", "kubernetes.default.svc", "localhost", "master", "n1", "web.default.svc") {
		if err := serving(n9, "n9", address); !apierrors.IsForbidden(err) {
			t.Errorf("a node's certificate for %s: %v", address, err)
		}
	}
	for _, address := range reserved {
		if err := register(n9, "n9", "InternalIP", address); !apierrors.IsForbidden(err) {
			t.Errorf("a node with the address %s: %v", address, err)
		}
	}
	for _, name := range []string{"localhost", "kubernetes.default.svc", "n1", "127.0.0.1"} {
		for _, kind := range []string{"Hostname", "InternalDNS", "InternalIP"} {
			if err := register(n9, "n9", kind, name); !apierrors.IsForbidden(err) {
				t.Errorf("a node with the %s %s: %v", kind, name, err)
			}
		}
	}
	if err := register(n9, "n9", "InternalIP", "10.9.0.9"); err != nil {
		t.Fatal(err)
	}
	if err := serving(n9, "n9", "n9", "10.9.0.9"); err != nil {
		t.Errorf("the node's own name and address: %v", err)
	}
	if err := serving(n9, "n1", "n1"); !apierrors.IsForbidden(err) {
		t.Errorf("another node's certificate: %v", err)
	}
	owned := as(t, s, pki.NodeRequest("owned"))
	if err := serving(owned, "owned", "owned", "127.0.0.1"); err != nil {
		t.Errorf("the address that the owner has given the node: %v", err)
	}
	if err := serving(owned, "owned", "10.247.0.1"); !apierrors.IsForbidden(err) {
		t.Errorf("more than that: %v", err)
	}
	for _, name := range []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "web.default.svc", "x.localhost", "kubernetes.default.svc.cluster.local", "master"} {
		token := joinToken(t, s, "--count", "1")
		if _, err := ask(t.Context(), withToken(t, s, token), certificatesv1.KubeAPIServerClientKubeletSignerName, "system:node:"+name, "system:nodes"); !apierrors.IsForbidden(err) {
			t.Errorf("joining as %s: %v", name, err)
		}
		for _, c := range []kubernetes.Interface{s, as(t, s, pki.NodeRequest(name))} {
			_, err := c.CoreV1().Nodes().Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
			if !apierrors.IsForbidden(err) {
				t.Errorf("a node named %s: %v", name, err)
			}
		}
	}
}

// A node's range for pods is its own part of the cluster's: other nodes send it what is for
// the range.
func TestPodRangeOfANode(t *testing.T) {
	t.Parallel()
	s := startServer(t, "apiserver", t.TempDir())
	register := func(name, cidr string) error {
		_, err := as(t, s, pki.NodeRequest(name)).CoreV1().Nodes().Create(t.Context(), &corev1.Node{
			ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.NodeSpec{PodCIDR: cidr, PodCIDRs: []string{cidr}},
		}, metav1.CreateOptions{})
		return err
	}
	if err := register("n1", "10.246.1.0/24"); err != nil {
		t.Fatal(err)
	}
	for _, cidr := range []string{"0.0.0.0/0", "10.245.1.0/24", "10.247.0.0/16", "10.246.0.0/16", "10.246.1.0/24", "10.246.1.128/25", "127.0.0.0/8"} {
		if err := register("n2", cidr); !apierrors.IsForbidden(err) {
			t.Errorf("%s: %v", cidr, err)
		}
	}
	if err := register("n2", "10.246.2.0/24"); err != nil {
		t.Error(err)
	}
}

// The certificate that the API server shows to kubelets is good for kubelets only, and is
// shown to the kubelet of the node that is meant only.
func TestKubeletClient(t *testing.T) {
	t.Parallel()
	s := startServer(t, "apiserver", t.TempDir())
	dir := filepath.Join(filepath.Dir(s.kubeconfig), "pki")
	cfg := must[*rest.Config](t)(clientcmd.BuildConfigFromFlags("", s.kubeconfig))
	cfg.CertData = must[[]byte](t)(os.ReadFile(filepath.Join(dir, "apiserver-kubelet-client.crt")))
	cfg.KeyData = must[[]byte](t)(os.ReadFile(filepath.Join(dir, "apiserver-kubelet-client.key")))
	stolen := must[*kubernetes.Clientset](t)(kubernetes.NewForConfig(cfg))
	if _, err := stolen.CoreV1().Secrets("").List(t.Context(), metav1.ListOptions{}); !apierrors.IsUnauthorized(err) {
		t.Errorf("secrets for the certificate that kubelets see: %v", err)
	}
	former := as(t, s, pki.Request{CommonName: "kube-apiserver-kubelet-client", Organization: []string{pki.Admins}, Client: true})
	if _, err := former.CoreV1().Secrets("").List(t.Context(), metav1.ListOptions{}); !apierrors.IsUnauthorized(err) {
		t.Errorf("secrets for the former certificate: %v", err)
	}

	var reached atomic.Bool
	kubelet := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		reached.Store(true)
		_, _ = io.WriteString(w, "here")
	}))
	own := must[tls.Certificate](t)(must[*pki.Pair](t)(authorityOf(t, s).Issue(pki.NodeServingRequest("n9", net.IPv4(127, 0, 0, 1)))).TLS())
	kubelet.TLS = &tls.Config{Certificates: []tls.Certificate{own}}
	kubelet.StartTLS()
	defer kubelet.Close()
	nodeAt := func(name, at string) {
		t.Helper()
		addNode(t, s, name)
		setKubelet(t, s, name, at)
	}
	through := func(node, path string) (string, error) {
		out, err := s.CoreV1().RESTClient().Get().AbsPath("/api/v1/nodes/" + node + "/proxy/" + path).DoRaw(t.Context())
		return string(out), err
	}
	nodeAt("n9", kubelet.URL)
	if out, err := through("n9", "pods"); err != nil || out != "here" {
		t.Errorf("the node itself: %q, %v", out, err)
	}
	reached.Store(false)
	nodeAt("n8", kubelet.URL)
	if out, err := through("n8", "pods"); err == nil || reached.Load() {
		t.Errorf("another node at the node's address: %q", out)
	}
	nodeAt("n7", cfg.Host)
	if out, err := through("n7", "api/v1/namespaces/kube-system/secrets"); err == nil || strings.Contains(out, "SecretList") {
		t.Errorf("the API server at the node's address: %q", out)
	}
}

// A node reads its own Node and its own pods; its proxy reads nodes, services and
// endpoints under an identity that the node asks for.
func TestNodeReadsItsOwn(t *testing.T) {
	t.Parallel()
	s := startServer(t, "server", t.TempDir())
	addNode(t, s, "n1")
	addNode(t, s, "n2")
	for _, n := range []string{"n1", "n2"} {
		p := pod("on-"+n, "")
		p.Spec.NodeName = n
		addPod(t, s, p)
	}
	n1 := as(t, s, pki.NodeRequest("n1"))
	list := func(c kubernetes.Interface, selector string) (names []string, err error) {
		pods, err := c.CoreV1().Pods("").List(t.Context(), metav1.ListOptions{FieldSelector: selector})
		if err != nil {
			return nil, err
		}
		for i := range pods.Items {
			names = append(names, pods.Items[i].Name)
		}
		return names, nil
	}
	for _, selector := range []string{"", "spec.nodeName=n2", "spec.nodeName!=n1"} {
		if names, err := list(n1, selector); !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "can only list/watch pods with spec.nodeName field selector") {
			t.Errorf("pods with %q: %v, %v", selector, names, err)
		}
	}
	if names, err := list(n1, "spec.nodeName=n1"); err != nil || len(names) != 1 || names[0] != "on-n1" {
		t.Errorf("own pods: %v, %v", names, err)
	}
	if _, err := n1.CoreV1().Pods("default").Get(t.Context(), "on-n2", metav1.GetOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("another node's pod: %v", err)
	}
	if _, err := n1.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("all nodes: %v", err)
	}
	if _, err := n1.CoreV1().Nodes().Get(t.Context(), "n2", metav1.GetOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("another node: %v", err)
	}
	if _, err := n1.CoreV1().Nodes().Get(t.Context(), "n1", metav1.GetOptions{}); err != nil {
		t.Errorf("the own node: %v", err)
	}
	own := must[*corev1.Pod](t)(s.CoreV1().Pods("default").Get(t.Context(), "on-n1", metav1.GetOptions{}))
	_, err := n1.CoreV1().ServiceAccounts("default").CreateToken(t.Context(), "default", &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
		Audiences: []string{"vault"}, BoundObjectRef: &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: own.Name, UID: own.UID},
	}}, metav1.CreateOptions{})
	if !apierrors.IsForbidden(err) {
		t.Errorf("a token for an audience that the pod does not name: %v", err)
	}
	for name, c := range map[string]struct {
		by   kubernetes.Interface
		node string
	}{"itself": {n1, "n1"}, "another": {n1, "n2"}, "an administrator": {s, "n1"}} {
		cert, err := ask(t.Context(), c.by, certificatesv1.KubeAPIServerClientSignerName, "system:node-proxier:"+c.node, "system:node-proxiers")
		if (len(cert) > 0) != (name == "itself") {
			t.Errorf("the proxy's certificate for %s: %d bytes, %v", name, len(cert), err)
		}
	}
	proxier := as(t, s, pki.Request{CommonName: "system:node-proxier:n1", Organization: []string{"system:node-proxiers"}, Client: true})
	if _, err := proxier.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Errorf("nodes for the proxy: %v", err)
	}
	if _, err := proxier.DiscoveryV1().EndpointSlices("").List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Errorf("endpoints for the proxy: %v", err)
	}
	proxierReadsAddresses(t, s, proxier)
	if _, err := n1.DiscoveryV1().EndpointSlices("").List(t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("endpoints for the kubelet: %v", err)
	}
}
