//go:build !quick

package volume

import (
	"os"
	"os/exec"
	"sync"
	"testing"
)

// What git is given for its /tmp is not mounted for the kubelet itself, on whatever thread the
// program is started.
func TestStartApartLeavesTheMounts(t *testing.T) {
	before, err := os.Readlink("/proc/self/ns/mnt")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			cmd := exec.Command("true")
			if err := startApart(t.TempDir(), cmd); err != nil {
				t.Error(err)
				return
			}
			if err := cmd.Wait(); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if after, err := os.Readlink("/proc/self/ns/mnt"); err != nil || after != before {
		t.Errorf("the process's mounts were %s, and are %s, %v", before, after, err)
	}
}
