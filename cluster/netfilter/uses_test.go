//go:build !quick

package netfilter

import (
	"fmt"
	"maps"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
)

// save returns the rules of a table without what differs each time.
func save(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("iptables-save").Output()
	if err != nil {
		t.Errorf("iptables-save: %v", err)
	}
	return regexp.MustCompile(`(?m)^#.*\n|\[\d+:\d+\]`).ReplaceAllString(string(out), "")
}

// holds reports whether the rules hold when all of them were looked at, however busy the machine is.
func holds(a *Applier) bool {
	for a.Holds() {
		if a.looks.left == 0 {
			return true
		}
	}
	return false
}

// Whatever another process removes of an owner's rules, or adds to them, is seen by the next look, and the next
// synchronization mends it, and touches nothing else.
func TestHolds(t *testing.T) {
	inOwnNamespace(t, func() {
		iptables := func(commands string) {
			t.Helper()
			if out, err := exec.Command("sh", "-ec", commands).CombinedOutput(); err != nil {
				t.Errorf("%s: %v: %s", commands, err, out)
			}
		}
		o := &Owner{
			Tables: []string{"nat", "filter"}, Chains: []string{"OURS", "OURS-"},
			Anchors: []Anchor{
				{Table: "nat", Chain: "PREROUTING", Rule: []string{"-j", "OURS"}},
				{Table: "nat", Chain: "OUTPUT", Rule: []string{"-j", "OURS"}},
				{Table: "filter", Chain: "FORWARD", First: true, Rule: []string{"-m", "comment", "--comment", "ours", "-j", "OURS"}},
			},
		}
		a, err := NewApplier(o)
		if err != nil {
			t.Error(err)
			return
		}
		want := Tables{
			"nat": {
				"OURS":   Rule("OURS", "-d 10.0.0.1", `-m comment --comment "a -j b"`, "-j OURS-A") + Rule("OURS", "-d 10.0.0.2", "-j OURS-B"),
				"OURS-A": Rule("OURS-A", "-p tcp -j DNAT --to-destination 10.1.0.1"), "OURS-B": Rule("OURS-B", "-j OURS-A") + Rule("OURS-B", "-j RETURN"),
				"OURS-E": "",
			},
			"filter": {"OURS": Rule("OURS", "-s 10.0.0.1", "-j DROP")},
		}
		sync := func() {
			t.Helper()
			if err := a.Apply(t.Context(), want); err != nil {
				t.Error(err)
			}
		}
		if holds(a) {
			t.Error("rules hold that were never written")
		}
		iptables("iptables -N THEIRS; iptables -A THEIRS -j ACCEPT; iptables -A FORWARD -j THEIRS")
		sync()
		if !holds(a) {
			t.Error("rules that were just written do not hold")
		}
		whole := save(t)
		for _, table := range o.Tables {
			of, err := usesOfNftables()
			if err != nil {
				t.Error(err)
			}
			saved, err := usesOfSave(table)
			if err != nil {
				t.Error(err)
			}
			for chain := range want[table] {
				if expected := o.usesWanted(table, want.parts()[table])[chain]; of[table][chain] != expected || saved[chain] != expected {
					t.Errorf("%s %s: nftables counts %d, iptables-save has %d, want %d", table, chain, of[table][chain], saved[chain], expected)
				}
			}
		}
		for _, damage := range []string{
			"iptables -t nat -F PREROUTING", "iptables -t nat -D OUTPUT -j OURS", "iptables -F FORWARD; iptables -A FORWARD -j THEIRS",
			"iptables -t nat -F OURS", "iptables -t nat -F OURS-A", "iptables -t nat -D OURS-B 2", "iptables -t nat -D OURS-B 1", "iptables -F OURS",
			"iptables -I OURS -j ACCEPT", "iptables -t nat -A OURS-E -j ACCEPT", "iptables -t nat -X OURS-E",
			"iptables -t nat -F; iptables -t nat -X", "iptables -t nat -R OURS 1 -d 10.0.0.1 -j OURS-B",
			"iptables -F OURS; iptables -t nat -F OURS",
			"iptables -R OURS 1 -s 10.0.0.2 -j DROP", "iptables -R OURS 1 -s 10.0.0.1 -p tcp -j DROP", "iptables -t nat -R OURS 2 -d 10.0.0.3 -j OURS-B",
			"iptables -t nat -R OURS-A 1 -p tcp -j DNAT --to-destination 10.1.0.2", "iptables -t nat -D OURS-B 2; iptables -t nat -I OURS-B -j RETURN",
			"iptables -t nat -R OURS-B 2 -j ACCEPT", "iptables -t nat -D OURS 1; iptables -t nat -A OURS -d 10.0.0.1 -m comment --comment 'a -j b' -j OURS-A",
		} {
			iptables(damage)
			if holds(a) {
				t.Errorf("%s: not seen", damage)
			}
			sync()
			if !holds(a) {
				t.Errorf("%s: not mended", damage)
			}
			if got := save(t); len(got) != len(whole) || (strings.Contains(damage, "OURS-E") || strings.Contains(damage, "-R")) && got != whole {
				t.Errorf("%s: there is\n%s\nwant\n%s", damage, got, whole)
			}
		}
		// The same rules with other counters are no damage.
		for _, harmless := range []string{"iptables -Z; iptables -t nat -Z", "iptables -t nat -R OURS 2 -d 10.0.0.2 -j OURS-B", "iptables-save | iptables-restore"} {
			iptables(harmless)
			if !holds(a) {
				t.Errorf("%s: taken for damage: %s", harmless, a.Damage())
			}
		}
		// A rule that another process adds while all is written is none of another owner's, also not after a change.
		iptables("iptables -t nat -I OURS -j ACCEPT")
		a.others = nil // as it is until the first look after a write
		if holds(a) {
			t.Error("a rule that was added during a write is not seen")
		}
		sync()
		if !holds(a) {
			t.Errorf("when the rule is gone that was added during a write: %s", a.Damage())
		}
		// Another owner may jump to the chains: that is seen once.
		iptables("iptables -t nat -N THEIRS; iptables -t nat -A THEIRS -j OURS-A")
		holds(a)
		sync()
		if !holds(a) {
			t.Error("the jump of another owner is taken for damage again and again")
		}
		iptables("iptables -t nat -F OURS-A")
		if holds(a) {
			t.Error("beside the jump of another owner a flush is not seen")
		}
	})
}

