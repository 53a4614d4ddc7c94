package job

import (
	"slices"
	"strconv"
	"strings"
)

// indexes is a sorted set of completion indexes as ranges: a job of a million pods that
// succeed is one range.
type indexes []span

type span struct{ from, to int }

// parseIndexes parses "1,3-5,7". What is invalid, or not below limit, is left out.
func parseIndexes(text string, limit int) indexes {
	var out indexes
	for part := range strings.SplitSeq(text, ",") {
		from, to, isRange := strings.Cut(part, "-")
		a, err := strconv.Atoi(from)
		b := a
		if isRange && err == nil {
			b, err = strconv.Atoi(to)
		}
		if err != nil || a >= limit || b < a {
			continue
		}
		out = append(out, span{a, min(b, limit-1)})
	}
	return out.normal()
}

func (s indexes) String() string {
	var parts []string
	for _, r := range s {
		switch r.to - r.from {
		case 0:
			parts = append(parts, strconv.Itoa(r.from))
		case 1:
			parts = append(parts, strconv.Itoa(r.from), strconv.Itoa(r.to))
		default:
			parts = append(parts, strconv.Itoa(r.from)+"-"+strconv.Itoa(r.to))
		}
	}
	return strings.Join(parts, ",")
}

func (s indexes) has(i int) bool {
	at, exact := slices.BinarySearchFunc(s, i, func(r span, i int) int { return r.from - i })
	return exact || at > 0 && s[at-1].to >= i
}

func (s indexes) total() int {
	n := 0
	for _, r := range s {
		n += r.to - r.from + 1
	}
	return n
}

// with returns the set with more indexes.
func (s indexes) with(more ...int) indexes {
	if len(more) == 0 {
		return s
	}
	out := slices.Clone(s)
	for _, i := range more {
		out = append(out, span{i, i})
	}
	return out.normal()
}

// both returns the intersection of the sets.
func (s indexes) both(o indexes) indexes {
	var out indexes
	for _, a := range s {
		for _, b := range o {
			if from, to := max(a.from, b.from), min(a.to, b.to); from <= to {
				out = append(out, span{from, to})
			}
		}
	}
	return out.normal()
}

func (s indexes) normal() indexes {
	slices.SortFunc(s, func(a, b span) int { return a.from - b.from })
	var out indexes
	for _, r := range s {
		if n := len(out); n > 0 && r.from <= out[n-1].to+1 {
			out[n-1].to = max(out[n-1].to, r.to)
			continue
		}
		out = append(out, r)
	}
	return out
}
