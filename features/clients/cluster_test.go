package clients

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/cluster/wait"
)

// TestCluster drives the clients that need containers, on a cluster of one node. It needs root, Docker and the
// images.
func TestCluster(t *testing.T) {
	c := bringUp(t)
	t.Run("helm", func(t *testing.T) { helmWaits(t, c) })
	t.Run("python", func(t *testing.T) { pythonInPods(t, c) })
	t.Run("stern", func(t *testing.T) { sternTails(t, c) })
	t.Run("metrics-server", func(t *testing.T) { metricsServer(t, c) })
}

// bringUp starts a cluster that is gone when the test ends.
func bringUp(t *testing.T) *cluster {
	t.Helper()
	name := fmt.Sprintf("test%d-clients", os.Getpid())
	wheelhouse := func(ctx context.Context, args ...string) string {
		out, err := exec.CommandContext(ctx, built(t, "wheelhouse"), append(args, "--name", name)...).CombinedOutput()
		if err != nil {
			t.Errorf("wheelhouse %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	t.Cleanup(func() { wheelhouse(context.Background(), "down") })
	wheelhouse(t.Context(), "up", "--isolated", "--nodes", "1")
	kubeconfig := strings.TrimSpace(wheelhouse(t.Context(), "kubeconfig"))
	if t.Failed() {
		t.FailNow()
	}
	return connect(t, kubeconfig)
}

// helmWaits installs a chart, waits for its pods and runs its test.
func helmWaits(t *testing.T, c *cluster) {
	t.Helper()
	helm := func(args ...string) string { return c.run(t, program(t, "helm"), args...) }
	holds(t, helm("install", "blue", "testdata/chart", "--wait", "--timeout", limit.String()), "STATUS: deployed")
	holds(t, helm("test", "blue", "--logs", "--timeout", limit.String()), "Phase:          Succeeded", "<title>")
	helm("uninstall", "blue", "--wait", "--timeout", limit.String())
}

// pythonInPods executes a command in a pod, sends it input, reads and follows its log, and forwards a port.
func pythonInPods(t *testing.T, c *cluster) {
	t.Helper()
	c.apply(t, deployment("pages", 1))
	c.kubectl(t, "rollout", "status", "deployment/pages", "--timeout", limit.String())
	holds(t, c.run(t, python, "testdata/pods.py"), "exec, log and port forwarding work")
}

// sternTails prints the logs of all containers of an app, and follows those of pods that come later.
func sternTails(t *testing.T, c *cluster) {
	t.Helper()
	c.apply(t, strings.Replace(deployment("talk", 2), "imagePullPolicy: IfNotPresent", `imagePullPolicy: IfNotPresent, command: [sh, -c, "echo hello from $HOSTNAME; sleep 3600"]`, 1))
	c.kubectl(t, "rollout", "status", "deployment/talk", "--timeout", limit.String())
	pods := func() []string {
		return strings.Fields(c.kubectl(t, "get", "pods", "-l", "app=talk", "-o", "jsonpath={.items[*].metadata.name}"))
	}
	out := c.run(t, program(t, "stern"), "talk", "--no-follow", "--output", "json")
	for _, pod := range pods() {
		holds(t, out, fmt.Sprintf(`"message":"hello from %[1]s","nodeName":`, pod), fmt.Sprintf(`"podName":%q`, pod))
	}
	follow := exec.CommandContext(t.Context(), program(t, "stern"), "deployment/talk", "--output", "raw")
	seen := &lines{}
	follow.Env, follow.Stdout, follow.Stderr = c.environment(), seen, os.Stderr
	if err := follow.Start(); err != nil {
		t.Fatal(err)
	}
	c.kubectl(t, "scale", "deployment", "talk", "--replicas", "3")
	wait.Within(t, limit, "what the third pod says", func() error {
		return wait.Seen(strings.Count(seen.String(), "hello from talk-") == 3, seen.String())
	})
	if err := follow.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = follow.Wait() // it was killed
}

// metricsServer starts metrics-server, and reads from it as somebody with the right to, and without.
func metricsServer(t *testing.T, c *cluster) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := fmt.Sprint(listener.Addr().(*net.TCPAddr).Port)
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	server := exec.CommandContext(t.Context(), program(t, "metrics-server"), "--kubeconfig", c.kubeconfig, "--authentication-kubeconfig", c.kubeconfig,
		"--authorization-kubeconfig", c.kubeconfig, "--kubelet-insecure-tls", "--kubelet-preferred-address-types", "InternalIP", "--bind-address", "127.0.0.1", "--secure-port", port,
		"--cert-dir", t.TempDir(), "--metric-resolution", "15s")
	log := &lines{}
	server.Env, server.Stdout, server.Stderr = c.environment(), log, log
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait() // it was killed
		if t.Failed() {
			t.Log(log.String())
		}
	})
	c.apply(t, deployment("measured", 1))
	c.kubectl(t, "create", "serviceaccount", "reader")
	c.kubectl(t, "create", "serviceaccount", "other")
	c.kubectl(t, "create", "clusterrole", "metrics-reader", "--verb", "get,list", "--resource", "nodes.metrics.k8s.io,pods.metrics.k8s.io")
	c.kubectl(t, "create", "clusterrolebinding", "metrics-reader", "--clusterrole", "metrics-reader", "--serviceaccount", "default:reader")
	base := "https://127.0.0.1:" + port + "/apis/metrics.k8s.io/v1beta1"
	wait.Within(t, limit, "the usage of the node and of its pods", func() error {
		for _, path := range []string{"/nodes", "/namespaces/default/pods"} {
			code, body := c.getAs(t, "reader", base+path)
			var list struct {
				Items []struct {
					Usage      map[string]string
					Containers []struct{ Usage map[string]string }
				}
			}
			if err := json.Unmarshal([]byte(body), &list); code != http.StatusOK || err != nil || len(list.Items) == 0 {
				return fmt.Errorf("%s: %d %s", path, code, body)
			}
			if usage := list.Items[0]; usage.Usage["memory"] == "" && usage.Containers[0].Usage["memory"] == "" {
				return fmt.Errorf("%s: no memory in %s", path, body)
			}
		}
		return nil
	})
	if code, body := c.getAs(t, "other", base+"/nodes"); code != http.StatusForbidden {
		t.Errorf("who has no right gets %d %s", code, body)
	}
}

// getAs reads a URL with the token of a service account; what fails has the code 0.
func (c *cluster) getAs(t *testing.T, account, url string) (code int, body string) {
	t.Helper()
	token, err := c.client.CoreV1().ServiceAccounts("default").CreateToken(t.Context(), account, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token.Status.Token)
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // its certificate is its own
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err.Error()
	}
	return response.StatusCode, string(text)
}

// lines is what a program has printed so far.
type lines struct {
	mu  sync.Mutex
	out bytes.Buffer
}

// Write implements io.Writer.
func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.out.Write(p)
}

// String returns all of it.
func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.out.String()
}
