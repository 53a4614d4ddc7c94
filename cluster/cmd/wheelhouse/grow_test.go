//go:build !quick

package main_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"wheelhouse/cluster/client"
	"wheelhouse/cluster/masters"
	"wheelhouse/cluster/store/etcd"
	"wheelhouse/cluster/wait"
)

// members are those of the cluster, as wheelhouse etcd members prints them.
func members(t *testing.T, m *master) (all []etcd.MemberInfo) {
	t.Helper()
	out := mustRun(t, binary, "etcd", "members", "--output", "json", "--kubeconfig", m.kubeconfig)
	if err := json.Unmarshal([]byte(out), &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// full fails the test unless the cluster has just these masters, all with a vote and answering.
func full(t *testing.T, m *master, names ...string) {
	t.Helper()
	wait.For(t, fmt.Sprint("the masters ", names), func() error {
		all := members(t, m)
		var have []string
		for _, o := range all {
			if o.Learner || !o.Answers {
				return fmt.Errorf("%+v", all)
			}
			have = append(have, o.Name)
		}
		slices.Sort(have)
		return wait.Seen(slices.Equal(have, names), have)
	})
}

func makeMap(t *testing.T, s *server, name string) {
	t.Helper()
	wait.For(t, "writing "+name, func() error {
		_, err := s.CoreV1().ConfigMaps("default").Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) { // of a try without an answer
			return nil
		}
		return err
	})
}

// joinRequest is a request for the keys, as somebody sends it who has what is given.
type joinRequest struct {
	server      *master
	token       string
	bearer      string
	certificate *tls.Certificate
}

// send returns the status, and fails the test if there are keys in the answer.
func (r joinRequest) send(t *testing.T) int {
	t.Helper()
	rc, err := clientcmd.BuildConfigFromFlags("", r.server.kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(rc.CAData)
	conf := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	if r.certificate != nil {
		conf.Certificates = []tls.Certificate{*r.certificate}
	}
	body := must[[]byte](t)(json.Marshal(masters.Request{Token: r.token, Joiner: strings.Repeat("j", 32), Name: "thief", PeerURL: "https://10.99.0.3:2380"}))
	req := must[*http.Request](t)(http.NewRequestWithContext(t.Context(), http.MethodPost, rc.Host+masters.JoinPath, bytes.NewReader(body)))
	if r.bearer != "" {
		req.Header.Set("Authorization", "Bearer "+r.bearer)
	}
	transport := &http.Transport{TLSClientConfig: conf}
	defer transport.CloseIdleConnections()
	resp := must[*http.Response](t)((&http.Client{Transport: transport}).Do(req))
	defer resp.Body.Close()
	text := must[[]byte](t)(io.ReadAll(resp.Body))
	if resp.StatusCode == http.StatusOK || bytes.Contains(text, []byte("PRIVATE")) || bytes.Contains(text, []byte(`"keys"`)) {
		t.Errorf("status %d: %s", resp.StatusCode, text)
	}
	return resp.StatusCode
}

// TestMasterTokens: nothing but a master token gives the keys, and that once.
func TestMasterTokens(t *testing.T) {
	t.Parallel()
	if !ownNetwork(t, 10*time.Minute) {
		return
	}
	m := newMaster(t, 0, "--cluster-init")
	m.start(t)
	m.ready(t)
	credential := func(token string) string { c, _, _ := strings.Cut(token, "@"); return c }
	url, good := masterToken(t, m.server)

	// A node: its token and its certificate.
	words := strings.Fields(mustRun(t, binary, "token", "--kubeconfig", m.kubeconfig))
	nodeToken := words[slices.Index(words, "--token")+1]
	ca := must[[]byte](t)(client.PinnedCA(t.Context(), url, words[slices.Index(words, "--ca-pin")+1]))
	node := must[*client.Kubeconfig](t)(client.Join(t.Context(), url, ca, nodeToken, "n1"))
	stolen := must[tls.Certificate](t)(tls.X509KeyPair(node.Cert, node.Key))
	words = strings.Fields(mustRun(t, binary, "token", "--kubeconfig", m.kubeconfig))
	nodeToken = words[slices.Index(words, "--token")+1]

	// Tokens that are no longer valid.
	_, deleted := masterToken(t, m.server)
	id := strings.Split(deleted, ".")[1]
	mustRun(t, binary, "token", "delete", id, "--kubeconfig", m.kubeconfig)
	short := strings.Fields(mustRun(t, binary, "token", "--master", "--ttl", "1s", "--kubeconfig", m.kubeconfig))
	expired := short[slices.Index(short, "--token")+1]
	wait.Within(t, time.Minute, "the token's life ends", func() error {
		s, err := m.CoreV1().Secrets("kube-system").Get(t.Context(), "master-token-"+strings.Split(expired, ".")[1], metav1.GetOptions{})
		if err != nil {
			return err
		}
		at, err := time.Parse(time.RFC3339, string(s.Data["expiration"]))
		if err != nil {
			return err
		}
		return wait.Seen(time.Now().After(at), at)
	})
	// A Secret that somebody with rights on Secrets has written: another token's, with a hash that
	// they know the token of.
	_, known := masterToken(t, m.server)
	secrets := m.CoreV1().Secrets("kube-system")
	forged := must[*corev1.Secret](t)(secrets.Get(t.Context(), "master-token-"+strings.Split(known, ".")[1], metav1.GetOptions{}))
	target := must[*corev1.Secret](t)(secrets.Get(t.Context(), "master-token-"+strings.Split(good, ".")[1], metav1.GetOptions{}))
	mine := "master.aaaaaa." + strings.Split(credential(known), ".")[2]
	forged.ObjectMeta = metav1.ObjectMeta{Name: "master-token-aaaaaa"}
	forged.Data["token-id"] = []byte("aaaaaa")
	must[*corev1.Secret](t)(secrets.Create(t.Context(), forged, metav1.CreateOptions{}))
	if strings.Contains(fmt.Sprintf("%q", target.Data), strings.Split(credential(good), ".")[2]) {
		t.Error("the Secret holds the token itself")
	}

	for name, c := range map[string]struct {
		joinRequest
		want []int
	}{
		"nothing":                         {joinRequest{server: m}, []int{401}},
		"a node's token":                  {joinRequest{server: m, token: nodeToken}, []int{401}},
		"a node's token, as a user":       {joinRequest{server: m, token: nodeToken, bearer: nodeToken}, []int{403}},
		"a node's certificate":            {joinRequest{server: m, certificate: &stolen}, []int{403}},
		"a node's certificate and token":  {joinRequest{server: m, certificate: &stolen, token: nodeToken}, []int{403}},
		"a master token that was deleted": {joinRequest{server: m, token: credential(deleted)}, []int{401}},
		"one that has expired":            {joinRequest{server: m, token: credential(expired)}, []int{401}},
		"one that somebody has written":   {joinRequest{server: m, token: mine}, []int{401}},
		"one with another secret":         {joinRequest{server: m, token: credential(good)[:14] + strings.Repeat("a", 32)}, []int{401}},
	} {
		if got := c.send(t); !slices.Contains(c.want, got) {
			t.Errorf("with %s: status %d, want %v", name, got, c.want)
		}
	}
	path := filepath.Join(t.TempDir(), "node.kubeconfig")
	if err := client.WriteKubeconfig(path, *node); err != nil {
		t.Fatal(err)
	}
	stolenClient := must[*kubernetes.Clientset](t)(kubernetes.NewForConfig(must[*rest.Config](t)(clientcmd.BuildConfigFromFlags("", path))))
	if _, err := stolenClient.CoreV1().Secrets("kube-system").Get(t.Context(), target.Name, metav1.GetOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("a node reads a master token: %v", err)
	}
	if _, err := stolenClient.RESTClient().Post().AbsPath(masters.TokenPath).Param("ttl", "1h").DoRaw(t.Context()); !apierrors.IsForbidden(err) {
		t.Errorf("a node makes a master token: %v", err)
	}

	two := newMaster(t, 1, "--join", url, "--token", good)
	two.start(t)
	two.ready(t)
	full(t, m, "m0", "m1")
	if got := (joinRequest{server: m, token: credential(good)}).send(t); got != 401 {
		t.Errorf("a token that was used, by another machine: status %d", got)
	}
	list := mustRun(t, binary, "token", "list", "--kubeconfig", m.kubeconfig)
	if !strings.Contains(list, strings.Split(good, ".")[1]) || strings.Contains(list, id) {
		t.Errorf("token list:\n%s", list)
	}
	for _, file := range masters.KeyFiles {
		a, b := filepath.Join(m.dir, "pki", file), filepath.Join(two.dir, "pki", file)
		if !bytes.Equal(must[[]byte](t)(os.ReadFile(a)), must[[]byte](t)(os.ReadFile(b))) {
			t.Errorf("the masters differ in %s", file)
		}
		if mode := must[os.FileInfo](t)(os.Stat(b)).Mode(); mode != 0o600 {
			t.Errorf("%s has the mode %v", b, mode)
		}
	}
}

// TestPeersNeedTheirAuthority: a certificate of the cluster is none of etcd's members.
func TestPeersNeedTheirAuthority(t *testing.T) {
	t.Parallel()
	if !ownNetwork(t, 5*time.Minute) {
		return
	}
	m := newMaster(t, 0, "--cluster-init")
	m.start(t)
	m.ready(t)
	admin := must[tls.Certificate](t)(tls.LoadX509KeyPair(filepath.Join(m.dir, "pki", "admin.crt"), filepath.Join(m.dir, "pki", "admin.key")))
	peer := must[tls.Certificate](t)(tls.LoadX509KeyPair(filepath.Join(m.dir, "pki", "etcd", "peer.crt"), filepath.Join(m.dir, "pki", "etcd", "peer.key")))
	for name, c := range map[string]struct {
		certificates []tls.Certificate
		want         bool
	}{"none": {nil, false}, "the administrator's": {[]tls.Certificate{admin}, false}, "a member's": {[]tls.Certificate{peer}, true}} {
		transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, Certificates: c.certificates}}
		resp, err := (&http.Client{Transport: transport, Timeout: time.Minute}).Get("https://10.99.0.1:2380/members")
		if err == nil {
			_ = resp.Body.Close() // its status is all
		}
		if (err == nil) != c.want {
			t.Errorf("with the certificate %s: answered %v, %v", name, err == nil, err)
		}
		transport.CloseIdleConnections()
	}
}

