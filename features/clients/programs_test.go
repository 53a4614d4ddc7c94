package clients

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// programs are the clients that are commands. Each is built from its own module, with the dependencies that it
// was released with.
var programs = map[string]struct{ module, version, pkg string }{
	"descheduler":    {"sigs.k8s.io/descheduler", "v0.36.0", "./cmd/descheduler"},
	"helm":           {"helm.sh/helm/v3", "v3.22.0", "./cmd/helm"},
	"k9s":            {"github.com/derailed/k9s", "v0.50.16", "."},
	"kubeconform":    {"github.com/yannh/kubeconform", "v0.8.0", "./cmd/kubeconform"},
	"kustomize":      {"sigs.k8s.io/kustomize/kustomize/v5", "v5.8.2", "."},
	"metrics-server": {"sigs.k8s.io/metrics-server", "v0.8.0", "./cmd/metrics-server"},
	"stern":          {"github.com/stern/stern", "v1.33.0", "."},
}

// built returns the path of a program of this repository, which `make build` makes.
func built(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs("../../bin/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v: 'make build' makes it", err)
	}
	return path
}

// program returns the path of a client. It is built where bin/clients does not have that version yet,
// which takes minutes and a network that reaches the Go module proxy.
func program(t *testing.T, name string) string {
	t.Helper()
	p, known := programs[name]
	path, err := filepath.Abs(filepath.Join("../../bin/clients", name+"-"+p.version))
	if err != nil || !known {
		t.Fatal(name, err)
	}
	if _, err := os.Stat(path); err == nil {
		return path
	}
	// In the directory of the module its own go.mod holds, with what it replaces; `go install` refuses those.
	module := struct{ Dir string }{}
	if err := json.Unmarshal(goCommand(t, ".", "mod", "download", "-json", p.module+"@"+p.version), &module); err != nil {
		t.Fatal(err)
	}
	goCommand(t, module.Dir, "build", "-mod=readonly", "-trimpath", "-ldflags", "-s -w", "-o", path, p.pkg)
	return path
}

// goCommand returns what a command of go prints.
func goCommand(t *testing.T, dir string, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go %s: %v\n%s%s", strings.Join(args, " "), err, out, errs.String())
	}
	return out
}
