package clients

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"wheelhouse/cluster/wait"
)

// limit is the time for what should happen soon, on a slow machine.
const limit = 2 * time.Minute

// cluster is an API server that clients are driven against, with or without nodes.
type cluster struct {
	home       string // the home directory of clients
	kubeconfig string
	config     *rest.Config
	client     kubernetes.Interface
}

// startServer runs the control plane on a free port, without nodes.
func startServer(t *testing.T, flags ...string) *cluster {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.Command(built(t, "wheelhouse"), append([]string{"server", "--state-dir", dir, "--port", "0", "--dns-port", "0"}, flags...)...)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
	})
	return connect(t, filepath.Join(dir, "admin.kubeconfig"))
}

// connect waits until the server of a kubeconfig is ready.
func connect(t *testing.T, kubeconfig string) *cluster {
	t.Helper()
	c := &cluster{home: t.TempDir(), kubeconfig: kubeconfig}
	wait.Within(t, limit, "the server is ready", func() error {
		var err error
		if c.config, err = clientcmd.BuildConfigFromFlags("", kubeconfig); err != nil {
			return err
		}
		c.config.QPS = -1
		if c.client, err = kubernetes.NewForConfig(c.config); err == nil {
			_, err = c.client.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(t.Context())
		}
		return err
	})
	return c
}

// environment is what a client of the cluster's owner sees of the machine.
func (c *cluster) environment() []string {
	return append(os.Environ(), "HOME="+c.home, "XDG_CONFIG_HOME=", "XDG_CACHE_HOME=", "XDG_DATA_HOME=", "XDG_STATE_HOME=", "KUBECONFIG="+c.kubeconfig)
}

// try runs a program until it ends, and returns what it printed to both streams.
func (c *cluster) try(t *testing.T, path string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Env = c.environment()
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// run is try for what must succeed.
func (c *cluster) run(t *testing.T, path string, args ...string) string {
	t.Helper()
	out, err := c.try(t, path, args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", filepath.Base(path), strings.Join(args, " "), err, out)
	}
	return out
}

// kubectl runs the kubectl that was built with the server.
func (c *cluster) kubectl(t *testing.T, args ...string) string {
	t.Helper()
	return c.run(t, built(t, "kubectl"), args...)
}

// apply pipes a manifest into kubectl apply.
func (c *cluster) apply(t *testing.T, manifest string, args ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "manifest.yaml")
	if err := os.WriteFile(path, []byte(manifest), 0o600); err != nil {
		t.Fatal(err)
	}
	return c.kubectl(t, append([]string{"apply", "-f", path}, args...)...)
}

// holds fails the test unless a text has each of the parts.
func holds(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("no %q in:\n%s", part, text)
		}
	}
}
