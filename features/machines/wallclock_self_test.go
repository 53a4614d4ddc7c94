//go:build machines

package machines

import (
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"wheelhouse/cluster/wait"
)

// The clock of a process is set while it runs; of another one it is not.
func TestWallClock(t *testing.T) {
	var w wallClocks
	w.set(t, -hour)
	var out wait.Output
	command := as("/proc/self/ns/net", "clock")
	c := exec.Command(command[0], command[1:]...)
	c.Stdout, c.Stderr = &out, &out
	if err := w.start(c, filepath.Base(command[len(command)-1])); err != nil {
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
