package daemonset

import (
	"cmp"
	"slices"
	"time"

	apps "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"wheelhouse/cluster/api/podfacts"
)

// snapshot is what the next writes are computed from.
type snapshot struct {
	ds   *apps.DaemonSet
	hash string // of the present template
	// equal are the hashes of other revisions that hold the present template, too.
	equal map[string]bool
	nodes []*v1.Node
	pods  map[string][]*v1.Pod // by the node they are on or meant for
	now   time.Time
}

// byNode groups pods by node. It leaves out terminal pods that are being deleted.
func byNode(pods []*v1.Pod) map[string][]*v1.Pod {
	out := map[string][]*v1.Pod{}
	for _, p := range pods {
		if podfacts.Terminal(p) && p.DeletionTimestamp != nil {
			continue
		}
		out[nodeOf(p)] = append(out[nodeOf(p)], p)
	}
	return out
}

// podWrites are the pods to create and to delete next.
type podWrites struct {
	create   []string // names of nodes
	delete   []*v1.Pod
	terminal []*v1.Pod // to delete unless their node is in backoff
}

// place returns the nodes without their pod, and the pods that are terminal or too many.
func (s *snapshot) place() podWrites {
	var p podWrites
	known := map[string]bool{}
	for _, n := range s.nodes {
		known[n.Name] = true
		run, stay := eligible(s.ds, n)
		here := s.pods[n.Name]
		switch {
		case run && len(here) == 0:
			p.create = append(p.create, n.Name)
		case stay:
			s.keep(here, &p)
		default:
			p.delete = append(p.delete, alive(here)...)
		}
	}
	for node, pods := range s.pods {
		for _, pod := range pods {
			if !known[node] && pod.Spec.NodeName == "" && pod.DeletionTimestamp == nil {
				p.delete = append(p.delete, pod) // its node was deleted: it would be pending indefinitely
			}
		}
	}
	return p
}

// keep handles the pods of a node where a pod may stay.
func (s *snapshot) keep(here []*v1.Pod, p *podWrites) {
	var running []*v1.Pod
	for _, pod := range alive(here) {
		if podfacts.Terminal(pod) {
			p.terminal = append(p.terminal, pod)
			continue
		}
		running = append(running, pod)
	}
	if len(running) < 2 {
		return
	}
	slices.SortStableFunc(running, older)
	if _, surge := budgets(s.ds, 1); surge == 0 {
		p.delete = append(p.delete, running[1:]...)
		return
	}
	// During an update with maxSurge there are two pods: the oldest of each template. The
	// old one is deleted when it is not ready, or the new one is available.
	var fresh, old *v1.Pod
	for _, pod := range running {
		switch {
		case s.current(pod) && fresh == nil:
			fresh = pod
		case !s.current(pod) && old == nil:
			old = pod
		default:
			p.delete = append(p.delete, pod)
		}
	}
	if fresh == nil || old == nil {
		return
	}
	if !podfacts.Ready(old) || s.available(fresh) {
		p.delete = append(p.delete, old)
	}
}

func alive(pods []*v1.Pod) []*v1.Pod {
	return slices.DeleteFunc(slices.Clone(pods), func(p *v1.Pod) bool { return p.DeletionTimestamp != nil })
}

// older orders pods with a node first, then by creation.
func older(a, b *v1.Pod) int {
	if placed := (a.Spec.NodeName != ""); placed != (b.Spec.NodeName != "") {
		if placed {
			return -1
		}
		return 1
	}
	return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
}

func (s *snapshot) current(p *v1.Pod) bool {
	hash := p.Labels[apps.DefaultDaemonSetUniqueLabelKey]
	return hash != "" && (hash == s.hash || s.equal[hash])
}

func (s *snapshot) available(p *v1.Pod) bool {
	return podfacts.Available(p, s.ds.Spec.MinReadySeconds, s.now)
}

// budgets returns on how many of n nodes the pod may be unavailable, and how many nodes
// may have a second pod, during a rolling update.
func budgets(ds *apps.DaemonSet, n int) (unavailable, surge int) {
	r := ds.Spec.UpdateStrategy.RollingUpdate
	if ds.Spec.UpdateStrategy.Type != apps.RollingUpdateDaemonSetStrategyType {
		return 0, 0
	}
	unavailable = 1
	if r == nil {
		return unavailable, 0
	}
	if r.MaxUnavailable != nil {
		unavailable = share(r.MaxUnavailable, n)
	}
	if r.MaxSurge != nil {
		surge = share(r.MaxSurge, n)
	}
	if unavailable == 0 && surge == 0 {
		unavailable = 1
	}
	return unavailable, surge
}

// share resolves a number or a percentage of n, rounded up.
func share(v *intstr.IntOrString, n int) int {
	out, err := intstr.GetScaledValueFromIntOrPercent(v, n, true)
	if err != nil {
		return 0
	}
	return out
}
