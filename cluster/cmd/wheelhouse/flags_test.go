//go:build !quick

package main_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// call runs the program to its end and gives its exit status and standard error.
func call(t *testing.T, program string, args ...string) (status int, stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	c := exec.CommandContext(ctx, program, args...)
	var out bytes.Buffer
	c.Stderr = &out
	err := c.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if ctx.Err() != nil {
		t.Fatalf("%s goes on:\n%s", strings.Join(args, " "), out.String())
	}
	return c.ProcessState.ExitCode(), out.String()
}

// The program's name alone prints what to begin with, at the end, where a small terminal shows it.
func TestWhatToBeginWith(t *testing.T) {
	t.Parallel()
	lines := strings.Split(strings.TrimSpace(string(must[[]byte](t)(exec.Command(binary).Output()))), "\n")
	if end := strings.Join(lines[len(lines)-2:], " "); !strings.Contains(end, "'wheelhouse up'") || !strings.Contains(end, "'wheelhouse lab'") {
		t.Errorf("the end is %q", end)
	}
}

// What was typed wrongly is reported in one sentence, with the remedy.
func TestBadFlags(t *testing.T) {
	t.Parallel()
	taken := must[net.Listener](t)(net.Listen("tcp", "127.0.0.1:0"))
	t.Cleanup(func() { _ = taken.Close() }) // the subtests run after this function
	_, port, _ := net.SplitHostPort(taken.Addr().String())
	dir := t.TempDir()
	broken := filepath.Join(dir, "broken.kubeconfig")
	if err := os.WriteFile(broken, []byte("not: [yaml"), 0o600); err != nil {
		t.Fatal(err)
	}
	server := func(args ...string) []string {
		return append([]string{"server", "--state-dir", filepath.Join(dir, "state"), "--port", "0", "--dns-port", "0"}, args...)
	}
	for name, c := range map[string]struct {
		args []string
		want []string
	}{
		"unknown command":     {[]string{"frobnicate"}, []string{`"frobnicate"`, "wheelhouse --help"}},
		"misspelt command":    {[]string{"srver"}, []string{`"srver"`, "server"}},
		"unknown flag":        {server("--frob"), []string{"--frob", "wheelhouse server --help"}},
		"stray argument":      {server("extra"), []string{`"extra"`}},
		"port taken":          {server("--port", port), []string{port, "in use", "--port"}},
		"no such port":        {server("--port", "99999"), []string{"99999", "--port"}},
		"no such DNS port":    {server("--dns-port", "70000"), []string{"--dns-port 70000", "65536"}},
		"address not ours":    {server("--address", "192.0.2.1"), []string{"192.0.2.1", "--address"}},
		"no address":          {server("--address", "fish"), []string{"fish", "--address", "10.245.1.2"}},
		"bad CIDR":            {server("--pod-cidr", "10.0.0.0/99"), []string{"10.0.0.0/99", "--pod-cidr", "10.246.0.0/16"}},
		"DNS out of range":    {server("--dns-port", "53", "--dns-address", "1.2.3.4"), []string{"1.2.3.4", "--service-cidr"}},
		"node without IP":     {server("--node", "minion-1"), []string{`"minion-1"`, "NAME=IP"}},
		"node with bad name":  {server("--node", "../x=1.2.3.4"), []string{`"../x"`, "lower case"}},
		"bad pool":            {server("--load-balancer-pool", "192.0.2.9"), []string{"--load-balancer-pool", `"192.0.2.9"`, "192.168.1.240/28"}},
		"pool of pods":        {server("--load-balancer-pool", "10.246.7.0/24"), []string{"10.246.7.0", "--pod-cidr 10.246.0.0/16"}},
		"bad port range":      {server("--service-node-port-range", "9-1"), []string{`"9-1"`, "30000-32767"}},
		"lease not held":      {server("--leader-elect-retry-period", "9s"), []string{"--leader-elect-retry-period", "9s"}},
		"not a directory":     {server("--state-dir", filepath.Join(broken, "x")), []string{broken, "--state-dir"}},
		"etcd without scheme": {server("--etcd-servers", "127.0.0.1:2379"), []string{"127.0.0.1:2379", "https://"}},
		"etcd files alone":    {server("--etcd-cafile", "x"), []string{"--etcd-cafile", "--etcd-servers"}},
		"etcd CA missing":     {server("--etcd-servers", "https://127.0.0.1:1", "--etcd-cafile", "/nonexistent"), []string{"/nonexistent"}},
		"etcd unreachable":    {server("--etcd-servers", "http://127.0.0.1:1", "--timeout", "1s"), []string{"http://127.0.0.1:1", "--etcd-servers", "--timeout"}},
		"no time":             {[]string{"up", "--timeout", "0s"}, []string{"--timeout 0s", "10m"}},
		"no kubeconfig":       {[]string{"scheduler"}, []string{"--kubeconfig"}},
		"missing kubeconfig":  {[]string{"controller-manager", "--kubeconfig", "/nonexistent"}, []string{"/nonexistent"}},
		"broken kubeconfig":   {[]string{"dns", "--kubeconfig", broken}, []string{broken, "yaml"}},
		"node without flags":  {[]string{"node"}, []string{"--server", "--token", "--ca-pin"}},
		"node of no cluster":  {[]string{"node", "--state-dir", dir, "--name", "n", "--address", "127.0.0.1", "--pod-cidr", "10.0.0.0/30"}, []string{"--kubeconfig", "--token"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			status, stderr := call(t, binary, c.args...)
			last := stderr[strings.LastIndex(strings.TrimSpace(stderr), "\n")+1:]
			if status != 1 || !strings.HasPrefix(last, "wheelhouse: ") {
				t.Errorf("exit status %d, saying %q", status, stderr)
			}
			for _, want := range c.want {
				if !strings.Contains(last, want) {
					t.Errorf("%q does not tell of %q", last, want)
				}
			}
		})
	}
}

// A node that is refused for its flags has written nothing.
func TestRefusedNodeWritesNothing(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "state")
	if status, said := call(t, binary, "node", "--state-dir", dir, "--name", "n", "--server", "https://192.0.2.1:6443"); status != 1 || !strings.Contains(said, "--token") {
		t.Errorf("exit status %d, saying %q", status, said)
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s: %v", dir, err)
	}
}

// A program called kubectl is kubectl, to its exit status.
func TestKubectlLink(t *testing.T) {
	t.Parallel()
	s := startServer(t, "apiserver", t.TempDir())
	kubectl := filepath.Join(t.TempDir(), "kubectl")
	if err := os.Symlink(binary, kubectl); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "map.yaml")
	if err := os.WriteFile(file, []byte("{apiVersion: v1, kind: ConfigMap, metadata: {name: m, namespace: default}}"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args string
		want int
	}{
		{"get namespace default", 0},
		{"get namespace nowhere", 1},
		{"frobnicate", 1},
		{"diff -f " + file, 1}, // there is a difference
		{"apply -f " + file, 0},
		{"diff -f " + file, 0},
		{"auth can-i get pods --as nobody", 1},
		{"wait --for=delete --timeout=100ms -n default configmap/m", 1},
	} {
		args := append([]string{"--kubeconfig", s.kubeconfig}, strings.Fields(c.args)...)
		for _, as := range [][]string{append([]string{kubectl}, args...), append([]string{binary, "kubectl"}, args...)} {
			if got, stderr := call(t, as[0], as[1:]...); got != c.want {
				t.Errorf("%s: exit status %d, want %d: %s", strings.Join(as, " "), got, c.want, stderr)
			}
		}
	}
}
