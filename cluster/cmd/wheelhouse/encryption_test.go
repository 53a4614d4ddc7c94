//go:build !quick

package main_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"wheelhouse/cluster/store/etcd"

	clientv3 "go.etcd.io/etcd/client/v3"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/cluster/store/encryption"
	"wheelhouse/cluster/wait"
)

const hush = "what nobody may read"

func makeSecrets(t *testing.T, s *server, prefix string, n int) {
	t.Helper()
	for i := range n {
		must[*corev1.Secret](t)(s.CoreV1().Secrets("default").Create(t.Context(), &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint(prefix, i)}, Data: map[string][]byte{"password": []byte(hush)},
		}, metav1.CreateOptions{}))
	}
}

func secretsAreRead(t *testing.T, s *server, want int) {
	t.Helper()
	all := must[*corev1.SecretList](t)(s.CoreV1().Secrets("default").List(t.Context(), metav1.ListOptions{}))
	if len(all.Items) != want {
		t.Errorf("%d secrets, want %d", len(all.Items), want)
	}
	for i := range all.Items {
		if got := all.Items[i].Data["password"]; string(got) != hush {
			t.Errorf("%s reads %q", all.Items[i].Name, got)
		}
	}
}

// contains reports whether a file below dir has text in it.
func contains(t *testing.T, dir, text string) bool {
	t.Helper()
	found := false
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		found = found || bytes.Contains(data, []byte(text))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// No file of etcd holds what a Secret holds, from the first start on.
func TestSecretsAreEncryptedByDefault(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := startServer(t, "apiserver", dir)
	makeSecrets(t, s, "a", 3)
	const open = "what everybody may read"
	must[*corev1.ConfigMap](t)(s.CoreV1().ConfigMaps("default").Create(t.Context(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "a"}, Data: map[string]string{"x": open},
	}, metav1.CreateOptions{}))
	s.kill()
	if !contains(t, filepath.Join(dir, "etcd"), open) {
		t.Error("etcd's files do not hold the config map: the test looks in the wrong place")
	}
	if contains(t, filepath.Join(dir, "etcd"), hush) {
		t.Error("etcd's files hold the secrets")
	}
	if info := must[os.FileInfo](t)(os.Stat(filepath.Join(dir, "pki", "encryption.yaml"))); info.Mode().Perm() != 0o600 {
		t.Errorf("the file of the key has mode %v", info.Mode())
	}
	s = startServer(t, "apiserver", dir)
	secretsAreRead(t, s, 3)
	for _, text := range []string{hush, keysOf(t, dir)[0].Secret} {
		if strings.Contains(s.log.String(), text) {
			t.Errorf("the log holds %q", text)
		}
	}
}

