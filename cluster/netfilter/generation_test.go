//go:build !quick

package netfilter

import (
	"os/exec"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// A check is repeated when any rule has changed, and while it fails; not else.
func TestChecksOfAGeneration(t *testing.T) {
	ended := make(chan struct{})
	go func() { // its thread terminates with it, in a network namespace of its own
		defer close(ended)
		runtime.LockOSThread()
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			t.Errorf("a network namespace needs root: %v", err)
			return
		}
		iptables := func(args ...string) {
			if out, err := exec.Command("iptables", args...).CombinedOutput(); err != nil {
				t.Errorf("iptables %q: %v: %s", args, err, out)
			}
		}
		_, counted := generation()
		var g Generation
		checks := 0
		expect := func(when string, ok bool, onNft, onLegacy int) {
			before := checks
			if got := g.Holds(func() bool { checks++; return ok }); got != ok {
				t.Errorf("%s: %v, want %v", when, got, ok)
			}
			want := onLegacy
			if counted {
				want = onNft
			}
			if got := checks - before; got != want {
				t.Errorf("%s: checked %d times, want %d", when, got, want)
			}
		}
		iptables("-N", "OURS")
		expect("at first", true, 1, 1)
		expect("nothing has changed", true, 0, 1)
		iptables("-S")
		expect("after a look", true, 0, 1)
		iptables("-A", "OURS", "-j", "RETURN")
		expect("another rule", false, 1, 1)
		expect("it fails still", false, 1, 1)
		iptables("-F", "OURS")
		expect("mended", true, 1, 1)
		expect("nothing has changed again", true, 0, 1)
		if onNftables() != counted {
			t.Errorf("the kernel counts generations: %v, iptables writes to nftables: %v", counted, onNftables())
		}
	}()
	<-ended
}
