package netfilter

import (
	"maps"
	"slices"
	"time"
)

// mostLooking is how long one look at contents takes at most; the next continues. It is time for more than a thousand chains.
const mostLooking = 100 * time.Millisecond

// looks have the contents of chains as the first look at them found them after they were written.
//
// looks are not safe for concurrent use.
type looks struct {
	sums map[string]map[string]uint64 // by table and chain
	at   uint32                       // the generation of the kernel's rules at which all parts were to be looked at
	left int                          // how many of them were not
	next int                          // which comes next
}

// restart makes the next look begin with all parts.
func (l *looks) restart(applied TableParts) { l.at, l.left = 0, applied.len() }

// written removes the contents of the chains that turning have into want has written or removed; all are to be looked at.
func (l *looks) written(have, want TableParts) {
	l.restart(want)
	for table, sums := range l.sums {
		gone, added := have[table].Without(want[table]).Chains(), want[table].Without(have[table]).Chains()
		for chain, text := range gone {
			if now, ok := added[chain]; !ok || now != text {
				delete(sums, chain)
			}
		}
	}
}

// differing returns, by table, the chains that have other rules than when they were looked at first, with an error those found before it. A look takes mostLooking at most,
// and continues after the parts that were looked at last. Where no rule of the machine has changed since all
// were looked at, it reads nothing.
func (l *looks) differing(applied TableParts) (map[string]map[string]string, error) {
	if now, counted := generation(); !counted || now != l.at {
		l.at, l.left = now, applied.len()
	}
	if l.left == 0 {
		return nil, nil
	}
	reader, err := newContentReader()
	if err != nil {
		return nil, err
	}
	defer reader.close()
	all := map[string]map[string]string{}
	began := time.Now()
	for ; l.left > 0 && (reader.wholeTables() || time.Since(began) < mostLooking); l.left-- {
		table, part := applied.at(l.next)
		for chain := range part.Chains {
			found, err := reader.read(table, chain)
			if err != nil {
				return all, err
			}
			if l.differs(table, chain, found.sum) {
				if all[table] == nil {
					all[table] = map[string]string{}
				}
				all[table][chain] = table + " " + chain + ": another rule than was written"
			}
		}
		l.next++
	}
	return all, nil
}

// differs reports whether the content is another one than that of the first look, which this may be.
func (l *looks) differs(table, chain string, sum uint64) bool {
	if l.sums == nil {
		l.sums = map[string]map[string]uint64{}
	}
	if l.sums[table] == nil {
		l.sums[table] = map[string]uint64{}
	}
	before, known := l.sums[table][chain]
	if !known {
		l.sums[table][chain] = sum
	}
	return known && before != sum
}

// jumpsOfOthers returns by chain how many rules of a table lead to it that are in none of the owner's chains, without the anchors.
// Rules that another process adds to the owner's own chains are none of these: they are damage.
func (o *Owner) jumpsOfOthers(table string, chains map[string]int) (map[string]int, error) {
	reader, err := newContentReader()
	if err != nil {
		return nil, err
	}
	defer reader.close()
	all := map[string]int{}
	for chain := range chains {
		if o.owns(chain) {
			continue
		}
		found, err := reader.read(table, chain)
		if err != nil {
			return nil, err
		}
		for _, to := range found.jumps {
			all[to]++
		}
	}
	for i := range o.Anchors {
		if anchor := &o.Anchors[i]; anchor.Table == table {
			all[anchor.chain()]--
		}
	}
	maps.DeleteFunc(all, func(chain string, n int) bool { return n <= 0 || !o.owns(chain) })
	return all, nil
}

// len is the number of all parts.
func (t TableParts) len() (n int) {
	for _, parts := range t {
		n += len(parts)
	}
	return n
}

// at returns the part with a number, which begins again after the last.
func (t TableParts) at(i int) (table string, part *Part) {
	i %= t.len()
	for _, table := range slices.Sorted(maps.Keys(t)) {
		if i < len(t[table]) {
			return table, t[table][i]
		}
		i -= len(t[table])
	}
	return "", &Part{} // not reached
}
