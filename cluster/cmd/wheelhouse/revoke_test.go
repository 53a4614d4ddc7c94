//go:build !quick

package main_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clocktesting "k8s.io/utils/clock/testing"

	"wheelhouse/cluster/apiserver/pki"
	"wheelhouse/cluster/client"
	"wheelhouse/cluster/wait"
)

// certificateIn is the certificate of a kubeconfig's user.
func certificateIn(t *testing.T, path string) *x509.Certificate {
	t.Helper()
	cfg := must[*rest.Config](t)(clientcmd.BuildConfigFromFlags("", path))
	pair := must[tls.Certificate](t)(tls.X509KeyPair(cfg.CertData, cfg.KeyData))
	return pair.Leaf
}

func revoke(t *testing.T, s *server, flags ...string) {
	t.Helper()
	out, err := exec.Command(binary, append([]string{"certs", "revoke", "--kubeconfig", s.kubeconfig}, flags...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// What a node has is refused from its revocation on, on connections that are open too, and
// what it gets later is good.
func TestRevokedNode(t *testing.T) {
	t.Parallel()
	s := startServer(t, "apiserver", t.TempDir(), "--node", "owned=127.0.0.2")
	file := filepath.Join(filepath.Dir(s.kubeconfig), "owned.kubeconfig")
	before := certificateIn(t, file)
	n1 := as(t, s, pki.NodeRequest("n1"))
	proxier := as(t, s, pki.ProxierRequest("n1"))
	n2 := as(t, s, pki.NodeRequest("n2"))
	addNode(t, s, "n1")
	addNode(t, s, "n2")
	open := must[watch.Interface](t)(n1.CoreV1().Services("").Watch(t.Context(), metav1.ListOptions{}))
	defer open.Stop()

	kubelet := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "here") }))
	own := must[tls.Certificate](t)(must[*pki.Pair](t)(authorityOf(t, s).Issue(pki.NodeServingRequest("n1", net.IPv4(127, 0, 0, 1)))).TLS())
	kubelet.TLS = &tls.Config{Certificates: []tls.Certificate{own}}
	kubelet.StartTLS()
	defer kubelet.Close()
	setKubelet(t, s, "n1", kubelet.URL)
	through := func() error {
		_, err := s.CoreV1().RESTClient().Get().AbsPath("/api/v1/nodes/n1/proxy/pods").DoRaw(t.Context())
		return err
	}
	if err := through(); err != nil {
		t.Fatal(err)
	}

	revoke(t, s, "--node", "n1")
	get := func(c kubernetes.Interface) error {
		_, err := c.CoreV1().Services("").List(t.Context(), metav1.ListOptions{})
		return err
	}
	for name, c := range map[string]kubernetes.Interface{"kubelet": n1, "proxy": proxier} {
		wait.Within(t, 10*time.Second, "the "+name+" is refused", func() error {
			if err := get(c); !apierrors.IsUnauthorized(err) {
				return fmt.Errorf("it gets %v", err)
			}
			return nil
		})
	}
	wait.Within(t, 10*time.Second, "the kubelet is not trusted", func() error {
		if through() == nil {
			return fmt.Errorf("the API server uses it")
		}
		return nil
	})
	for ended := false; !ended; {
		select {
		case _, more := <-open.ResultChan():
			ended = !more
		case <-time.After(10 * time.Second):
			t.Fatal("a watch of the revoked node goes on")
		}
	}
	if err := get(n2); err != nil {
		t.Errorf("another node: %v", err)
	}
	list := string(must[[]byte](t)(exec.Command(binary, "certs", "revoked", "--kubeconfig", s.kubeconfig).Output()))
	if !strings.Contains(list, "node.n1") {
		t.Errorf("certs revoked printed %q", list)
	}
	list = string(must[[]byte](t)(exec.Command(binary, "certs", "list", "--state-dir", filepath.Dir(s.kubeconfig), "--kubeconfig", s.kubeconfig).Output()))
	for _, line := range []string{"kube-apiserver ", "kubernetes-admin ", "kube-apiserver-kubelet-client ", "system:node:owned ", "wheelhouse "} {
		if !strings.Contains(list, "\n"+line) {
			t.Errorf("certs list has no line of %s:\n%s", line, list)
		}
	}
	for line := range strings.Lines(list) {
		if !strings.Contains(line, " valid ") && !strings.HasPrefix(line, "OF") && !strings.HasPrefix(line, "sa ") {
			t.Errorf("not valid: %s", line)
		}
	}

	wait.Within(t, 10*time.Second, "the node joins again", func() error {
		k, err := client.Join(t.Context(), adminConfig(t, s).Host, adminConfig(t, s).CAData, joinToken(t, s, "--node", "n1"), "n1")
		if err != nil {
			return err
		}
		again := must[*rest.Config](t)(clientcmd.BuildConfigFromFlags("", s.kubeconfig))
		again.CertData, again.KeyData = k.Cert, k.Key
		return get(must[*kubernetes.Clientset](t)(kubernetes.NewForConfig(again)))
	})

	// The server writes a kubeconfig of its own node again.
	revoke(t, s, "--node", "owned")
	wait.Within(t, 10*time.Second, "a new kubeconfig", func() error {
		cfg, err := clientcmd.BuildConfigFromFlags("", file)
		if err != nil {
			return err
		}
		if certificateIn(t, file).SerialNumber.Cmp(before.SerialNumber) == 0 {
			return fmt.Errorf("the certificate is the same")
		}
		// The revocation counts to the next second, within which a new one is due again.
		return get(must[*kubernetes.Clientset](t)(kubernetes.NewForConfig(cfg)))
	})
}

