package scheduler

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
)

// cause is why a pod did not fit, as a set of bits; the queue uses it to decide which events
// lead to a retry.
type cause uint

const (
	causeNode     cause = 1 << iota // taints, labels, unschedulable, name
	causeResource                   // cpu, memory, pods, host ports
	causePods                       // pod affinity and spread
	causeVolume
)

// rejection is why a node is infeasible for a pod. Its reasons are those of kube-scheduler, for
// which users search.
type rejection struct {
	reasons []string
	// final: removing pods from the node would not help.
	final bool
	cause cause
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

// preemption is the victims on one node that make the pod fit there.
type preemption struct {
	node    *nodeInfo
	victims []*podInfo // the most important first
	broken  int        // victims whose disruption budget does not allow it
	// cleared are lower-priority pods that were nominated there.
	cleared []*v1.Pod
}
