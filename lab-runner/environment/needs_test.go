package environment

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestALabSaysWhatItLacks(t *testing.T) {
	l := lab(t)
	bin := t.TempDir()
	env := []string{"HOME=/", "PATH=" + bin}
	program := func(name, body string, mode os.FileMode) {
		if err := os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\n"+body+"\n"), mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := CheckNeeds(t.Context(), l, env, 1); err != nil {
		t.Errorf("no needs: %v", err)
	}
	l.Needs = []string{"openssl"}
	if err := CheckNeeds(t.Context(), l, env, 1); err == nil || !strings.Contains(err.Error(), "needs openssl, which is not on the PATH") {
		t.Errorf("absent: %v", err)
	}
	program("openssl", "exit 1", 0o644)
	if err := CheckNeeds(t.Context(), l, env, 1); err == nil {
		t.Error("a file that cannot be run is taken for a program")
	}
	program("docker", "echo Cannot connect to the daemon >&2; exit 1", 0o755)
	l.Needs, l.Requires = nil, []string{"docker"}
	err := CheckNeeds(t.Context(), l, env, 1)
	if err == nil || !strings.Contains(err.Error(), "needs a Docker Engine, and none answers here: exit status 1: Cannot connect") {
		t.Fatalf("docker without engine: %v", err)
	}
	program("docker", "echo 20.10", 0o755)
	if err := CheckNeeds(t.Context(), l, env, 1); err != nil {
		t.Errorf("docker with its engine: %v", err)
	}
}

// What a lab leaves is deleted by its manifests; a kind that the cluster has never observed
// has left nothing.
func TestDeletionForgivesOnlyUnknownKinds(t *testing.T) {
	const unknown = `echo 'error: resource mapping not found for name: "a" namespace: "" from "a.yaml": no matches for kind "A" in version "b"
ensure CRDs are installed first' >&2; exit 1`
	for _, c := range []struct {
		name, manifest, kubectl string
		fails                   bool
	}{
		{"all is deleted", "a.yaml", "exit 0", false},
		{"nothing to delete", "Dockerfile", "exit 1", false},
		{"an unknown kind", "a.yml", unknown, false},
		{"a refusal", "sub/a.json", "echo 'Error from server (Forbidden): no' >&2; exit 1", true},
		{"an unknown kind and a refusal", "a.yaml", "echo 'Error from server (Forbidden): no' >&2; " + unknown, true},
	} {
		dir := t.TempDir()
		for path, body := range map[string]string{filepath.Join("lab", c.manifest): "x", "bin/kubectl": "#!/bin/sh\n" + c.kubectl + "\n"} {
			path = filepath.Join(dir, path)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(body), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		cmd := exec.CommandContext(t.Context(), "bash", "-c", deletion)
		cmd.Dir, cmd.Env = filepath.Join(dir, "lab"), []string{"PATH=" + filepath.Join(dir, "bin") + ":" + os.Getenv("PATH")}
		if out, err := cmd.CombinedOutput(); (err != nil) != c.fails {
			t.Errorf("%s: %v: %s", c.name, err, out)
		}
	}
}