// One certificate is revoked by its serial number, of whomever it is.
func TestRevokedSerial(t *testing.T) {
	t.Parallel()
	s := startServer(t, "apiserver", t.TempDir())
	cfg := configAs(t, s, pki.Request{CommonName: "ann", Organization: []string{pki.Admins}, Client: true})
	pair := must[tls.Certificate](t)(tls.X509KeyPair(cfg.CertData, cfg.KeyData))
	ann := must[*kubernetes.Clientset](t)(kubernetes.NewForConfig(cfg))
	must[*corev1.NodeList](t)(ann.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{}))
	dialer := websocket.Dialer{TLSClientConfig: must[*tls.Config](t)(rest.TLSConfigFor(cfg))}
	address := "wss" + strings.TrimPrefix(cfg.Host, "https") + "/api/v1/services?watch=1"
	open, response, err := dialer.DialContext(t.Context(), address, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	defer func() { _ = open.Close() }()
	ended := make(chan error, 1)
	go func() {
		for err := error(nil); err == nil; {
			if _, _, err = open.ReadMessage(); err != nil {
				ended <- err
			}
		}
	}()
	revoke(t, s, "--serial", fmt.Sprintf("%x", pair.Leaf.SerialNumber))
	wait.Within(t, 10*time.Second, "it is refused", func() error {
		if _, err := ann.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{}); !apierrors.IsUnauthorized(err) {
			return fmt.Errorf("it gets %v", err)
		}
		return nil
	})
	select {
	case err := <-ended:
		t.Logf("the watch has ended: %v", err)
	case <-time.After(10 * time.Second):
		t.Error("a watch over a WebSocket goes on")
	}
	must[*corev1.NodeList](t)(s.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{}))
}

