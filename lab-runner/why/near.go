package why

import (
	"slices"
	"strings"
)

// distance is the number of letters to insert, delete, replace or swap with the next one to make a into b. Both are names
// of at most 253 characters; of longer texts the beginning is compared.
func distance(a, b string) int {
	a, b = a[:min(len(a), 253)], b[:min(len(b), 253)]
	before, last := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}

// isNear reports whether a name was probably meant by another: few letters differ, in a name that is long enough for it,
// or case alone.
func isNear(a, b string) bool {
	if a == b || a == "" || b == "" {
		return false
	}
	if strings.EqualFold(a, b) {
		return true
	}
	shorter := min(len(a), len(b))
	d := distance(a, b)
	return d == 1 && shorter >= 2 || d == 2 && shorter >= 5 || d == 3 && shorter >= 12
}

// near returns the name among candidates that was probably meant, "" if none is near.
func near(name string, candidates []string) string {
	best := ""
	for _, c := range slices.Sorted(slices.Values(candidates)) {
		if isNear(name, c) && (best == "" || distance(name, c) < distance(name, best)) {
			best = c
		}
	}
	return best
}

// nearLabels returns the labels among sets that were probably meant by a selector: all of it but one or two near values or
// keys. It returns the words of the difference, such as `app=web (the selector has app=wbe)`.
func nearLabels(selector map[string]string, sets []map[string]string) (difference string) {
	fewest := 3
	for _, set := range sets {
		var wrong []string
		for _, k := range slices.Sorted(keysOf(selector)) {
			v := selector[k]
			got, has := set[k]
			switch {
			case has && got == v:
			case has && isNear(v, got):
				wrong = append(wrong, k+"="+got+", not "+k+"="+v)
			case !has && near(k, slices.Collect(keysOf(set))) != "" && set[near(k, slices.Collect(keysOf(set)))] == v:
				wrong = append(wrong, near(k, slices.Collect(keysOf(set)))+"="+v+", not "+k+"="+v)
			default:
				wrong = append(wrong, "", "", "")
			}
		}
		if len(wrong) > 0 && len(wrong) < fewest {
			fewest, difference = len(wrong), strings.Join(wrong, "; ")
		}
	}
	return difference
}

func keysOf[V any](m map[string]V) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}
