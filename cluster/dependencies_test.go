// Package cluster_test holds what is true of the cluster's packages as a whole.
package cluster_test

import (
	"os/exec"
	"strings"
	"testing"
)

// What a package may never come to depend on, directly or through others. The parts
// of a cluster meet only at the API server's door, so none of them may reach behind it.
var forbidden = []struct {
	packages []string
	never    []string
	because  string
}{
	{
		packages: []string{"cluster/api/..."},
		never:    []string{"wheelhouse/cluster/store", "wheelhouse/cluster/apiserver", "wheelhouse/cluster/client", "go.etcd.io", "net/http/httputil"},
		because:  "the table of kinds does no I/O",
	},
	{
		packages: []string{"cluster/api/podfacts", "cluster/api/servicefacts"},
		never:    []string{"wheelhouse/", "k8s.io/client-go"},
		because:  "components share it, which may not depend on the API",
	},
	{
		packages: []string{"cluster/store"},
		never:    []string{"wheelhouse/cluster/apiserver", "wheelhouse/cluster/client", "k8s.io/client-go/kubernetes/typed"},
		because:  "the store is independent of its callers",
	},
	{
		packages: []string{"cluster/client", "cluster/scheduler", "cluster/controller/...", "cluster/kubelet/...", "cluster/proxy", "cluster/announce", "cluster/netpol", "cluster/dns", "cluster/ingress", "lab-runner/..."},
		never:    []string{"wheelhouse/cluster/store", "wheelhouse/cluster/apiserver", "go.etcd.io"},
		because:  "components meet only at the API server",
	},
	{
		packages: []string{"cluster/kubelet", "cluster/kubelet/probe", "cluster/kubelet/server", "cluster/kubelet/node"},
		never:    []string{"github.com/docker/docker", "wheelhouse/cluster/kubelet/docker"},
		because:  "the kubelet uses Docker through its Runtime only",
	},
	{
		packages: []string{"cluster/kubelet/podspec", "cluster/kubelet/podstatus", "cluster/kubelet/cri"},
		never:    []string{"k8s.io/client-go", "net/http/httputil", "os/exec"},
		because:  "they are pure",
	},
	{
		packages: []string{"lab-runner/..."},
		never:    []string{"wheelhouse/cluster/", "github.com/docker/docker"},
		because:  "labs run on any cluster and any system",
	},
	{
		packages: []string{"lab-runner/why"},
		never:    []string{"k8s.io/client-go/kubernetes", "github.com/cucumber"},
		because:  "the clients of all groups make lab twice as large",
	},
	{
		packages: []string{"cluster/...", "lab-runner/..."},
		never:    []string{"k8s.io/kubernetes", "k8s.io/apiserver"},
		because:  "they are what this project is instead of",
	},
	{
		packages: []string{"cluster/cmd/...", "lab-runner/cmd/..."},
		never:    []string{"wheelhouse/cluster/wait", "wheelhouse/lab-runner/why/situations"},
		because:  "it is for tests alone",
	},
}

func TestDependenciesPointOneWay(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-f", `{{.ImportPath}}: {{join .Deps " "}}`, "wheelhouse/cluster/...", "wheelhouse/lab-runner/...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for _, rule := range forbidden {
		for _, p := range rule.packages {
			found := false
			for line := range strings.Lines(string(out)) {
				from, deps, _ := strings.Cut(strings.TrimSpace(line), ": ")
				if !matches("wheelhouse/"+p, from) {
					continue
				}
				found = true
				for _, dep := range strings.Fields(deps) {
					for _, never := range rule.never {
						if strings.HasPrefix(dep, never) {
							t.Errorf("%s depends on %s, but %s", from, dep, rule.because)
						}
					}
				}
			}
			if !found {
				t.Errorf("%s: no such package, so the rule guards nothing", p)
			}
		}
	}
}

// matches reports whether a package is meant by a pattern of go list.
func matches(pattern, path string) bool {
	if of, all := strings.CutSuffix(pattern, "/..."); all {
		return path == of || strings.HasPrefix(path, of+"/")
	}
	return path == pattern
}
