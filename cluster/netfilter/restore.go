package netfilter

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// batchSize bounds the chains of one transaction of nftables. For each line iptables-restore looks its chain
// up in a list of those of the transaction, one after the other: 60,000 chains in one take it minutes,
// and in transactions of this size seconds.
const batchSize = 500

// writeTable writes what iptables-restore needs to turn have into want: naming a chain creates or empties it. It is one
// transaction, or, of more than size chains, several: each chain after those it jumps to, then those
// that are no longer wanted, which nothing jumps to by then.
func writeTable(w *bytes.Buffer, table string, have, want map[string]string, size int) {
	changed := map[string]string{}
	for chain, text := range want {
		if old, ok := have[chain]; !ok || old != text {
			changed[chain] = text
		}
	}
	var drops []string
	for chain := range have {
		if _, ok := want[chain]; !ok {
			drops = append(drops, chain)
		}
	}
	slices.Sort(drops)
	if len(changed)+len(drops) <= size {
		writeBatch(w, table, inOrder(changed), changed, drops, drops)
		return
	}
	for batch := range slices.Chunk(inOrder(changed), size) {
		writeBatch(w, table, batch, changed, nil, nil)
	}
	for batch := range slices.Chunk(drops, size) {
		writeBatch(w, table, nil, nil, batch, nil)
	}
	for batch := range slices.Chunk(drops, size) {
		writeBatch(w, table, nil, nil, nil, batch)
	}
}

// writeBatch writes one transaction, which replaces chains, empties some and deletes some.
func writeBatch(w *bytes.Buffer, table string, chains []string, rules map[string]string, empty, remove []string) {
	if len(chains)+len(empty)+len(remove) == 0 {
		return
	}
	fmt.Fprintf(w, "*%s\n", table)
	for _, names := range [][]string{chains, empty} {
		for _, chain := range names {
			fmt.Fprintf(w, ":%s - [0:0]\n", chain)
		}
	}
	for _, chain := range chains {
		w.WriteString(rules[chain])
	}
	for _, chain := range remove {
		fmt.Fprintf(w, "-X %s\n", chain)
	}
	w.WriteString("COMMIT\n")
}

// inOrder returns the chains' names, each after those that its rules jump to.
func inOrder(chains map[string]string) []string {
	order := make([]string, 0, len(chains))
	seen := make(map[string]bool, len(chains))
	var visit func(chain string)
	visit = func(chain string) {
		text, ok := chains[chain]
		if !ok || seen[chain] {
			return
		}
		seen[chain] = true
		for line := range strings.Lines(text) {
			visit(target(line))
		}
		order = append(order, chain)
	}
	for _, chain := range slices.Sorted(maps.Keys(chains)) {
		visit(chain)
	}
	return order
}

// target is where a rule jumps or goes to (-g), "" if it says nothing of that. The kernel counts both as uses of a chain.
func target(line string) string {
	i := max(strings.LastIndex(line, " -j "), strings.LastIndex(line, " -g "))
	if i < 0 {
		return ""
	}
	name, _, _ := strings.Cut(strings.TrimSuffix(line[i+len(" -j "):], "\n"), " ")
	return name
}
