//go:build !quick

package kubelet_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
)

// fakeGit puts a program before git that writes down who runs it and with what, and then
// runs git itself.
func fakeGit(t *testing.T) (record string) {
	t.Helper()
	git, err := exec.LookPath("git")
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("/var/tmp", "git-test-") //nolint:usetesting // not below the test's directory, which only root reaches
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	record = filepath.Join(dir, "record")
	script := "#!/bin/sh\n{ id -u; id -G; env; grep -E 'NoNewPrivs|CapEff' /proc/self/status; cat " + filepath.Join(dir, "key") + "; ls " + dir + "/private; } >> " + record + " 2>&1\nexec " + git + ` "$@"` + "\n"
	for name, text := range map[string]string{"git": script, "key": "a key of root", "record": ""} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, mode := range map[string]os.FileMode{".": 0o755, "git": 0o755, "record": 0o666} {
		if err := os.Chmod(filepath.Join(dir, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	return record
}

// git has none of the kubelet's rights, nothing of its environment, and no key of root's.
func TestGitRepoWithoutRights(t *testing.T) {
	url, first := serveGit(t)
	record := fakeGit(t)
	t.Setenv("SSH_AUTH_SOCK", "/run/agent-of-root")
	n := newNode(t)
	p := pod("git", `test "$(stat -c %u /a/hello/file)" = 0 && test "$(stat -c %u:%a /a)" = 0:777`)
	mounted(p, "a", v1.VolumeSource{GitRepo: &v1.GitRepoVolumeSource{Repository: url, Revision: first}}, v1.VolumeMount{MountPath: "/a"})
	n.succeeds(p)
	text, err := os.ReadFile(record)
	if err != nil {
		t.Fatal(err)
	}
	said := string(text)
	for _, want := range []string{"65534\n65534\n", "HOME=/nonexistent\n", "GIT_CONFIG_NOSYSTEM=1\n", "GIT_TERMINAL_PROMPT=0\n", "NoNewPrivs:\t1\n", "CapEff:\t0000000000000000\n", "key: Permission denied"} {
		if !strings.Contains(said, want) {
			t.Errorf("git does not run with %q:\n%s", want, said)
		}
	}
	for _, not := range []string{"SSH_AUTH_SOCK", "a key of root"} {
		if strings.Contains(said, not) {
			t.Errorf("git runs with %s:\n%s", not, said)
		}
	}
	n.delete("git")
}

// What may name no repository of a network, or lead git to what a repository brings, is refused.
func TestGitRepoRefusals(t *testing.T) {
	url, _ := serveGit(t)
	n := newNode(t)
	p := pod("nogit", "true")
	for name, source := range map[string]v1.GitRepoVolumeSource{
		"ssh":     {Repository: "ssh://git@127.0.0.1/x"},
		"short":   {Repository: "git@127.0.0.1:x"},
		"ext":     {Repository: "ext::sh -c touch% /tmp/owned"},
		"local":   {Repository: "/etc"},
		"option":  {Repository: "--upload-pack=touch /tmp/owned"},
		"hooks":   {Repository: url, Directory: "hello/.git"},
		"capital": {Repository: url, Directory: ".GIT/hooks"},
		"rev":     {Repository: url, Revision: "--orphan=x"},
		"path":    {Repository: url, Revision: "file"},
	} {
		mounted(p, name, v1.VolumeSource{GitRepo: &source}, v1.VolumeMount{MountPath: "/" + name})
	}
	n.create(p)
	n.saysAll(`"ssh" : `, `"short" : `, "transport 'ssh' not allowed", "transport 'ext' not allowed", `volume "local" : failed to exec 'git clone -- /etc'`,
		`volume "option" : `, `the directory "hello/.git" of a git repository must lie in the volume`, `the directory ".GIT/hooks" of a git repository must lie in the volume`,
		`"--orphan=x" is not a revision`, `volume "path" : failed to exec 'git checkout file --'`)
	n.delete2("nogit")
}
