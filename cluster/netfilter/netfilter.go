// Package netfilter writes packet rules to the kernel's tables through iptables.
//
// Rules are values: the chains of an Owner by table, each with its rules as text. An Applier
// writes only the chains that differ, in one iptables-restore --noflush, and detects by the numbers of rules
// and jumps what another process has removed. Owners are the service proxy, network
// policies, the pod network and host ports. The package never decides what a rule is for, and
// never touches a chain that is not its Owner's, except for the Owner's anchors.
//
// Sets are the kernel's sets of addresses and ports, to which rules refer by name: a change of a
// member costs no rule. A Keeper calls for a synchronization of an owner's rules when one is due.
//
// It works in the network namespace of the calling thread.
package netfilter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os/exec"
	"strings"

	"github.com/coreos/go-iptables/iptables"
)

// Tables are the rules of chains: table, chain, and text of lines as Rule returns.
type Tables map[string]map[string]string

// Rule returns the line that appends a rule to a chain. Empty arguments are left out.
func Rule(chain string, args ...string) string {
	var w strings.Builder
	WriteRule(&w, chain, args...)
	return w.String()
}

// WriteRule writes what Rule returns.
func WriteRule(w *strings.Builder, chain string, args ...string) {
	w.WriteString("-A ")
	w.WriteString(chain)
	for _, a := range args {
		if a != "" {
			w.WriteByte(' ')
			w.WriteString(a)
		}
	}
	w.WriteByte('\n')
}

// Anchor is a jump from a built-in chain to a chain of the Owner, which is its last argument.
type Anchor struct {
	Table, Chain string
	First        bool // before the chain's other rules, such as Docker's
	Rule         []string
}

// Owner names what belongs to one user of the package.
type Owner struct {
	Tables  []string
	Chains  []string // names, or prefixes of names if they end in "-"
	Anchors []Anchor
}

// chain is the one that the anchor jumps to.
func (a *Anchor) chain() string { return a.Rule[len(a.Rule)-1] }

func (o *Owner) owns(chain string) bool {
	for _, own := range o.Chains {
		if chain == own || strings.HasSuffix(own, "-") && strings.HasPrefix(chain, own) {
			return true
		}
	}
	return false
}

// unknown is the content of a chain that may be another one than desired: no desired text equals it.
const unknown = "unknown"

// existing returns the owner's chains in the kernel. Their content is unknown.
func (o *Owner) existing(ipt *iptables.IPTables) (TableParts, error) {
	found := Tables{}
	for _, table := range o.Tables {
		chains, err := listChains(ipt, table)
		if err != nil {
			return nil, err
		}
		found[table] = map[string]string{}
		for _, c := range chains {
			if o.owns(c) {
				found[table][c] = unknown
			}
		}
	}
	return found.parts(), nil
}

// Anchor adds the anchors that are missing. Their chains must exist.
func (o *Owner) Anchor(ipt *iptables.IPTables) error {
	for _, a := range o.Anchors {
		var err error
		if a.First {
			err = ipt.InsertUnique(a.Table, a.Chain, 1, a.Rule...)
		} else {
			err = ipt.AppendUnique(a.Table, a.Chain, a.Rule...)
		}
		if err != nil {
			return fmt.Errorf("anchor in %s %s: %w", a.Table, a.Chain, err)
		}
	}
	return nil
}

// Cleanup removes the anchors and all chains of the owner.
func (o *Owner) Cleanup(ctx context.Context) error {
	ipt, err := iptables.New()
	if err != nil {
		return fmt.Errorf("iptables: %w", err)
	}
	var errs []error
	for _, a := range o.Anchors {
		// iptables cannot name a rule whose target does not exist.
		if ok, err := ipt.ChainExists(a.Table, a.chain()); err != nil || !ok {
			errs = append(errs, err)
			continue
		}
		errs = append(errs, ipt.DeleteIfExists(a.Table, a.Chain, a.Rule...))
	}
	have, err := o.existing(ipt)
	errs = append(errs, err)
	return errors.Join(append(errs, restore(ctx, have, nil))...)
}

// Write writes chains, and no others: each is created or replaced.
func Write(ctx context.Context, chains Tables) error { return restore(ctx, nil, chains.parts()) }

// restore writes what turns have into want, in one iptables-restore.
func restore(ctx context.Context, have, want TableParts) error {
	size := math.MaxInt // the legacy backend reads and writes the whole table in each transaction
	if onNftables() {
		size = batchSize
	}
	var input bytes.Buffer
	for _, table := range []string{"mangle", "nat", "filter"} {
		gone, added := have[table].Without(want[table]), want[table].Without(have[table])
		writeTable(&input, table, gone.Chains(), added.Chains(), size)
	}
	if input.Len() == 0 {
		return nil
	}
	text := input.String()
	cmd := exec.CommandContext(ctx, "iptables-restore", "--noflush", "--wait=5")
	cmd.Stdin = &input
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("iptables-restore: %w: %s%s", err, bytes.TrimSpace(out), faultyLine(string(out), text))
	}
	return nil
}

// faultyLine quotes the input line that iptables-restore names in its message.
func faultyLine(message, input string) string {
	_, rest, found := strings.Cut(message, "line ")
	var n int
	if _, err := fmt.Sscanf(rest, "%d", &n); !found || err != nil {
		return ""
	}
	lines := strings.Split(input, "\n")
	if n < 1 || n > len(lines) || lines[n-1] == "COMMIT" {
		return ""
	}
	return fmt.Sprintf(" (%q)", lines[n-1])
}
