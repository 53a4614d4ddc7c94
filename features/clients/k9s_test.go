package clients

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/cluster/wait"
)

// TestK9s: on its screens k9s shows pods and what changes of them, describes one, shows another resource that is typed in,
// with the server's columns, and deletes what is chosen.
func TestK9s(t *testing.T) {
	c := startServer(t, "--node-monitor-grace-period=1h")
	c.pretendNode(t, "a")
	c.apply(t, deployment("web", 1))
	c.pretendRunning(t, "web", 1)
	k := startK9s(t, c)
	k.shows("web-", "Running", "1/1")
	c.apply(t, deployment("second", 1))
	k.shows("second-", "Pending")

	k.prompts("/", "🐩", "web-")
	k.lacks("second-")
	k.types("d")
	k.shows("Service Account:", "Image:", "nginx:1.9.14")
	k.types("Escape")
	k.shows("RESTARTS") // an escape with a key behind it is another key
	k.prompts(":", "🐶", "deployments")
	k.shows("UP-TO-DATE", "second")
	k.prompts("/", "🐩", "second")
	k.lacks("web  ")
	k.types("C-d")
	k.shows("<Delete>")
	k.types("Tab", "Enter")
	wait.Within(t, limit, "the deployment is deleted", func() error {
		list, err := c.client.AppsV1().Deployments("default").List(t.Context(), metav1.ListOptions{})
		if err != nil {
			return err
		}
		if len(list.Items) != 1 || list.Items[0].Name != "web" {
			return fmt.Errorf("%d deployments\n%s", len(list.Items), k.screen())
		}
		return nil
	})
}

// terminal is k9s in a terminal of tmux.
type terminal struct {
	t      *testing.T
	socket string
}

func startK9s(t *testing.T, c *cluster) *terminal {
	t.Helper()
	k := &terminal{t, filepath.Join(t.TempDir(), "tmux")}
	command := fmt.Sprintf("%s --kubeconfig %s --namespace default --command pods --refresh 1", program(t, "k9s"), c.kubeconfig)
	cmd := exec.CommandContext(t.Context(), "tmux", "-S", k.socket, "-f", "/dev/null", "new-session", "-d", "-x", "160", "-y", "48", command)
	cmd.Env = append(c.environment(), "TERM=xterm-256color", "LANG=C.UTF-8")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("tmux: %v %s; features/clients/setup.sh installs it", err, out)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(k.screen())
			if log, err := os.ReadFile(filepath.Join(c.home, ".local/state/k9s/k9s.log")); err == nil {
				t.Log(string(log))
			}
		}
		_ = exec.Command("tmux", "-S", k.socket, "kill-server").Run() // it may have ended
	})
	return k
}

// types sends keys, each a text or the name of a key.
func (k *terminal) types(keys ...string) {
	k.t.Helper()
	for _, key := range keys {
		if out, err := exec.CommandContext(k.t.Context(), "tmux", "-S", k.socket, "send-keys", key).CombinedOutput(); err != nil {
			k.t.Fatalf("tmux: %v %s", err, out)
		}
	}
}

// prompts opens a prompt, waits for its sign, and enters a text.
func (k *terminal) prompts(key, sign, text string) {
	k.t.Helper()
	k.types(key)
	k.shows(sign)
	k.types(text)
	k.shows(sign, text)
	k.types("Enter")
}

func (k *terminal) screen() string {
	out, err := exec.Command("tmux", "-S", k.socket, "capture-pane", "-p").CombinedOutput()
	if err != nil {
		return err.Error()
	}
	return string(out)
}

// shows waits for a screen with all of the parts.
func (k *terminal) shows(parts ...string) {
	k.t.Helper()
	wait.Within(k.t, limit, "a screen with "+strings.Join(parts, ", "), func() error {
		screen := k.screen()
		for _, part := range parts {
			if !strings.Contains(screen, part) {
				return errors.New("no " + part + "\n" + screen)
			}
		}
		return nil
	})
}

// lacks waits for a screen without a text.
func (k *terminal) lacks(part string) {
	k.t.Helper()
	wait.Within(k.t, limit, "a screen without "+part, func() error {
		screen := k.screen()
		return wait.Seen(!strings.Contains(screen, part), screen)
	})
}
