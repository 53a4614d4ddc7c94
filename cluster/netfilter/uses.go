package netfilter

import (
	"bytes"
	"fmt"
	"os/exec"
	"strings"
)

// Uses returns, by table and chain, how many rules a chain has and how many jump to it, together: whoever removes or adds a rule
// changes at least one of these numbers. With nftables that costs a list of chains; the legacy backend reads whole
// tables.
func (o *Owner) Uses() (map[string]map[string]int, error) {
	if onNftables() {
		if all, err := usesOfNftables(); err == nil {
			return all, nil
		}
		// Another process changes rules: iptables tries until it has a whole list.
	}
	all := map[string]map[string]int{}
	for _, table := range o.Tables {
		var err error
		if all[table], err = usesOfSave(table); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// usesOfSave counts what iptables-save prints.
func usesOfSave(table string) (map[string]int, error) {
	out, err := saved(table)
	if err != nil {
		return nil, err
	}
	all := map[string]int{}
	for line := range bytes.Lines(out) {
		switch {
		case bytes.HasPrefix(line, []byte(":")):
			name, _, _ := strings.Cut(string(line[1:]), " ")
			all[name] += 0
		case bytes.HasPrefix(line, []byte("-A ")):
			countUses(all, string(line))
		}
	}
	return all, nil
}

func saved(table string) ([]byte, error) {
	out, err := exec.Command("iptables-save", "-t", table).Output()
	if err != nil {
		return nil, fmt.Errorf("iptables-save: %w", err)
	}
	return out, nil
}

// countUses adds the uses that rules are of chains, and of targets that are none.
func countUses(all map[string]int, rules string) {
	for line := range strings.Lines(rules) {
		chain, _, _ := strings.Cut(strings.TrimPrefix(line, "-A "), " ")
		all[chain]++
		if to := target(line); to != "" {
			all[to]++
		}
	}
}

// use is how often rules use a chain.
type use struct {
	chain string
	n     int
}

// countedUses returns the uses that the part's rules are. It counts them once.
func (p *Part) countedUses() []use {
	if p.uses == nil {
		all := map[string]int{}
		for _, rules := range p.Chains {
			countUses(all, rules)
		}
		p.uses = make([]use, 0, len(all))
		for chain, n := range all {
			p.uses = append(p.uses, use{chain, n})
		}
	}
	return p.uses
}

// usesWanted is what Uses returns of the chains of a table when they are as parts have them, with the owner's anchors.
func (o *Owner) usesWanted(table string, parts Parts) map[string]int {
	all := make(map[string]int, 8*len(parts)) // about as many as a service has
	for _, part := range parts {
		for _, u := range part.countedUses() {
			all[u.chain] += u.n
		}
	}
	for _, a := range o.Anchors {
		if a.Table == table {
			all[a.chain()]++
		}
	}
	return all
}
