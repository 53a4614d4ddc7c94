package netfilter

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
)

func TestWriteTableOnlyDifferences(t *testing.T) {
	rule := func(chain string) string { return Rule(chain, "", "-j RETURN") }
	same, changed, added := rule("SAME"), rule("CHANGED"), rule("ADDED")
	for _, c := range []struct {
		name       string
		have, want map[string]string
		lines      []string // in any order between the first and the last
	}{
		{"nothing", map[string]string{"SAME": same}, map[string]string{"SAME": same}, nil},
		{"changed", map[string]string{"SAME": same, "CHANGED": "-A CHANGED -j DROP\n"}, map[string]string{"SAME": same, "CHANGED": changed}, []string{":CHANGED - [0:0]", "-A CHANGED -j RETURN"}},
		{"added", nil, map[string]string{"ADDED": added}, []string{":ADDED - [0:0]", "-A ADDED -j RETURN"}},
		{"removed", map[string]string{"GONE": "unknown"}, nil, []string{":GONE - [0:0]", "-X GONE"}},
	} {
		var out bytes.Buffer
		writeTable(&out, "nat", c.have, c.want, batchSize)
		want := ""
		if c.lines != nil {
			want = "*nat\n" + strings.Join(c.lines, "\n") + "\nCOMMIT\n"
		}
		if out.String() != want {
			t.Errorf("%s: got %q, want %q", c.name, out.String(), want)
		}
	}
}

// Many chains are several transactions: none jumps to a chain that is not there yet or not any more, and what is
// there in the end is what is wanted.
func TestManyChainsAreSeveralTransactions(t *testing.T) {
	chains := func(from, to int) map[string]string {
		all := map[string]string{"FIRST": ""}
		for i := range to {
			if i < from {
				continue
			}
			// The order is not that of names: those that come first jump to later ones, and the other way round.
			all["FIRST"] += Rule("FIRST", fmt.Sprintf(`-d 10.0.0.%d -m comment --comment "not -j THERE" -j A-%d`, i%250, i))
			all[fmt.Sprint("A-", i)] = Rule(fmt.Sprint("A-", i), fmt.Sprintf("-j Z-%d", i))
			all[fmt.Sprint("Z-", i)] = Rule(fmt.Sprint("Z-", i), fmt.Sprintf("-j B-%d --save", i))
			all[fmt.Sprint("B-", i)] = Rule(fmt.Sprint("B-", i), "-j RETURN")
		}
		return all
	}
	have := map[string]string{}
	for _, want := range []map[string]string{chains(0, 1000), chains(0, 1001), chains(700, 1700), {}} {
		var out bytes.Buffer
		writeTable(&out, "nat", have, want, batchSize)
		size := 0
		for line := range strings.Lines(out.String()) {
			line = strings.TrimSpace(line)
			verb, rest, _ := strings.Cut(line, " ")
			chain, _, _ := strings.Cut(rest, " ")
			switch {
			case verb == "*nat", verb == "COMMIT":
				if size > 2*batchSize {
					t.Errorf("a transaction of %d chains", size)
				}
				size = 0
			case line[0] == ':':
				size++
				have[verb[1:]] = ""
			case verb == "-X":
				size++
				for other, text := range have {
					if strings.Contains(text, "-j "+chain+"\n") || strings.Contains(text, "-j "+chain+" ") {
						t.Fatalf("%s jumps to %s when that is deleted", other, chain)
					}
				}
				delete(have, chain)
			case verb == "-A":
				if _, ok := have[chain]; !ok {
					t.Fatalf("%s is not there when it gets a rule", chain)
				}
				if to := target(line); to != "RETURN" {
					if _, ok := have[to]; !ok {
						t.Fatalf("%s is not there when %s jumps to it", to, chain)
					}
				}
				have[chain] += line + "\n"
			}
		}
		if !maps.Equal(have, want) {
			t.Fatalf("there are %d chains, want %d", len(have), len(want))
		}
	}
	var out bytes.Buffer
	writeTable(&out, "nat", chains(0, 1000), chains(0, 1001), batchSize)
	writeTable(&out, "nat", nil, chains(0, 1001), math.MaxInt)
	if n := strings.Count(out.String(), "COMMIT"); n != 2 {
		t.Errorf("a small change and a table without a bound are %d transactions, want two", n)
	}
}

func TestInOrder(t *testing.T) {
	got := inOrder(map[string]string{"A": "-A A -j C\n", "B": "-A B -j ACCEPT\n", "C": "-A C -p tcp\n-A C -j B\n"})
	if !slices.Equal(got, []string{"B", "C", "A"}) {
		t.Errorf("order %v", got)
	}
}

func TestTarget(t *testing.T) {
	for line, want := range map[string]string{
		"-A A -j B\n": "B", "-A A -g B\n": "B", "-A A -m comment --comment \" -j C\" -g B": "B", "-A A -j DNAT --to-destination 10.0.0.1:80\n": "DNAT", "-A A -s 10.0.0.1": "",
	} {
		if got := target(line); got != want {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}
