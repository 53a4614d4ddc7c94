package netfilter

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// Without finds the parts of one list that the other does not have, wherever they are.
func TestPartsWithout(t *testing.T) {
	all := make(Parts, 12)
	for i := range all {
		all[i] = &Part{Chains: map[string]string{string(rune('A' + i)): ""}}
	}
	pick := func() (list Parts) {
		for _, part := range all {
			if rand.IntN(4) > 0 {
				list = append(list, part)
			}
		}
		if rand.IntN(4) == 0 {
			rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		}
		return list
	}
	for range 500 {
		a, b := pick(), pick()
		want := slices.DeleteFunc(slices.Clone(a), func(part *Part) bool { return slices.Contains(b, part) })
		if got := a.Without(b); !slices.Equal(got, want) {
			t.Fatalf("%v without %v: %v, want %v", chainsOf(a), chainsOf(b), chainsOf(got), chainsOf(want))
		}
	}
}

func chainsOf(p Parts) []string { return slices.Sorted(maps.Keys(p.Chains())) }
