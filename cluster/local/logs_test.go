package local

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A long log is shortened under the process that appends to it, and of any length only the end is read.
func TestLogsAreShort(t *testing.T) {
	cfg := Config{Name: "c", StateDir: t.TempDir()}
	dir := filepath.Join(cfg.StateDir, "c", "log")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	long, few := filepath.Join(dir, "server.log"), filepath.Join(dir, "node-master.log")
	f, err := os.OpenFile(long, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := os.Truncate(long, 8<<30); err != nil { // sparse: reading all of it would fail the test's memory
		t.Fatal(err)
	}
	if _, err := f.WriteString("\nfirst\nsecond\n"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(few, []byte("a line\n"), 0o640); err != nil {
		t.Fatal(err)
	}
	if got := tail(long, 2); got != "first\nsecond" {
		t.Errorf("%.80q", got)
	}
	if got := tail(long+"-missing", 2); got != "(nothing logged)" {
		t.Errorf("%q", got)
	}
	if err := TrimLogs(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("third\n"); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{long: "third\n", few: "a line\n"} {
		if text, err := os.ReadFile(path); err != nil || string(text) != want {
			t.Errorf("%s: %.80q, %v", path, text, err)
		}
	}
	if text, err := os.ReadFile(long + ".1"); err != nil || len(text) != logKept || !strings.HasSuffix(string(text), "\nsecond\n") {
		t.Errorf("%d bytes are kept, %v", len(text), err)
	}
}
