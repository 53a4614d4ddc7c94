package hostinfo

import (
	"os"
	"path/filepath"
	"testing"
)

func TestSwapOn(t *testing.T) {
	const heading = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
	for text, want := range map[string]bool{"": false, heading: false, heading + "/dev/sda2 partition 1 0 -2\n": true} {
		path := filepath.Join(t.TempDir(), "swaps")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := swapOn(path); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
	if swapOn(filepath.Join(t.TempDir(), "none")) {
		t.Error("a machine without the table")
	}
}
