//go:build !quick

package netfilter

import (
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/coreos/go-iptables/iptables"
	"golang.org/x/sys/unix"
)

// The list is what iptables lists, table by table, also where there is none yet.
func TestListChains(t *testing.T) {
	ended := make(chan struct{})
	go func() { // its thread terminates with it, in a network namespace of its own
		defer close(ended)
		runtime.LockOSThread()
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			t.Errorf("a network namespace needs root: %v", err)
			return
		}
		ipt, err := iptables.New()
		if err != nil {
			t.Error(err)
			return
		}
		// iptables also lists built-in chains that nftables does not have yet.
		ours := func(names []string, err error) []string {
			if err != nil {
				t.Error(err)
			}
			names = slices.DeleteFunc(names, func(name string) bool { return !strings.HasPrefix(name, "OURS-") })
			slices.Sort(names)
			return names
		}
		expect := func(when string, want int) {
			for _, table := range []string{"nat", "filter", "mangle"} {
				got, listed := ours(listChains(ipt, table)), ours(ipt.ListChains(table))
				if len(got) != want || !slices.Equal(got, listed) {
					t.Errorf("%s: %s has %v, iptables lists %v", when, table, got, listed)
				}
			}
		}
		expect("no rule yet", 0)
		for _, table := range []string{"nat", "filter", "mangle"} {
			for _, args := range [][]string{{"-N", "OURS-" + table}, {"-A", "OURS-" + table, "-j", "RETURN"}} {
				if out, err := exec.Command("iptables", append([]string{"-t", table}, args...)...).CombinedOutput(); err != nil {
					t.Errorf("iptables %q: %v: %s", args, err, out)
				}
			}
		}
		expect("with chains", 1)
	}()
	<-ended
}
