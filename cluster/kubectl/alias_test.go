package kubectl

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Aliases of a person's kuberc file work here as in any kubectl.
func TestAliases(t *testing.T) {
	k := newTerminal(t)
	file := filepath.Join(t.TempDir(), "kuberc.yaml")
	err := os.WriteFile(file, []byte(`apiVersion: kubectl.config.k8s.io/v1beta1
kind: Preference
aliases:
- name: getns
  command: get
  prependArgs: [namespace]
  options: [{name: output, default: name}]
- name: tired
  command: run
  appendArgs: ["--", sleep, "3600"]
  options: [{name: image, default: busybox}]
`), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]string{
		"getns default":  "namespace/default\n",
		"tired one":      "pod/one created\n",
		"get ns default": "Active",
	} {
		if out := k.run(t, "", line+" --kuberc="+file); !strings.Contains(out, want) {
			t.Errorf("%s: %q, want %q", line, out, want)
		}
	}
	if out := k.run(t, "", "get pod one -o jsonpath={.spec.containers[0].args}"); out != `["sleep","3600"]` {
		t.Errorf("arguments %q, want those of the alias", out)
	}
}
