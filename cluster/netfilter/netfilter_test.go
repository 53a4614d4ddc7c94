package netfilter

import "testing"

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
