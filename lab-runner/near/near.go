// Package near finds the name that was probably meant by one that does not exist: letters that are swapped, missing, too
// many or wrong, or another case. It compares; what is to be said of it is the caller's. The work is bounded for names of
// any length.
package near

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

// Is reports whether a name was probably meant by another: few letters differ, in a name that is long enough for it,
// or case alone.
func Is(a, b string) bool {
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

// Name returns the name among candidates that was probably meant, "" if none is near. Of several the nearest, then the first
// by the alphabet.
func Name(name string, candidates []string) string {
	best := ""
	for _, c := range slices.Sorted(slices.Values(candidates)) {
		if Is(name, c) && (best == "" || distance(name, c) < distance(name, best)) {
			best = c
		}
	}
	return best
}
