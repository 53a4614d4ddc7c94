package runner

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A test that could not be made is a failure, whether labs are tested one by one or side by side.
func TestATestThatCannotBeMade(t *testing.T) {
	l := lab(t, text, feature)
	own(t, l.Root())
	if err := os.MkdirAll(filepath.Join(l.Dir, "manifests"), 0o755); err != nil {
		t.Fatal(err)
	}
	root, dir := filepath.Join(l.Dir, "../../.."), t.TempDir()
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	config := filepath.Join(dir, "config")
	body := "apiVersion: v1\nkind: Config\ncurrent-context: c\nclusters: [{name: c, cluster: {server: '" + server.URL + "'}}]\ncontexts: [{name: c, context: {cluster: c}}]\n"
	if err := errors.Join(os.WriteFile(config, []byte(body), 0o600), os.WriteFile(filepath.Join(l.Dir, "manifests/m.txt"), nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	for parallel, want := range map[string]string{"1": "1 of 1 checks did not pass", "2": "1 of 1 checks did not pass", "0": "--parallel 0: want a number from 1 to 64"} {
		var out bytes.Buffer
		c := Command()
		c.SilenceUsage, c.SilenceErrors = true, true
		c.SetOut(&out)
		c.SetArgs([]string{"test", "first", "--labs", root, "--kubeconfig", config, "--parallel", parallel})
		err := c.ExecuteContext(t.Context())
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("--parallel %s: %v, want %q in it", parallel, err, want)
		}
		if parallel != "0" && (!strings.Contains(out.String(), "FAIL the lab can be tested") || !strings.Contains(out.String(), "listing nodes")) {
			t.Errorf("--parallel %s: %s", parallel, &out)
		}
	}
}