// A node's certificates live 90 days, are renewed after about 60 while the process runs,
// and the new one is used at once and is in the file.
func TestNodeRenews(t *testing.T) {
	t.Parallel()
	s := startServer(t, "apiserver", t.TempDir(), "--node", "n1=127.0.0.2")
	file := filepath.Join(filepath.Dir(s.kubeconfig), "n1.kubeconfig")
	first := certificateIn(t, file)
	if life := time.Until(first.NotAfter); life > 90*24*time.Hour || life < 89*24*time.Hour {
		t.Errorf("a node's certificate lives %v", life)
	}
	now := clocktesting.NewFakeClock(time.Now())
	log := slog.New(slog.DiscardHandler)
	id := must[*client.Identity](t)(client.NodeIdentity(file, log, now))
	id.Listed = t.TempDir()
	proxier := must[*client.Identity](t)(id.Proxier(t.Context()))
	serving := id.Serving("n1", net.IPv4(127, 0, 0, 2))
	if err := serving.Renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, run := range []func() error{
		func() error { return id.Run(t.Context()) }, func() error { return proxier.Run(t.Context()) }, func() error { return serving.Run(t.Context()) },
	} {
		go func() { _ = run() }() // ends with the test
	}
	whoami := must[*kubernetes.Clientset](t)(kubernetes.NewForConfig(id.Config))
	list := func() error {
		_, err := whoami.CoreV1().Services("").List(t.Context(), metav1.ListOptions{})
		return err
	}
	served := must[*tls.Certificate](t)(serving.ForServer(nil))
	// The certificates in memory are listed, as they are now.
	listed := func(name string) []byte {
		block, _ := pem.Decode(must[[]byte](t)(os.ReadFile(filepath.Join(id.Listed, name+".crt"))))
		return block.Bytes
	}
	if !bytes.Equal(listed("kubelet-serving"), served.Certificate[0]) {
		t.Error("another certificate is listed than is served")
	}
	proxiers := listed("node-proxier")
	days := func(n int) {
		t.Helper()
		wait.Within(t, 10*time.Second, "all three wait", func() error {
			if !now.HasWaiters() {
				return fmt.Errorf("nobody does")
			}
			return nil
		})
		now.Step(time.Duration(n) * 24 * time.Hour)
	}
	days(50)
	if err := list(); err != nil {
		t.Fatal(err)
	}
	if c := certificateIn(t, file); c.SerialNumber.Cmp(first.SerialNumber) != 0 {
		t.Error("renewed after 50 days")
	}
	days(20)
	wait.Within(t, 10*time.Second, "new certificates", func() error {
		now.Step(time.Minute)
		if c := certificateIn(t, file); c.SerialNumber.Cmp(first.SerialNumber) == 0 {
			return fmt.Errorf("the file has the same")
		}
		if c := must[*tls.Certificate](t)(serving.ForServer(nil)); bytes.Equal(c.Certificate[0], served.Certificate[0]) {
			return fmt.Errorf("the same is served")
		}
		if c := must[*tls.Certificate](t)(serving.ForServer(nil)); !bytes.Equal(c.Certificate[0], listed("kubelet-serving")) || bytes.Equal(proxiers, listed("node-proxier")) {
			return fmt.Errorf("a former one is listed")
		}
		return nil
	})
	if st := must[os.FileInfo](t)(os.Stat(file)); st.Mode().Perm() != 0o600 {
		t.Errorf("the file has mode %v", st.Mode())
	}
	// The former certificate is revoked: what still works is the new one.
	revoke(t, s, "--serial", fmt.Sprintf("%x", first.SerialNumber))
	wait.Within(t, 10*time.Second, "the former certificate is refused", func() error {
		old := must[*pki.Pair](t)(authorityOf(t, s).Pair("n1", pki.NodeRequest("n1")))
		cfg := must[*rest.Config](t)(clientcmd.BuildConfigFromFlags("", s.kubeconfig))
		cfg.CertData, cfg.KeyData = old.Cert, old.Key
		_, err := must[*kubernetes.Clientset](t)(kubernetes.NewForConfig(cfg)).CoreV1().Services("").List(t.Context(), metav1.ListOptions{})
		if !apierrors.IsUnauthorized(err) {
			return fmt.Errorf("it gets %v", err)
		}
		return nil
	})
	if err := list(); err != nil {
		t.Errorf("with the new certificate: %v", err)
	}
}

func adminConfig(t *testing.T, s *server) *rest.Config {
	t.Helper()
	return must[*rest.Config](t)(clientcmd.BuildConfigFromFlags("", s.kubeconfig))
}

// setKubelet writes into a node's status where its kubelet answers.
func setKubelet(t *testing.T, s *server, name, at string) {
	t.Helper()
	u := must[*url.URL](t)(url.Parse(at))
	n := must[*corev1.Node](t)(s.CoreV1().Nodes().Get(t.Context(), name, metav1.GetOptions{}))
	n.ResourceVersion = "" // the node controller may have changed it meanwhile
	n.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: u.Hostname()}}
	n.Status.DaemonEndpoints.KubeletEndpoint.Port = int32(must[int](t)(strconv.Atoi(u.Port())))
	must[*corev1.Node](t)(s.CoreV1().Nodes().UpdateStatus(t.Context(), n, metav1.UpdateOptions{}))
}
