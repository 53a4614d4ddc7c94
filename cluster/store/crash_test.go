package store

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"wheelhouse/cluster/store/etcd"
)

const crashDir = "STORE_TEST_CRASH_DIR"

// writeUntilKilled is what the helper process of TestKilledProcess does: it prints the
// name of each pod after its create was acknowledged, from eight writers at a time.
func writeUntilKilled(t *testing.T, dir string) {
	t.Helper()
	s, _ := open(t, embedded(t, dir), true)
	var mu sync.Mutex
	var all sync.WaitGroup
	for n := range 8 {
		all.Go(func() {
			for i := 0; ; i++ {
				item, err := s.Of(pods).Create(context.Background(), pod("default", fmt.Sprintf("%d-%d-%d", os.Getpid(), n, i)))
				if err != nil {
					fmt.Println("error", err)
					return
				}
				mu.Lock()
				fmt.Println("made", item.Object().GetName(), item.Revision())
				mu.Unlock()
			}
		})
	}
	all.Wait()
}

// A process that is killed at any moment loses nothing that it acknowledged.
func TestKilledProcess(t *testing.T) {
	t.Parallel()
	if dir := os.Getenv(crashDir); dir != "" {
		writeUntilKilled(t, dir)
		return
	}
	dir := t.TempDir()
	acknowledged := map[string]string{}
	for round, many := range []int{1, 700, 2500} {
		helper := exec.Command(os.Args[0], "-test.run", "^TestKilledProcess$", "-test.count=1")
		helper.Env = append(os.Environ(), crashDir+"="+dir)
		out, err := helper.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := helper.Start(); err != nil {
			t.Fatal(err)
		}
		n := 0
		for lines := bufio.NewScanner(out); lines.Scan(); {
			made, ok := strings.CutPrefix(lines.Text(), "made ")
			if !ok {
				t.Logf("helper: %s", lines.Text())
				continue
			}
			name, rev, _ := strings.Cut(made, " ")
			acknowledged[name] = rev
			if n++; n == many {
				if err := helper.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = helper.Wait() // killed
		if n < many {
			t.Fatalf("round %d: the helper made %d pods and ended", round, n)
		}
	}
	began := time.Now()
	s, _ := open(t, embedded(t, dir), true)
	t.Logf("%d pods acknowledged by three processes that were killed; open again after %v", len(acknowledged), time.Since(began))
	for name, rev := range acknowledged {
		item, err := s.Of(pods).Get(t.Context(), "default", name, "")
		if err != nil {
			t.Errorf("an acknowledged pod is lost: %v", err)
		} else if item.Object().GetResourceVersion() != rev {
			t.Errorf("%s was acknowledged at %s and is at %s", name, rev, item.Object().GetResourceVersion())
		}
	}
}

func TestDirectoryInUse(t *testing.T) {
	dir := t.TempDir()
	embedded(t, dir)
	_, _, err := etcd.StartEmbedded(t.Context(), etcd.Config{Dir: dir})
	if err == nil || !strings.Contains(err.Error(), "in use by another process") {
		t.Errorf("a second member in one directory: %v", err)
	}
}
