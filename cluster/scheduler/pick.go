package scheduler

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// enoughNodes returns how many feasible nodes are scored: all of up to 100, else a percentage
// that decreases with the number of nodes, from 50 to 5, as upstream.
func enoughNodes(all int) int {
	const least = 100
	if all <= least {
		return all
	}
	percent := max(50-all/125, 5)
	return max(all*percent/100, least)
}

// pick returns the node with the highest score, a random one of equals. The error is a
// *fitError if no node is feasible. Each search starts where the last one ended, so that
// all nodes are considered.
func (r *request) pick() (*nodeInfo, error) {
	all := r.cluster.list
	if len(all) == 0 {
		return nil, errNoNodes
	}
	if n := r.cluster.nominated[r.pod.UID]; n != nil && n.node != nil && r.filter(n) == nil {
		return n, nil // room was made there for this very pod
	}
	if r.only != nil {
		return r.pickNamed()
	}
	bad := fitError{nodes: len(all)}
	if few := r.prefilter(); len(few) < len(all) {
		if fit := r.search(few, enoughNodes(len(all)), nil); len(fit) > 0 {
			return r.bestOf(fit, nil)
		}
	}
	return r.bestOf(r.search(all, enoughNodes(len(all)), &bad), &bad)
}

// search returns enough feasible nodes, and counts in bad, unless nil, why others are not.
func (r *request) search(among []*nodeInfo, enough int, bad *fitError) []*nodeInfo {
	if len(among) == 0 {
		return nil
	}
	fit := make([]*nodeInfo, 0, min(enough, len(among)))
	start := r.cluster.next % len(among)
	seen := 0
	for ; seen < len(among) && len(fit) < enough; seen++ {
		n := among[(start+seen)%len(among)]
		if v := r.filter(n); v == nil {
			fit = append(fit, n)
		} else if bad != nil {
			bad.add(n, v)
		}
	}
	r.cluster.next += seen
	return fit
}

// pickNamed considers only the nodes that the pod names: a DaemonSet's pod names one.
func (r *request) pickNamed() (*nodeInfo, error) {
	var fit []*nodeInfo
	bad := fitError{nodes: len(r.cluster.list)}
	others := len(r.cluster.list)
	for name := range r.only {
		n := r.cluster.nodes[name]
		if n == nil || n.node == nil {
			continue
		}
		others--
		if v := r.filter(n); v != nil {
			bad.add(n, v)
		} else {
			fit = append(fit, n)
		}
	}
	bad.addMany(notNamed, others)
	return r.bestOf(fit, &bad)
}

// bestOf returns the best of the feasible nodes; without any, bad is the error.
func (r *request) bestOf(fit []*nodeInfo, bad *fitError) (*nodeInfo, error) {
	switch len(fit) {
	case 0:
		return nil, bad
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

// fitError is why no node is feasible for a pod.
type fitError struct {
	nodes   int
	upfront string // a reason that has nothing to do with single nodes
	counts  map[string]int
	final   int         // nodes where removing pods would not help
	maybe   []*nodeInfo // nodes where it might
	cause   cause
	// preemption is why preemption does not help, empty if it is in progress.
	preemption string
	candidate  *preemption
	keeps      bool // the place that is kept for the pod is still its best hope
}

func (m *fitError) add(n *nodeInfo, v *rejection) {
	if !v.final {
		m.maybe = append(m.maybe, n)
	}
	m.addMany(v, 1)
}

func (m *fitError) addMany(v *rejection, nodes int) {
	if nodes == 0 {
		return
	}
	if m.counts == nil {
		m.counts = map[string]int{}
	}
	for _, r := range v.reasons {
		m.counts[r] += nodes
	}
	if v.final {
		m.final += nodes
	}
	m.cause |= v.cause
}

// Error returns the message of kube-scheduler.
func (m *fitError) Error() string {
	head := fmt.Sprintf("0/%d nodes are available: ", m.nodes)
	if m.upfront != "" {
		return head + m.upfront + "."
	}
	return head + countList(m.counts) + "."
}

// message is Error with why preemption does not help.
func (m *fitError) message() string {
	if m.preemption == "" {
		return m.Error()
	}
	return m.Error() + " preemption: " + m.preemption
}

func countList(counts map[string]int) string {
	parts := make([]string, 0, len(counts))
	for reason, n := range counts {
		parts = append(parts, fmt.Sprintf("%d %s", n, reason))
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}
