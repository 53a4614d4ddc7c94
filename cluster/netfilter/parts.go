package netfilter

import (
	"maps"
	"strings"
)

// Part is some of the chains of a table. A Part must not change once it is applied: the same Part is the same rules.
type Part struct {
	Chains map[string]string
	uses   []use // once they are counted
}

// Parts are the chains of a table. No chain is in two of them.
type Parts []*Part

// Chains returns the chains of all parts.
func (p Parts) Chains() map[string]string {
	if len(p) == 1 {
		return p[0].Chains
	}
	n := 0
	for _, part := range p {
		n += len(part.Chains)
	}
	all := make(map[string]string, n)
	for _, part := range p {
		maps.Copy(all, part.Chains)
	}
	return all
}

// Without returns the parts that are not among others. Where two lists have the same parts at their beginning and their
// end, these cost little.
func (p Parts) Without(others Parts) (rest Parts) {
	for len(p) > 0 && len(others) > 0 && p[0] == others[0] {
		p, others = p[1:], others[1:]
	}
	for len(p) > 0 && len(others) > 0 && p[len(p)-1] == others[len(others)-1] {
		p, others = p[:len(p)-1], others[:len(others)-1]
	}
	among := make(map[*Part]bool, len(others))
	for _, other := range others {
		among[other] = true
	}
	for _, part := range p {
		if !among[part] {
			rest = append(rest, part)
		}
	}
	return rest
}

// jumpingTo returns the chains, and those with a rule that jumps to one of them.
func (p Parts) jumpingTo(chains map[string]string) map[string]bool {
	all := map[string]bool{}
	for chain := range chains {
		all[chain] = true
	}
	for _, part := range p {
		for chain, rules := range part.Chains {
			for line := range strings.Lines(rules) {
				if _, ok := chains[target(line)]; ok {
					all[chain] = true
				}
			}
		}
	}
	return all
}

// doubted returns the parts with chains of which the content is unknown, which equals no desired text.
func (p Parts) doubted(chains map[string]bool) Parts {
	all := make(Parts, 0, len(p))
	for _, part := range p {
		doubtful := part
		for chain := range part.Chains {
			if !chains[chain] {
				continue
			}
			if doubtful == part {
				doubtful = &Part{Chains: maps.Clone(part.Chains)}
			}
			doubtful.Chains[chain] = unknown
		}
		all = append(all, doubtful)
	}
	return all
}

// TableParts are the rules of tables in parts, so that a change among thousands of chains costs what is in the parts that
// it replaces.
type TableParts map[string]Parts

// parts returns the tables, each as one part.
func (t Tables) parts() TableParts {
	all := make(TableParts, len(t))
	for table, chains := range t {
		all[table] = Parts{{Chains: chains}}
	}
	return all
}