// TestJoinBrokenOff: wherever a join is broken off, the cluster accepts writes, and the same
// command joins later.
func TestJoinBrokenOff(t *testing.T) {
	t.Parallel()
	if !ownNetwork(t, 15*time.Minute) {
		return
	}
	m := newMaster(t, 0, "--cluster-init")
	m.start(t)
	m.ready(t)
	url, token := masterToken(t, m.server)
	two := newMaster(t, 1, "--join", url, "--token", token)
	for i, file := range []string{"joiner", "pki/etcd/ca.key", "etcd/member/snap/db", "etcd/member/wal/0000000000000000-0000000000000000.wal", "etcd/made"} {
		two.start(t)
		wait.For(t, file+" is there", func() error { _, err := os.Stat(filepath.Join(two.dir, file)); return err })
		two.kill()
		if i < 4 { // the last one may have its vote already: of two masters both are needed then
			makeMap(t, m.server, fmt.Sprint("after-", i))
		}
	}
	two.start(t)
	two.ready(t)
	full(t, m, "m0", "m1")
	makeMap(t, two.server, "whole")
}

// TestGrowAndShrink: a single server takes masters after a restart, a dead one is replaced under
// its name, one is removed, and a snapshot is restored onto one and onto three.
func TestGrowAndShrink(t *testing.T) {
	t.Parallel()
	if !ownNetwork(t, 20*time.Minute) {
		return
	}
	m := newMaster(t, 0)
	m.start(t)
	m.ready(t)
	makeMap(t, m.server, "of-one")
	if out, err := exec.Command(binary, "etcd", "remove", "x", "--kubeconfig", m.kubeconfig).CombinedOutput(); err == nil || !strings.Contains(string(out), "--cluster-init") {
		t.Errorf("removing a master of one: %v, %s", err, out)
	}
	m.end(syscall.SIGTERM)
	m.args = append(m.args, "--cluster-init")
	m.start(t)
	m.ready(t)
	joining := func(i int, more ...string) *master {
		url, token := masterToken(t, m.server)
		return newMaster(t, i, append([]string{"--join", url, "--token", token}, more...)...)
	}
	two, three := joining(1), joining(2)
	for _, o := range []*master{two, three} {
		o.start(t)
		o.ready(t)
	}
	full(t, m, "m0", "m1", "m2")
	must[*corev1.ConfigMap](t)(three.CoreV1().ConfigMaps("default").Get(t.Context(), "of-one", metav1.GetOptions{}))
	addresses(t, m.server, "10.99.0.1", "10.99.0.2", "10.99.0.3")

	// Flags that the cluster has otherwise.
	three.end(syscall.SIGKILL)
	addresses(t, m.server, "10.99.0.1", "10.99.0.2")
	if said := refuses(t, joining(2, "--service-cidr", "10.1.0.0/16")); !strings.Contains(said, "--service-cidr") {
		t.Errorf("another range of services: %s", said)
	}
	// A name that is in use, and the same name when its master is dead.
	if said := refuses(t, joining(2, "--name", "m1")); !strings.Contains(said, "m1") {
		t.Errorf("the name of a master that runs: %s", said)
	}
	three = joining(2)
	three.start(t)
	three.ready(t)
	full(t, m, "m0", "m1", "m2")

	mustRun(t, binary, "etcd", "remove", "m2", "--kubeconfig", m.kubeconfig)
	wait.For(t, "the master that was removed ends", func() error {
		select {
		case <-three.ended:
			return wait.Seen(strings.Contains(three.log.String(), "have removed this one"), three.log.String())
		default:
			return errors.New("it runs")
		}
	})
	full(t, m, "m0", "m1")

	// A snapshot, onto one machine and then onto three.
	file := filepath.Join(t.TempDir(), "snapshot")
	mustRun(t, binary, "etcd", "snapshot", "save", file, "--kubeconfig", m.kubeconfig)
	makeMap(t, m.server, "after-the-snapshot")
	m.end(syscall.SIGTERM)
	two.end(syscall.SIGTERM)
	mustRun(t, binary, "etcd", "snapshot", "restore", file, "--state-dir", m.dir)
	m.start(t)
	m.ready(t)
	full(t, m, "m0")
	must[*corev1.ConfigMap](t)(m.CoreV1().ConfigMaps("default").Get(t.Context(), "of-one", metav1.GetOptions{}))
	if _, err := m.CoreV1().ConfigMaps("default").Get(t.Context(), "after-the-snapshot", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("what was written after the snapshot: %v", err)
	}
	for _, o := range []*master{two, three} {
		if err := os.RemoveAll(filepath.Join(o.dir, "etcd")); err != nil {
			t.Fatal(err)
		}
		url, token := masterToken(t, m.server)
		o.args = slices.Concat(o.args[:slices.Index(o.args, "--join")], []string{"--join", url, "--token", token})
		o.start(t)
		o.ready(t)
	}
	full(t, m, "m0", "m1", "m2")
	must[*corev1.ConfigMap](t)(three.CoreV1().ConfigMaps("default").Get(t.Context(), "of-one", metav1.GetOptions{}))
}

// refuses is what a master says that ends on its own.
func refuses(t *testing.T, m *master) string {
	t.Helper()
	m.start(t)
	select {
	case <-m.ended:
	case <-time.After(2 * time.Minute):
		t.Fatalf("it runs:\n%s", m.log.String())
	}
	return m.log.String()
}

// addresses waits until the kubernetes service has just these endpoints.
func addresses(t *testing.T, s *server, want ...string) {
	t.Helper()
	wait.For(t, fmt.Sprint("the endpoints ", want), func() error {
		slice, err := s.DiscoveryV1().EndpointSlices("default").Get(t.Context(), "kubernetes", metav1.GetOptions{})
		if err != nil {
			return err
		}
		var have []string
		for i := range slice.Endpoints {
			have = append(have, slice.Endpoints[i].Addresses...)
		}
		return wait.Seen(slices.Equal(have, want), have)
	})
}
