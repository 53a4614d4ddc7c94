//go:build !quick

package main_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"wheelhouse/cluster/wait"
)

// sockets are the addresses, or paths, on which a process listens.
func sockets(t *testing.T, pid int) (listening []string) {
	t.Helper()
	own := map[string]bool{} // by inode
	fds := must[[]os.DirEntry](t)(os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid)))
	for _, fd := range fds {
		if to, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", pid, fd.Name())); err == nil {
			own[strings.TrimSuffix(strings.TrimPrefix(to, "socket:["), "]")] = true
		}
	}
	for _, table := range []struct {
		name, state           string
		at, stateField, inode int
	}{{"tcp", "0A", 1, 3, 9}, {"tcp6", "0A", 1, 3, 9}, {"udp", "07", 1, 3, 9}, {"udp6", "07", 1, 3, 9}, {"unix", "01", 7, 5, 6}} {
		text := string(must[[]byte](t)(os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", pid, table.name))))
		for line := range strings.Lines(text) {
			f := append(strings.Fields(line), "", "", "")
			if len(f) > table.inode && own[f[table.inode]] && f[table.stateField] == table.state {
				listening = append(listening, table.name+" "+f[table.at])
			}
		}
	}
	return listening
}

// Whoever has an account on the machine, and no right in the cluster, finds no way to
// what the cluster keeps secret: no socket of etcd, no file, no line of the log.
func TestNothingIsExposed(t *testing.T) {
	t.Setenv("WHEELHOUSE_DEBUG", "1")
	dir := t.TempDir()
	s := startServer(t, "server", dir)
	ctx := t.Context()
	makeSecrets(t, s, "a", 1)
	secrets := s.CoreV1().Secrets("default")
	// What is wrong about a secret is said without what is in it.
	for name, patch := range map[string]string{"a0": `{"data":{"password":"!` + hush + `"}}`, "gone": `{"stringData":{"password":"` + hush + `"}}`} {
		if _, err := secrets.Patch(ctx, name, types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err == nil {
			t.Errorf("%s was patched", name)
		}
	}
	wait.Within(t, 15*time.Second, "the default account", func() error {
		_, err := s.CoreV1().ServiceAccounts("default").Get(ctx, "default", metav1.GetOptions{})
		return err
	})
	request := &authenticationv1.TokenRequest{}
	token := must[*authenticationv1.TokenRequest](t)(s.CoreV1().ServiceAccounts("default").CreateToken(ctx, "default", request, metav1.CreateOptions{})).Status.Token
	for _, credential := range []string{token, token + "x"} {
		cfg := must[*rest.Config](t)(clientcmd.BuildConfigFromFlags("", s.kubeconfig))
		cfg.CertData, cfg.KeyData, cfg.BearerToken = nil, nil, credential
		_, _ = must[*kubernetes.Clientset](t)(kubernetes.NewForConfig(cfg)).CoreV1().Pods("default").List(ctx, metav1.ListOptions{}) // refused, or not: it is logged
	}
	metrics := must[[]byte](t)(s.RESTClient().Get().AbsPath("/metrics").DoRaw(ctx))
	must[*corev1.SecretList](t)(secrets.List(ctx, metav1.ListOptions{}))

	hidden := map[string]string{
		"a secret": hush, "a secret's encoding": base64.StdEncoding.EncodeToString([]byte(hush)), "a token": token,
		"the key of secrets": keysOf(t, dir)[0].Secret, "a private key": "PRIVATE KEY", "a private key's encoding": "UFJJVkFURSBLRVk",
	}
	cmdline := must[[]byte](t)(os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", s.Process.Pid)))
	for where, text := range map[string][]byte{"the log": []byte(s.log.String()), "/metrics": metrics, "the arguments": cmdline} {
		for what, value := range hidden {
			if bytes.Contains(text, []byte(value)) {
				t.Errorf("%s shows %s", where, what)
			}
		}
	}
	if !strings.Contains(s.log.String(), "/api/v1/namespaces/default/secrets/a0") {
		t.Error("the log does not tell of the requests: the test looks in the wrong place")
	}
	others(t, dir, hidden)
	if at := sockets(t, s.Process.Pid); len(at) != 1 || !strings.HasPrefix(at[0], "tcp ") {
		t.Errorf("the server listens on %v, want the API's port alone", at)
	}
}

// others checks the files that others than the owner can read.
func others(t *testing.T, dir string, hidden map[string]string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		switch {
		case err != nil:
			return err
		case d.IsDir() && info.Mode().Perm()&0o077 == 0 && path != dir:
			return filepath.SkipDir
		case d.IsDir() || info.Mode().Perm()&0o077 == 0:
			return nil
		}
		data, err := os.ReadFile(path)
		for what, value := range hidden {
			if bytes.Contains(data, []byte(value)) {
				t.Errorf("everybody can read %s in %s", what, path)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, private := range []string{"etcd", "pki/ca.key", "pki/encryption.yaml", "admin.kubeconfig"} {
		if info := must[os.FileInfo](t)(os.Stat(filepath.Join(dir, private))); info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", private, info.Mode())
		}
	}
}
