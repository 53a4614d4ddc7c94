//go:build !quick

package main_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"wheelhouse/cluster/wait"
)

// A machine with nothing but what `wheelhouse token` printed becomes a node. The pods'
// network is too small to run any, so that the kubelet ends once it has joined.
func TestJoin(t *testing.T) {
	t.Parallel()
	s := startServer(t, "apiserver", t.TempDir())
	out := must[[]byte](t)(exec.Command(binary, "token", "--kubeconfig", s.kubeconfig).Output())
	words := strings.Fields(string(out))
	if len(words) < 8 || !slices.Equal(words[:2], []string{"wheelhouse", "node"}) {
		t.Fatalf("token printed %q", out)
	}
	dir := t.TempDir()
	join := func(name string, change ...string) string {
		t.Helper()
		line := append([]string{"kubelet"}, words[2:8]...)
		line = append(line, "--name", name, "--address", "127.0.0.1", "--pod-cidr", "10.0.0.0/30", "--state-dir", dir)
		status, stderr := call(t, binary, append(line, change...)...)
		if status != 1 {
			t.Fatalf("exit status %d: %s", status, stderr)
		}
		return stderr
	}
	if said := join("n1", "--ca-pin", "sha256:00"); !strings.Contains(said, "--ca-pin") {
		t.Errorf("with another cluster's pin: %s", said)
	}
	if said := join("n1", "--token", "abcdef.0123456789abcdef"); !strings.Contains(said, "wheelhouse token") {
		t.Errorf("with an unknown token: %s", said)
	}
	missing := filepath.Join(t.TempDir(), "token")
	if said := join("n1", "--token-file", missing); !strings.Contains(said, missing) {
		t.Errorf("with a file of the token that is not there: %s", said)
	}
	held := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(held, []byte(words[slices.Index(words, "--token")+1]+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "n1.kubeconfig")
	// The token may be in a file; the second time it is a node already.
	for _, with := range [][]string{{"--token", "", "--token-file", held}, nil} {
		if said := join("n1", with...); !strings.Contains(said, "pod CIDR") {
			t.Fatalf("joining: %s", said)
		}
	}
	cfg, err := clientcmd.BuildConfigFromFlags("", file)
	if err != nil {
		t.Fatal(err)
	}
	node := must[*kubernetes.Clientset](t)(kubernetes.NewForConfig(cfg))
	register := func(name string) error {
		_, err := node.CoreV1().Nodes().Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
		return err
	}
	if err := register("n1"); err != nil {
		t.Errorf("registering as the node that joined: %v", err)
	}
	if register("n2") == nil {
		t.Error("a node registered another one")
	}
	// The pod CIDR is the one that the server has given the node.
	given := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n3"}, Spec: corev1.NodeSpec{PodCIDR: "10.9.9.0/30", PodCIDRs: []string{"10.9.9.0/30"}}}
	if _, err := s.CoreV1().Nodes().Create(t.Context(), given, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	line := append([]string{"kubelet"}, words[2:8]...)
	line = append(line, "--token", joinToken(t, s, "--node", "n3"), "--name", "n3", "--address", "127.0.0.1", "--state-dir", dir)
	if _, said := call(t, binary, line...); !strings.Contains(said, "pod CIDR 10.9.9.0/30") {
		t.Errorf("without --pod-cidr: %s", said)
	}
	before := certificateIn(t, file)
	revoke(t, s, "--node", "n1")
	wait.Within(t, 10*time.Second, "the node joins again", func() error {
		said := join("n1", "--token", joinToken(t, s, "--node", "n1"))
		if !strings.Contains(said, "pod CIDR") || certificateIn(t, file).SerialNumber.Cmp(before.SerialNumber) == 0 {
			return errors.New(said)
		}
		return nil
	})
}
