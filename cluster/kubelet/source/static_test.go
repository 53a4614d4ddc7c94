//go:build !quick

package source

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A manifest is a regular file of bounded size.
func TestManifestsOfOtherKinds(t *testing.T) {
	dir := t.TempDir()
	large, fifo := filepath.Join(dir, "large.yaml"), filepath.Join(dir, "pipe.yaml")
	for _, err := range []error{os.WriteFile(large, []byte("a: b\n#"), 0o644), os.Truncate(large, 256<<20), unix.Mkfifo(fifo, 0o666)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]string{large: "more than 10485760 bytes", fifo: "not a regular file"} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := readManifest(path, "n"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", path, err)
		}
		runtime.ReadMemStats(&after)
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 64<<20 {
			t.Errorf("%s: read with %d bytes of memory", path, grown)
		}
	}
}
