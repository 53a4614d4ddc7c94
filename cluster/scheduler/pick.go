package scheduler

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
)

// enoughNodes is how many fitting nodes are scored: all of up to 100, else a share
// that falls with the number of nodes, from a half to 5 percent, as upstream.
func enoughNodes(all int) int {
	const least = 100
	if all <= least {
		return all
	}
	percent := max(50-all/125, 5)
	return max(all*percent/100, least)
}

// pick finds the best node for the pod, by chance among equals. The error is a
// *misfit if no node can take it. Successive searches start where the last one
// ended, so that all nodes get their turn.
func (r *request) pick() (*nodeInfo, error) {
	all := r.cluster.list
	if len(all) == 0 {
		return nil, errNoNodes
	}
	enough := enoughNodes(len(all))
	fit := make([]*nodeInfo, 0, enough)
	var bad misfit
	start := r.cluster.next % len(all)
	seen := 0
	for ; seen < len(all) && len(fit) < enough; seen++ {
		n := all[(start+seen)%len(all)]
		if v := r.filter(n); v != nil {
			bad.add(v)
		} else {
			fit = append(fit, n)
		}
	}
	r.cluster.next = (start + seen) % len(all)
	switch len(fit) {
	case 0:
		bad.nodes = len(all)
		return nil, &bad
	case 1:
		return fit[0], nil
	}
	return best(fit, r.score(fit)), nil
}

func best(nodes []*nodeInfo, scores []int64) *nodeInfo {
	pick, equal := 0, 1
	for i := 1; i < len(nodes); i++ {
		switch {
		case scores[i] > scores[pick]:
			pick, equal = i, 1
		case scores[i] == scores[pick]:
			equal++
			if rand.IntN(equal) == 0 {
				pick = i
			}
		}
	}
	return nodes[pick]
}

var errNoNodes = errors.New("no nodes available to schedule pods")

// misfit says why no node can take a pod.
type misfit struct {
	nodes   int
	upfront string // a reason that has nothing to do with single nodes
	counts  map[string]int
	final   int // nodes where removing pods would not help
	cause   cause
}

func (m *misfit) add(v *verdict) {
	if m.counts == nil {
		m.counts = map[string]int{}
	}
	for _, r := range v.reasons {
		m.counts[r]++
	}
	if v.final {
		m.final++
	}
	m.cause |= v.cause
}

// Error words the misfit as kube-scheduler does.
func (m *misfit) Error() string {
	head := fmt.Sprintf("0/%d nodes are available: ", m.nodes)
	if m.upfront != "" {
		return head + m.upfront + "."
	}
	return head + countList(m.counts) + "."
}

// message is Error with what became of the thought of preemption.
func (m *misfit) message(p *v1.Pod) string {
	if p.Spec.PreemptionPolicy != nil && *p.Spec.PreemptionPolicy == v1.PreemptNever {
		return m.Error() + " preemption: not eligible due to preemptionPolicy=Never."
	}
	counts := map[string]int{}
	final := m.final
	if m.upfront != "" {
		final = m.nodes
	}
	if final > 0 {
		counts["Preemption is not helpful for scheduling"] = final
	}
	if n := m.nodes - final; n > 0 {
		counts["No preemption victims found for incoming pod"] = n
	}
	return fmt.Sprintf("%s preemption: 0/%d nodes are available: %s.", m.Error(), m.nodes, countList(counts))
}

func countList(counts map[string]int) string {
	parts := make([]string, 0, len(counts))
	for reason, n := range counts {
		parts = append(parts, fmt.Sprintf("%d %s", n, reason))
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}
