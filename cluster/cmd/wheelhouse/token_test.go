//go:build !quick

package main_test

import (
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// joinToken is what `wheelhouse token` makes.
func joinToken(t *testing.T, s *server, flags ...string) string {
	t.Helper()
	out, err := exec.Command(binary, append([]string{"token", "--kubeconfig", s.kubeconfig}, flags...)...).CombinedOutput()
	words := strings.Fields(string(out))
	if err != nil || len(words) < 6 || words[4] != "--token" {
		t.Fatalf("token printed %q, %v", out, err)
	}
	return words[5]
}

func withToken(t *testing.T, s *server, token string) *kubernetes.Clientset {
	t.Helper()
	cfg := must[*rest.Config](t)(clientcmd.BuildConfigFromFlags("", s.kubeconfig))
	return must[*kubernetes.Clientset](t)(kubernetes.NewForConfig(&rest.Config{
		Host: cfg.Host, BearerToken: token, QPS: -1, TLSClientConfig: rest.TLSClientConfig{CAData: cfg.CAData},
	}))
}

func joinAs(t *testing.T, s *server, token, node string) error {
	t.Helper()
	_, err := ask(t.Context(), withToken(t, s, token), certificatesv1.KubeAPIServerClientKubeletSignerName, "system:node:"+node, "system:nodes")
	return err
}

// A join token is for as many nodes as it was made for, which do not exist yet.
func TestJoinTokens(t *testing.T) {
	t.Parallel()
	s := startServer(t, "apiserver", t.TempDir())
	one := joinToken(t, s)
	if err := joinAs(t, s, one, "a"); err != nil {
		t.Fatal(err)
	}
	for _, node := range []string{"a", "b"} {
		if err := joinAs(t, s, one, node); !apierrors.IsForbidden(err) {
			t.Errorf("a token of one node, for %s: %v", node, err)
		}
	}
	two := joinToken(t, s, "--count", "2")
	for node, want := range map[string]bool{"c": true, "d": true} {
		if err := joinAs(t, s, two, node); (err == nil) != want {
			t.Errorf("a token of two nodes, for %s: %v", node, err)
		}
	}
	if err := joinAs(t, s, two, "e"); !apierrors.IsForbidden(err) {
		t.Errorf("a token of two nodes, for the third: %v", err)
	}
	addNode(t, s, "there")
	if err := joinAs(t, s, joinToken(t, s), "there"); !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "--node there") {
		t.Errorf("as a node that exists: %v", err)
	}
	named := joinToken(t, s, "--node", "there")
	if err := joinAs(t, s, named, "elsewhere"); !apierrors.IsForbidden(err) {
		t.Errorf("a token of one name, for another: %v", err)
	}
	if err := joinAs(t, s, named, "there"); err != nil {
		t.Errorf("a token of that name: %v", err)
	}
	twice := joinToken(t, s, "--count", "2")
	if err := joinAs(t, s, twice, "f"); err != nil {
		t.Fatal(err)
	}
	if err := joinAs(t, s, twice, "f"); !apierrors.IsForbidden(err) {
		t.Errorf("the same node twice: %v", err)
	}
	list := string(must[[]byte](t)(exec.Command(binary, "token", "list", "--kubeconfig", s.kubeconfig).Output()))
	id, _, _ := strings.Cut(twice, ".")
	if !strings.Contains(list, id) || strings.Contains(list, strings.TrimPrefix(twice, id+".")) {
		t.Errorf("token list printed %q", list)
	}
	must[[]byte](t)(exec.Command(binary, "token", "delete", id, "--kubeconfig", s.kubeconfig).Output())
	if err := joinAs(t, s, twice, "g"); !apierrors.IsUnauthorized(err) {
		t.Errorf("a deleted token: %v", err)
	}
}

// The count holds however many use a token at once, also at two servers.
func TestJoinTokenAtTwoServers(t *testing.T) {
	t.Parallel()
	_, flags := etcdCluster(t)
	first := startServer(t, "apiserver", t.TempDir(), flags...)
	second := startServer(t, "apiserver", sameKeys(t, first), flags...)
	token := joinToken(t, first, "--count", "3")
	var joined atomic.Int32
	var all sync.WaitGroup
	for i := range 12 {
		s := []*server{first, second}[i%2]
		all.Go(func() {
			switch err := joinAs(t, s, token, "n"+string(rune('a'+i))); {
			case err == nil:
				joined.Add(1)
			case !apierrors.IsForbidden(err):
				t.Error(err)
			}
		})
	}
	all.Wait()
	if joined.Load() != 3 {
		t.Errorf("%d nodes joined with a token of 3", joined.Load())
	}
}

// Whoever guesses tokens is slowed down; a dry run gives no certificate.
func TestGuesses(t *testing.T) {
	t.Parallel()
	s := startServer(t, "apiserver", t.TempDir())
	token := joinToken(t, s)
	dry := withToken(t, s, token)
	req := must[*certificatesv1.CertificateSigningRequest](t)(csr(certificatesv1.KubeAPIServerClientKubeletSignerName, "system:node:n1", "system:nodes"))
	made, err := dry.CertificatesV1().CertificateSigningRequests().Create(t.Context(), req, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	if err != nil || len(made.Status.Certificate) > 0 {
		t.Errorf("a dry run: %d bytes of certificate, %v", len(made.Status.Certificate), err)
	}
	if err := joinAs(t, s, token, "n1"); err != nil {
		t.Errorf("after a dry run: %v", err)
	}
	var last error
	guesser := withToken(t, s, "abcdef.0123456789abcdef").CoreV1().RESTClient()
	for range 40 {
		last = guesser.Get().AbsPath("/api/v1/nodes").MaxRetries(0).Do(t.Context()).Error()
		if !apierrors.IsUnauthorized(last) {
			break
		}
	}
	if !apierrors.IsTooManyRequests(last) {
		t.Errorf("after 40 guesses: %v", last)
	}
	if _, err := s.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Errorf("a certificate from the same source: %v", err)
	}
	secret := must[*corev1.SecretList](t)(s.CoreV1().Secrets("kube-system").List(t.Context(), metav1.ListOptions{FieldSelector: "type=bootstrap.kubernetes.io/token"}))
	if len(secret.Items) != 1 {
		t.Errorf("%d secrets of tokens", len(secret.Items))
	}
}
