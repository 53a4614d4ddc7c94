package scheduler

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"

	v1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// Preemption: if no node is feasible, lower-priority pods may be deleted. It is simulated on
// copies of single nodes; nothing is changed before the victims are selected.

// How many nodes are simulated: a tenth, a hundred at least, as upstream.
const (
	leastCandidates = 100
	candidateShare  = 10 // percent
)

const noVictims = "No preemption victims found for incoming pod"

// preempt returns the best node and victims for this pod. nil with an explanation in m means
// that there is none. It changes nothing.
func (r *request) preempt(m *fitError, budgets []*policyv1.PodDisruptionBudget) *preemption {
	if reason := r.mayNotPreempt(m); reason != "" {
		m.preemption, m.keeps = reason, true
		return nil
	}
	counts := map[string]int{}
	if final := m.nodes - len(m.maybe); final > 0 {
		counts["Preemption is not helpful for scheduling"] = final
	}
	var plans []*preemption
	if r.anyLowerPriority() {
		var failed map[string]int
		plans, failed = r.findPreemptions(m.maybe, budgets, candidates(m.nodes))
		for reason, n := range failed {
			counts[reason] += n
		}
	} else if len(m.maybe) > 0 {
		counts[noVictims] = len(m.maybe)
	}
	if len(plans) == 0 {
		m.preemption = fmt.Sprintf("0/%d nodes are available: %s.", m.nodes, countList(counts))
		return nil
	}
	best := pickPreemption(plans)
	for _, i := range best.node.nominated {
		if i.priority < r.priority {
			best.cleared = append(best.cleared, i.pod)
		}
	}
	return best
}

// mayNotPreempt returns why the pod must not preempt: its preemptionPolicy is Never, or its
// victims are still terminating.
func (r *request) mayNotPreempt(m *fitError) string {
	if p := r.pod.Spec.PreemptionPolicy; p != nil && *p == v1.PreemptNever {
		return "not eligible due to preemptionPolicy=Never."
	}
	n := r.cluster.nominated[r.pod.UID]
	if n == nil || !slices.Contains(m.maybe, n) {
		return ""
	}
	for _, i := range n.pods {
		if i.pod.DeletionTimestamp != nil && i.priority < r.priority && preempted(i.pod) {
			return "not eligible due to a terminating pod on the nominated node."
		}
	}
	return ""
}

// preempted reports whether a pod is terminating because of preemption.
func preempted(p *v1.Pod) bool {
	return slices.ContainsFunc(p.Status.Conditions, func(c v1.PodCondition) bool {
		return c.Type == v1.DisruptionTarget && c.Status == v1.ConditionTrue && c.Reason == v1.PodReasonPreemptionByScheduler
	})
}

// anyLowerPriority reports whether there is any lower-priority pod at all: usually there is not.
func (r *request) anyLowerPriority() bool {
	for priority := range r.cluster.priorities {
		if priority < r.priority {
			return true
		}
	}
	return false
}

func candidates(nodes int) int { return min(max(nodes*candidateShare/100, leastCandidates), nodes) }

// findPreemptions simulates nodes, from a random one on and several at a time, until there are
// enough preemptions of which one at least violates no disruption budget. failed counts
// the reasons of the nodes where preemption does not help.
func (r *request) findPreemptions(nodes []*nodeInfo, budgets []*policyv1.PodDisruptionBudget, enough int) (plans []*preemption, failed map[string]int) {
	failed = map[string]int{}
	start := rand.IntN(max(len(nodes), 1))
	var mu sync.Mutex
	next, clean := 0, false
	take := func() *nodeInfo {
		mu.Lock()
		defer mu.Unlock()
		if next == len(nodes) || clean && len(plans) >= enough {
			return nil
		}
		next++
		return nodes[(start+next-1)%len(nodes)]
	}
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for n := take(); n != nil; n = take() {
				p, v := r.selectVictims(n, budgets)
				mu.Lock()
				if p != nil {
					plans, clean = append(plans, p), clean || p.broken == 0
				} else {
					for _, reason := range v.reasons {
						failed[reason]++
					}
				}
				mu.Unlock()
			}
		})
	}
	workers.Wait()
	return plans, failed
}

