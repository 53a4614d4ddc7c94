//go:build !quick

package main_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A server that is stopped has written all that it answered.
func TestAuditLog(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "audit", "audit.log")
	s := startServer(t, "server", dir, "--audit-log-path", path)
	for _, name := range []string{"a", "b"} {
		must[*corev1.Namespace](t)(s.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}))
	}
	makeSecrets(t, s, "s", 1)
	s.end(syscall.SIGTERM)
	log := must[[]byte](t)(os.ReadFile(path))
	var made []string
	for line := range strings.Lines(string(log)) {
		var e struct {
			Verb      string
			Stage     string
			User      struct{ Username string }
			ObjectRef struct{ Resource, Name string }
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if e.Verb == "create" && e.User.Username == "kubernetes-admin" {
			made = append(made, e.Stage+" "+e.ObjectRef.Resource+"/"+e.ObjectRef.Name)
		}
	}
	if got, want := strings.Join(made, ", "), "ResponseComplete namespaces/a, ResponseComplete namespaces/b, ResponseComplete secrets/s0"; got != want {
		t.Errorf("the log has %s\nwant %s", got, want)
	}
	if bytes.Contains(log, []byte(hush)) {
		t.Error("the log holds the secret")
	}
	for _, file := range []string{path, filepath.Dir(path)} {
		if info := must[os.FileInfo](t)(os.Stat(file)); info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", file, info.Mode())
		}
	}
}

func TestAuditFlagsAreChecked(t *testing.T) {
	t.Parallel()
	bad := filepath.Join(t.TempDir(), "policy.yaml")
	if err := os.WriteFile(bad, []byte("kind: Policy\napiVersion: audit.k8s.io/v1\nrules: [{level: All}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, args := range map[string][]string{
		"needs --audit-log-path":   {"--audit-policy-file", bad},
		`Unsupported value: "All"`: {"--audit-policy-file", bad, "--audit-log-path", "-"},
		"/proc/nothing":            {"--audit-log-path", "/proc/nothing/audit.log"},
	} {
		out, err := exec.Command(binary, append([]string{"apiserver", "--state-dir", t.TempDir(), "--port", "0"}, args...)...).CombinedOutput()
		if err == nil || !strings.Contains(string(out), want) {
			t.Errorf("%v: %v\n%s", args, err, out)
		}
	}
}
