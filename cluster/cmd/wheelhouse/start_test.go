//go:build !quick

package main_test

import (
	"net/url"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"wheelhouse/cluster/wait"
)

// A machine that boots before its server waits for it, and reports that; one whose server
// never comes ends with the flag that gives it more time. The pods' network is too small to
// run any, so that the kubelet ends once it has joined.
func TestNodeWaitsForServer(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := startServer(t, "apiserver", dir)
	words := strings.Fields(string(must[[]byte](t)(exec.Command(binary, "token", "--kubeconfig", s.kubeconfig).Output())))
	if len(words) < 8 {
		t.Fatalf("token printed %q", words)
	}
	line := append([]string{"kubelet"}, words[2:8]...)
	line = append(line, "--address", "127.0.0.1", "--pod-cidr", "10.0.0.0/30", "--name", "n1", "--state-dir", t.TempDir())
	at := must[*url.URL](t)(url.Parse(s.RESTClient().Get().URL().String()))
	s.end(syscall.SIGTERM)

	status, stderr := call(t, binary, append(line, "--timeout", "1s")...)
	if status != 1 || !strings.Contains(stderr, "waiting for the API server, for 1s (--timeout)") {
		t.Errorf("without a server: exit status %d, saying %s", status, stderr)
	}

	node := start(t, line...)
	wait.Within(t, time.Minute, "the node reports that it waits", func() error {
		said := node.log.String()
		return wait.Seen(strings.Contains(said, "msg=waiting") && strings.Contains(said, at.Host), said)
	})
	startServer(t, "apiserver", dir, "--port", at.Port())
	wait.Within(t, time.Minute, "the node has joined", func() error {
		select {
		case <-node.ended:
		default:
			return wait.Seen(false, node.log.String())
		}
		return wait.Seen(strings.Contains(node.log.String(), "pod CIDR"), node.log.String())
	})
}
