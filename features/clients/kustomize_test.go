package clients

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestKustomize: what kustomize builds of a base and an overlay is applied, by the client and by the server; once
// there it does not differ any more; a changed literal makes another ConfigMap, and what is gone from the overlay is pruned.
func TestKustomize(t *testing.T) {
	for _, side := range []string{"--server-side=false", "--server-side=true"} {
		t.Run(side, func(t *testing.T) { kustomizeOverlay(t, startServer(t), side) })
	}
}

func kustomizeOverlay(t *testing.T, c *cluster, side string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("testdata/kustomize")); err != nil {
		t.Fatal(err)
	}
	overlay := filepath.Join(dir, "overlays/green")
	build := func() string { return c.run(t, program(t, "kustomize"), "build", overlay) }
	value := func(kind, name, path string) string {
		return c.kubectl(t, "get", kind, name, "--namespace", "green", "-o", "jsonpath={"+path+"}")
	}
	prune := []string{side, "--prune", "--selector", "app.kubernetes.io/part-of=shop", "--namespace", "green"}
	if side == "--server-side=true" { // kubectl prunes these by sets only
		t.Setenv("KUBECTL_APPLYSET", "true")
		prune = []string{side, "--prune", "--applyset", "configmaps/shop", "--namespace", "green"}
	}
	c.kubectl(t, "create", "namespace", "green")

	first := build()
	c.apply(t, first, side)
	settings := value("deployment", "green-web", ".spec.template.spec.containers[0].envFrom[0].configMapRef.name")
	for _, v := range []struct{ kind, name, path, want string }{
		{"deployment", "green-web", ".spec.replicas", "3"},
		{"deployment", "green-web", ".spec.template.spec.containers[0].image", "nginx:1.9.14"},
		{"deployment", "green-web", ".spec.template.spec.containers[0].resources.requests.cpu", "50m"},
		{"service", "green-web", ".spec.type", "NodePort"},
		{"configmap", settings, ".data.colour", "green"},
		{"configmap", settings, ".data.size", "small"},
	} {
		if got := value(v.kind, v.name, v.path); got != v.want {
			t.Errorf("%s %s of %s is %q, want %q", v.kind, v.name, v.path, got, v.want)
		}
	}
	if out, err := c.diff(t, first, side); err != nil {
		t.Errorf("what was applied differs: %v\n%s", err, out)
	}
	c.apply(t, first, prune...)

	edit(t, dir, "overlays/green/kustomization.yaml", "colour=green", "colour=darkgreen")
	second := build()
	if out, err := c.diff(t, second, side); err == nil || !strings.Contains(out, "darkgreen") {
		t.Errorf("the change does not show: %v\n%s", err, out)
	}
	out := c.apply(t, second, prune...)
	holds(t, out, "configmap/"+settings, "pruned")
	if now := value("deployment", "green-web", ".spec.template.spec.containers[0].envFrom[0].configMapRef.name"); now == settings {
		t.Errorf("the deployment still has the ConfigMap %s", now)
	}
	c.run(t, built(t, "kubectl"), "delete", "-k", overlay, "--wait=false", "--ignore-not-found")
}

// edit replaces a text in a file below dir.
func edit(t *testing.T, dir, name, old, new string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.ReplaceAll(string(text), old, new)
	if changed == string(text) {
		t.Fatalf("no %q in %s", old, name)
	}
	if err := os.WriteFile(filepath.Join(dir, name), []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
}

// diff pipes a manifest into kubectl diff, which fails when there are differences.
func (c *cluster) diff(t *testing.T, manifest string, args ...string) (string, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "manifest.yaml")
	if err := os.WriteFile(path, []byte(manifest), 0o600); err != nil {
		t.Fatal(err)
	}
	return c.try(t, built(t, "kubectl"), append([]string{"diff", "-f", path}, args...)...)
}