func keysOf(t *testing.T, dir string) []encryption.Key {
	t.Helper()
	c, _, err := encryption.Read(filepath.Join(dir, "pki", "encryption.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return c.Resources[0].Providers[0].Secretbox.Keys
}

// rotate is the command, not yet run.
func rotate(s *server, more ...string) *exec.Cmd {
	return exec.Command(binary, append([]string{"secrets", "rotate-key", "--kubeconfig", s.kubeconfig}, more...)...)
}

// encryptedWith checks all secrets in the etcd of a server that does not run.
func encryptedWith(t *testing.T, dir, key string) {
	t.Helper()
	client, stop, err := etcd.StartEmbedded(t.Context(), etcd.Config{Dir: filepath.Join(dir, "etcd"), Log: slog.Default()})
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	resp := must[*clientv3.GetResponse](t)(client.Get(t.Context(), "/registry/secrets/", clientv3.WithPrefix()))
	if resp.Count == 0 {
		t.Error("etcd has no secrets")
	}
	for _, kv := range resp.Kvs {
		if prefix := "k8s:enc:secretbox:v1:" + key + ":"; !bytes.HasPrefix(kv.Value, []byte(prefix)) {
			t.Errorf("%s begins with %q, want %q", kv.Key, kv.Value[:min(60, len(kv.Value))], prefix)
		}
	}
}

// Secrets that were there before anything was encrypted are encrypted by a rotation, and
// no key but the new one is needed after it.
func TestRotateKey(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := startServer(t, "apiserver", dir, "--encrypt-secrets=false")
	makeSecrets(t, s, "a", 20)
	s.kill()
	s = startServer(t, "apiserver", dir)
	before := keysOf(t, dir)
	makeSecrets(t, s, "b", 20)
	if out, err := rotate(s).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	secretsAreRead(t, s, 40)
	after := keysOf(t, dir)
	if len(after) != 1 || after[0].Name == before[0].Name || after[0].Secret == before[0].Secret {
		t.Errorf("the keys are %v, and were %v", after, before)
	}
	s.kill()
	encryptedWith(t, dir, after[0].Name)
}

// A rotation, or the server, that is killed at any step loses nothing, and the next
// rotation completes.
func TestRotateKeyKilled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := startServer(t, "apiserver", dir)
	makeSecrets(t, s, "a", 100)
	for lines := range 4 {
		for _, what := range []string{"rotation", "server"} {
			r := rotate(s)
			out := must[io.ReadCloser](t)(r.StdoutPipe())
			if err := r.Start(); err != nil {
				t.Fatal(err)
			}
			in := bufio.NewScanner(out)
			for range lines {
				in.Scan()
			}
			if what == "rotation" {
				_ = r.Process.Kill() // it may have ended
			} else {
				s.kill()
				_ = r.Process.Kill() // as whoever runs it would, seeing that the server is gone
			}
			_ = r.Wait()
			if what == "server" {
				s = startServer(t, "apiserver", dir)
			}
			secretsAreRead(t, s, 100)
		}
	}
	s.kill()
	s = startServer(t, "apiserver", dir)
	secretsAreRead(t, s, 100)
	if out, err := rotate(s).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	secretsAreRead(t, s, 100)
	keys := keysOf(t, dir)
	if len(keys) != 1 {
		t.Errorf("after a rotation to the end there are the keys %v", keys)
	}
	s.kill()
	encryptedWith(t, dir, keys[0].Name)
}

// Two masters go through the steps one after the other; at no time one of them cannot
// read what the other has written.
func TestRotateKeyOfTwoMasters(t *testing.T) {
	t.Parallel()
	_, flags := etcdCluster(t)
	dir := t.TempDir()
	file := func(n int) string { return filepath.Join(dir, fmt.Sprint(n, ".yaml")) }
	copyFile := func(to string) {
		t.Helper()
		data := must[[]byte](t)(os.ReadFile(file(1)))
		if err := os.WriteFile(to, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const first = `apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
- resources: [secrets, configmaps]
  providers:
  - aesgcm:
      keys:
      - {name: one, secret: AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=}
`
	if err := os.WriteFile(file(1), []byte(first), 0o600); err != nil {
		t.Fatal(err)
	}
	copyFile(file(2))
	with := func(n int) []string {
		return append([]string{"--encryption-provider-config", file(n), "--encryption-provider-config-automatic-reload"}, flags...)
	}
	one := startServer(t, "apiserver", t.TempDir(), with(1)...)
	two := startServer(t, "apiserver", sameKeys(t, one), with(2)...)
	made := 0
	check := func(prefix string) {
		t.Helper()
		for i, s := range []*server{one, two} {
			makeSecrets(t, s, fmt.Sprint(prefix, i, "-"), 5)
			made += 5
		}
		secretsAreRead(t, one, made)
		secretsAreRead(t, two, made)
	}
	check("first")
	for _, step := range []string{"add", "use", "rewrite", "drop"} {
		if out, err := rotate(one, "--encryption-provider-config", file(1), "--step", step).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", step, err, out)
		}
		check(step + "-behind-")
		copyFile(file(2))
		// The second server's own answer is when it has the file.
		eventuallyUses(t, two, file(2))
		check(step + "-")
	}
	two.kill()
	two = startServer(t, "apiserver", sameKeys(t, one), with(2)...)
	secretsAreRead(t, two, made)
}

func eventuallyUses(t *testing.T, s *server, path string) {
	t.Helper()
	_, hash, err := encryption.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	wait.Within(t, 15*time.Second, "the server uses the file", func() error {
		metrics, err := s.RESTClient().Get().AbsPath("/metrics").DoRaw(t.Context())
		if err == nil && !bytes.Contains(metrics, []byte(hash)) {
			return fmt.Errorf("its metrics do not name %s", hash)
		}
		return err
	})
}

func TestRotateKeyRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := startServer(t, "apiserver", dir, "--encrypt-secrets=false")
	for what, c := range map[string]struct {
		args []string
		want string
	}{
		"no file":      {nil, "encryption.yaml"},
		"no such step": {[]string{"--step", "x"}, "add, use, rewrite or drop"},
	} {
		out, err := rotate(s, c.args...).CombinedOutput()
		if err == nil || !strings.Contains(string(out), c.want) {
			t.Errorf("%s: %v\n%s", what, err, out)
		}
	}
}
