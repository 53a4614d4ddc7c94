//go:build !quick

package netfilter

import (
	"fmt"
	"net/netip"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// inOwnNamespace runs f on a thread in a network namespace of its own.
func inOwnNamespace(t *testing.T, f func()) {
	t.Helper()
	ended := make(chan struct{})
	go func() { // its thread terminates with it
		defer close(ended)
		runtime.LockOSThread()
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			t.Errorf("a network namespace needs root: %v", err)
			return
		}
		f()
	}()
	<-ended
}

func setOf(typ string, members ...string) *Set {
	s := &Set{Type: typ, Members: map[Member]struct{}{}}
	for _, m := range members {
		prefix, port, _ := strings.Cut(m, ",")
		if !strings.Contains(prefix, "/") {
			prefix += "/32"
		}
		e := Member{Prefix: netip.MustParsePrefix(prefix)}
		if port != "" {
			e.Protocol = unix.IPPROTO_UDP
			if _, err := fmt.Sscanf(port, "udp:%d", &e.Port); err != nil {
				panic(err)
			}
		}
		s.Members[e] = struct{}{}
	}
	return s
}

// inKernel returns the sets of the namespace, as name and members in order.
func inKernel(t *testing.T) map[string]string {
	t.Helper()
	all, err := netlink.IpsetListAll()
	if err != nil {
		t.Errorf("listing: %v", err)
	}
	got := map[string]string{}
	for _, s := range all {
		var members []string
		for _, e := range s.Entries {
			m := e.IP.String()
			if e.CIDR != 0 && e.CIDR != 32 {
				m += fmt.Sprintf("/%d", e.CIDR)
			}
			if e.Port != nil {
				m += fmt.Sprintf(",udp:%d", *e.Port)
			}
			members = append(members, m)
		}
		slices.Sort(members)
		got[s.SetName] = strings.Join(members, " ")
	}
	return got
}

// What is in the kernel is what was wanted, whatever was there, while rules refer to it.
func TestSets(t *testing.T) {
	inOwnNamespace(t, func() {
		if err := netlink.IpsetCreate("OTHER", Addresses, netlink.IpsetCreateOptions{}); err != nil {
			t.Errorf("a set of another owner: %v", err)
			return
		}
		a := NewSetApplier("OURS-")
		rule := func(op string) {
			if out, err := exec.Command("iptables", "-w", "-t", "mangle", op, "FORWARD", "-m", "set", "--match-set", "OURS-A", "src", "-j", "DROP").CombinedOutput(); err != nil {
				t.Errorf("a rule with a set: %v: %s", err, out)
			}
		}
		expect := func(when string, want Sets, text map[string]string) {
			t.Helper()
			if err := a.Extend(want); err != nil {
				t.Errorf("%s: extend: %v", when, err)
			}
			if when == "before the last" { // a set to which a rule refers cannot be removed
				rule("-D")
			}
			if err := a.Reduce(want); err != nil {
				t.Errorf("%s: reduce: %v", when, err)
			}
			text["OTHER"] = ""
			if got := inKernel(t); fmt.Sprint(got) != fmt.Sprint(text) {
				t.Errorf("%s: there is %v, want %v", when, got, text)
			}
		}
		nets := setOf(Networks, "0.0.0.0/1", "10.0.0.0/8", "10.1.2.3")
		expect("at first", Sets{"OURS-A": setOf(Addresses, "10.0.0.1", "10.0.0.2"), "OURS-N": nets},
			map[string]string{"OURS-A": "10.0.0.1 10.0.0.2", "OURS-N": "0.0.0.0/1 10.0.0.0/8 10.1.2.3"})
		rule("-A")
		expect("a change", Sets{"OURS-A": setOf(Addresses, "10.0.0.2", "10.0.0.3"), "OURS-N": nets, "OURS-P": setOf(AddressPorts, "10.0.0.1,udp:53")},
			map[string]string{"OURS-A": "10.0.0.2 10.0.0.3", "OURS-N": "0.0.0.0/1 10.0.0.0/8 10.1.2.3", "OURS-P": "10.0.0.1,udp:53"})
		// A new process, as after a crash; another has changed one.
		a = NewSetApplier("OURS-")
		if err := netlink.IpsetFlush("OURS-A"); err != nil {
			t.Error(err)
		}
		if err := createSet("OURS-B"+setTemporary, Addresses); err != nil {
			t.Error(err)
		}
		expect("another process", Sets{"OURS-A": setOf(Addresses, "10.0.0.4")}, map[string]string{"OURS-A": "10.0.0.4"})
		expect("before the last", Sets{}, map[string]string{})
		if err := a.Extend(Sets{"OURS-A": setOf(Addresses, "10.0.0.4")}); err != nil {
			t.Error(err)
		}
		if err := RemoveSets("OURS-"); err != nil {
			t.Error(err)
		}
		if got := inKernel(t); len(got) != 1 {
			t.Errorf("left: %v", got)
		}
	})
}

// A set that is not there makes no error of a change that was thought to be made; it does of one that adds to it.
func TestSetThatVanished(t *testing.T) {
	inOwnNamespace(t, func() {
		a := NewSetApplier("OURS-")
		first, second := Sets{"OURS-A": setOf(Addresses, "10.0.0.1")}, Sets{"OURS-A": setOf(Addresses, "10.0.0.2")}
		for _, step := range []error{a.Extend(first), a.Reduce(first), RemoveSets("OURS-")} {
			if step != nil {
				t.Error(step)
			}
		}
		if err := a.Extend(second); err == nil {
			t.Error("a member was added to a set that is not there")
		}
		for _, step := range []error{a.Extend(second), a.Reduce(second)} { // after a failure, as a whole
			if step != nil {
				t.Error(step)
			}
		}
		if got := inKernel(t)["OURS-A"]; got != "10.0.0.2" {
			t.Errorf("there is %q", got)
		}
	})
}
