//go:build conformance

package registry

import (
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// suite is the conformance tests of the OCI distribution specification, which are a program. It is not in go.mod, as the product does
// not depend on it: `go install` fetches it from the Go module proxy.
const suite = "github.com/opencontainers/distribution-spec/conformance@v0.0.0-20260831232431-97274622c111"

// TestConformance: the registry passes the tests of the specification, for pulls, pushes, deletions and referrers, with SHA-256 and SHA-512.
func TestConformance(t *testing.T) {
	bin, results := t.TempDir(), t.TempDir()
	install := exec.CommandContext(t.Context(), "go", "install", suite)
	install.Dir, install.Env = bin, append(os.Environ(), "GOBIN="+bin, "CGO_ENABLED=0")
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("go install %s: %v\n%s", suite, err, out)
	}
	r, err := New(Config{Dir: t.TempDir(), Password: "correct-horse-battery"})
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(r)
	defer s.Close()
	run := exec.CommandContext(t.Context(), filepath.Join(bin, "conformance"))
	run.Dir = results
	run.Env = append(os.Environ(), "OCI_TLS=disabled", "OCI_VERSION=1.1", "OCI_REGISTRY="+strings.TrimPrefix(s.URL, "http://"), "OCI_RESULTS_DIR="+results,
		"OCI_USERNAME="+Instructor, "OCI_PASSWORD=correct-horse-battery")
	out, err := run.CombinedOutput()
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
	for _, must := range []string{"Manifest get by tag", "Manifest get by digest", "Blob get", "Blob get range", "Blob head", "Manifest put by tag", "Blob chunked"} {
		if !regexp.MustCompile(`(?m)^ *` + must + `\.+: +Pass$`).MatchString(summary) {
			t.Errorf("%q has not passed:\n%s", must, summary)
		}
	}
	t.Logf("%s checks passed", passed[1])
}