// Rules of others that change all the time, in the same tables, are no damage of the owner's.
func TestHoldsBesideOthers(t *testing.T) {
	inOwnNamespace(t, func() {
		o := &Owner{Tables: []string{"nat"}, Chains: []string{"OURS", "OURS-"}, Anchors: []Anchor{{Table: "nat", Chain: "PREROUTING", Rule: []string{"-j", "OURS"}}}}
		a, err := NewApplier(o)
		if err != nil {
			t.Error(err)
			return
		}
		chains := map[string]string{"OURS": ""}
		for i := range 300 {
			name := fmt.Sprintf("OURS-%d", i)
			chains["OURS"] += Rule("OURS", fmt.Sprintf("-d 10.0.1.%d", i%250), "-j "+name)
			chains[name] = Rule(name, "-j RETURN")
		}
		others := exec.Command("sh", "-c", `iptables -t nat -N THEIRS
while :; do
  iptables -t nat -A POSTROUTING -j THEIRS && iptables -t nat -D POSTROUTING -j THEIRS
  printf '*nat\n:THEIRS - [0:0]\n-A THEIRS -s 10.9.9.9 -j ACCEPT\nCOMMIT\n*mangle\n:THEIRS - [0:0]\n-A THEIRS -j RETURN\nCOMMIT\n' | iptables-restore --noflush
done`)
		others.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		if err := others.Start(); err != nil {
			t.Error(err)
			return
		}
		defer func() {
			_ = syscall.Kill(-others.Process.Pid, syscall.SIGKILL) // it runs
			_ = others.Wait()
		}()
		for i := range 3000 {
			if i%1000 == 0 {
				if err := a.Apply(t.Context(), Tables{"nat": maps.Clone(chains)}); err != nil {
					t.Error(err)
					return
				}
			}
			a.holds = Generation{} // a look, also where nothing has changed
			if !a.Holds() {
				t.Errorf("look %d: %s", i, a.Damage())
				return
			}
		}
	})
}

// A set whose members another process has changed is seen by the next look, and written again.
func TestSetsHold(t *testing.T) {
	inOwnNamespace(t, func() {
		a := NewSetApplier("OURS-")
		want := Sets{
			"OURS-A": setOf(Addresses, "10.0.0.1", "10.0.0.2"), "OURS-E": setOf(Addresses),
			"OURS-N": setOf(Networks, "0.0.0.0/1", "10.0.0.0/8", "10.1.2.3"), "OURS-P": setOf(AddressPorts, "10.0.0.1,udp:53"),
		}
		sync := func(want Sets) {
			t.Helper()
			for _, err := range []error{a.Extend(want), a.Reduce(want)} {
				if err != nil {
					t.Error(err)
				}
			}
			if !a.Holds() {
				t.Error("sets that were just written do not hold")
			}
		}
		if a.Holds() {
			t.Error("sets hold that were never written")
		}
		sync(want)
		whole := inKernel(t)
		entry := func(ip string) Member {
			for m := range setOf(Addresses, ip).Members {
				return m
			}
			return Member{}
		}
		damages := map[string]func() error{
			"flush":             func() error { return netlink.IpsetFlush("OURS-A") },
			"flush of ports":    func() error { return netlink.IpsetFlush("OURS-P") },
			"flush of networks": func() error { return netlink.IpsetFlush("OURS-N") },
			"one member less":   func() error { return netlink.IpsetDel("OURS-A", entry("10.0.0.1").entry()) },
			"one more":          func() error { return netlink.IpsetAdd("OURS-E", entry("10.0.0.1").entry()) },
			"no set":            func() error { return destroySet("OURS-N") },
		}
		for i := range 10 { // in a list it may be at any place
			other := fmt.Sprintf("10.0.0.%d", 3+i)
			damages["another: "+other] = func() error {
				if err := netlink.IpsetDel("OURS-A", entry("10.0.0.1").entry()); err != nil {
					return err
				}
				return netlink.IpsetAdd("OURS-A", entry(other).entry())
			}
		}
		for name, damage := range damages {
			if err := damage(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if a.Holds() {
				t.Errorf("%s: not seen", name)
			}
			sync(want)
			if got := inKernel(t); !maps.Equal(got, whole) {
				t.Errorf("%s: there is %v, want %v", name, got, whole)
			}
		}
		// What is damaged and no longer wanted is removed all the same.
		if err := netlink.IpsetFlush("OURS-P"); err != nil {
			t.Error(err)
		}
		a.Holds()
		delete(want, "OURS-P")
		sync(maps.Clone(want))
		if _, left := inKernel(t)["OURS-P"]; left {
			t.Error("a damaged set is left")
		}
	})
}
