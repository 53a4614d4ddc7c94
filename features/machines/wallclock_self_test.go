//go:build machines

package machines

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"wheelhouse/cluster/wait"
)

// TestMain runs the tests; or this program is one that prints its clock.
func TestMain(m *testing.M) {
	if os.Getenv("WHEELHOUSE_TEST_ROLE") != "clock" {
		os.Exit(m.Run())
	}
	for range time.Tick(10 * time.Millisecond) {
		fmt.Println(time.Now().Unix())
	}
}

// The clock of a process is set while it runs; of another one it is not.
func TestWallClock(t *testing.T) {
	var w wallClocks
	w.set(t, -hour)
	var out wait.Output
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(self)
	c.Env = append(os.Environ(), "WHEELHOUSE_TEST_ROLE=clock")
	c.Stdout, c.Stderr = &out, &out
	if err := w.start(c, filepath.Base(self)); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Process.Kill(); _ = c.Wait() }()
	for _, want := range []int64{-hour, year, 0} {
		w.set(t, want)
		wait.Within(t, time.Minute, "the clock is ahead by "+strconv.FormatInt(want, 10), func() error {
			lines := strings.Fields(out.String())
			if len(lines) == 0 {
				return wait.Seen(false, "nothing")
			}
			now, err := strconv.ParseInt(lines[len(lines)-1], 10, 64)
			if err != nil {
				return err
			}
			ahead := now - time.Now().Unix()
			return wait.Seen(ahead > want-30 && ahead < want+30, ahead)
		})
	}
}
