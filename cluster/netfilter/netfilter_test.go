package netfilter

import (
	"bytes"
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
		writeTable(&out, "nat", c.have, c.want)
		want := ""
		if c.lines != nil {
			want = "*nat\n" + strings.Join(c.lines, "\n") + "\nCOMMIT\n"
		}
		if out.String() != want {
			t.Errorf("%s: got %q, want %q", c.name, out.String(), want)
		}
	}
}

func TestOwns(t *testing.T) {
	o := &Owner{Chains: []string{"KUBE-SVC-", "KUBE-SERVICES"}}
	for chain, want := range map[string]bool{"KUBE-SVC-ABC": true, "KUBE-SERVICES": true, "KUBE-SERVICES-2": false, "DOCKER": false, "KUBE-SVC": false} {
		if o.owns(chain) != want {
			t.Errorf("%s: owned %v, want %v", chain, !want, want)
		}
	}
}

func TestFaultyLine(t *testing.T) {
	input := "*nat\n-A CHAIN -j NOWHERE\nCOMMIT\n"
	if got := faultyLine("iptables-restore: line 2 failed", input); got != ` ("-A CHAIN -j NOWHERE")` {
		t.Errorf("got %q", got)
	}
	for _, message := range []string{"line 3 failed", "line 9 failed", "no number"} {
		if got := faultyLine(message, input); got != "" {
			t.Errorf("%s: got %q", message, got)
		}
	}
}
