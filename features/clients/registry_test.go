package clients

import (
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"wheelhouse/lab-runner/classroom/registry"
)

// TestRegistry: the registry of a class passes the conformance tests of the OCI distribution specification, for pulls, pushes,
// deletions and referrers, with SHA-256 and SHA-512.
func TestRegistry(t *testing.T) {
	const password = "correct-horse-battery"
	r, err := registry.New(registry.Config{Dir: t.TempDir(), Password: password})
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(r)
	defer s.Close()
	conformance(t, s.URL, "OCI_USERNAME="+registry.Instructor, "OCI_PASSWORD="+password)
}

// conformance runs the tests of the specification against a registry.
func conformance(t *testing.T, url string, settings ...string) {
	t.Helper()
	results := t.TempDir()
	cmd := exec.CommandContext(t.Context(), program(t, "conformance"))
	cmd.Dir = results
	cmd.Env = append(os.Environ(), append(settings, "OCI_TLS=disabled", "OCI_VERSION=1.1",
		"OCI_REGISTRY="+strings.TrimPrefix(url, "http://"), "OCI_RESULTS_DIR="+filepath.Join(results, "results"))...)
	out, err := cmd.CombinedOutput()
	summary := string(out)
	if at := strings.Index(summary, "OCI Conformance Result"); at >= 0 {
		summary = summary[at:]
	}
	if err != nil {
		t.Fatalf("conformance: %v\n%s", err, summary)
	}
	passed := regexp.MustCompile(`(?m)^ *Pass\.+: +([0-9]+)$`).FindStringSubmatch(summary)
	if passed == nil || passed[1] == "0" {
		t.Fatalf("nothing was tested:\n%s", out)
	}
	for _, must := range []string{"Manifest get by tag", "Manifest get by digest", "Blob get", "Blob get range", "Blob head"} {
		if !regexp.MustCompile(`(?m)^ *` + must + `\.+: +Pass$`).MatchString(summary) {
			t.Errorf("%q has not passed:\n%s", must, summary)
		}
	}
	t.Logf("%s checks passed", passed[1])
}