// selectVictims returns the fewest pods of the lowest priority that must be deleted: all
// lower-priority pods are removed, then each is reprieved beside which the pod fits, those
// whose budget would be violated first, then by priority.
func (r *request) selectVictims(n *nodeInfo, budgets []*policyv1.PodDisruptionBudget) (*preemption, *rejection) {
	var less []*podInfo
	for _, i := range n.pods {
		if i.priority < r.priority {
			less = append(less, i)
		}
	}
	if len(less) == 0 {
		return nil, &rejection{reasons: []string{noVictims}, final: true}
	}
	slices.SortFunc(less, moreImportant)
	gone := map[*podInfo]bool{}
	for _, i := range less {
		gone[i] = true
	}
	fits := func() *rejection {
		var d difference
		for _, i := range less {
			if gone[i] {
				d.without = append(d.without, i)
			}
		}
		if beside := r.nominatedOn(n); beside != nil {
			both := difference{d.without, beside.with}
			if v := r.filterWith(n.but(&both), &both); v != nil {
				return v
			}
		}
		return r.filterWith(n.but(&d), &d)
	}
	if v := fits(); v != nil {
		return nil, v
	}
	p := &preemption{node: n}
	protected, free := byBudget(less, budgets)
	for k, i := range slices.Concat(protected, free) {
		gone[i] = false
		if fits() == nil {
			continue
		}
		gone[i] = true
		p.victims = append(p.victims, i)
		if k < len(protected) {
			p.broken++
		}
	}
	slices.SortFunc(p.victims, moreImportant)
	return p, nil
}

// moreImportant orders pods by priority, then by start time.
func moreImportant(a, b *podInfo) int {
	if a.priority != b.priority {
		return int(int64(b.priority) - int64(a.priority))
	}
	return startOf(a.pod).Compare(startOf(b.pod).Time)
}

func startOf(p *v1.Pod) metav1.Time {
	if p.Status.StartTime != nil {
		return *p.Status.StartTime
	}
	return metav1.Now() // assumed, and not started yet
}

// byBudget separates the pods whose deletion would violate a disruption budget.
func byBudget(pods []*podInfo, budgets []*policyv1.PodDisruptionBudget) (protected, free []*podInfo) {
	left := make([]int32, len(budgets))
	selectors := make([]labels.Selector, len(budgets))
	for k, b := range budgets {
		left[k], selectors[k] = b.Status.DisruptionsAllowed, selectorOf(b.Spec.Selector)
	}
	for _, i := range pods {
		breaks := false
		for k, b := range budgets {
			if b.Namespace != i.pod.Namespace || len(i.pod.Labels) == 0 || selectors[k].Empty() || !selectors[k].Matches(labels.Set(i.pod.Labels)) {
				continue
			}
			if _, counted := b.Status.DisruptedPods[i.pod.Name]; counted {
				continue
			}
			left[k]--
			breaks = breaks || left[k] < 0
		}
		if breaks {
			protected = append(protected, i)
		} else {
			free = append(free, i)
		}
	}
	return protected, free
}

// pickPreemption compares: violated budgets, highest priority of a victim, sum of priorities,
// number of victims, and last the latest start time of the highest-priority victims.
func pickPreemption(plans []*preemption) *preemption {
	measures := []func(*preemption) int64{
		func(p *preemption) int64 { return int64(p.broken) },
		highest,
		func(p *preemption) int64 {
			var sum int64
			for _, i := range p.victims {
				sum += int64(i.priority) + math.MaxInt32 + 1 // so that a negative priority counts too
			}
			return sum
		},
		func(p *preemption) int64 { return int64(len(p.victims)) },
		func(p *preemption) int64 {
			oldest := int64(math.MaxInt64)
			for _, i := range p.victims {
				if int64(i.priority) == highest(p) {
					oldest = min(oldest, startOf(i.pod).UnixNano())
				}
			}
			return -oldest
		},
	}
	for _, measure := range measures {
		least := int64(math.MaxInt64)
		for _, p := range plans {
			least = min(least, measure(p))
		}
		plans = slices.DeleteFunc(plans, func(p *preemption) bool { return measure(p) > least })
		if len(plans) == 1 {
			break
		}
	}
	return plans[0]
}

func highest(p *preemption) int64 {
	top := int64(math.MinInt64)
	for _, i := range p.victims {
		top = max(top, int64(i.priority))
	}
	return top
}
