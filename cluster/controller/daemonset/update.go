package daemonset

import v1 "k8s.io/api/core/v1"

// update returns the next step of a rolling update.
func (s *snapshot) update() podWrites {
	wanted := 0
	for _, n := range s.nodes {
		if run, _ := eligible(s.ds, n); run {
			wanted++
			if _, ok := s.pods[n.Name]; !ok {
				s.pods[n.Name] = nil // a node that waits for its pod counts as unavailable
			}
		}
	}
	unavailable, surge := budgets(s.ds, wanted)
	if surge == 0 {
		return podWrites{delete: s.replace(unavailable)}
	}
	return s.surge(surge)
}

// replace picks old pods to delete: those that are not available in any case, and
// of the others as many as the budget leaves.
func (s *snapshot) replace(budget int) []*v1.Pod {
	var useless, candidates []*v1.Pod
	missing := 0
	for _, n := range s.nodes {
		here, ok := s.pods[n.Name]
		if !ok {
			continue
		}
		fresh, old, ok := s.pair(here)
		switch {
		case !ok:
			missing++
		case (fresh == nil) == (old == nil):
			missing++ // place has to act first
		case fresh != nil:
			if !s.available(fresh) {
				missing++
			}
		case !s.available(old):
			useless = append(useless, old)
			missing++
		default:
			candidates = append(candidates, old)
		}
	}
	return append(useless, candidates[:min(max(budget-missing, 0), len(candidates))]...)
}

// surge picks nodes that get a pod of the new template beside the old one, and old
// pods whose successor is available.
func (s *snapshot) surge(budget int) podWrites {
	var p podWrites
	var candidates []string
	busy := 0
	for _, n := range s.nodes {
		here, ok := s.pods[n.Name]
		if !ok {
			continue
		}
		fresh, old, ok := s.pair(here)
		switch {
		case !ok:
			busy++
		case old == nil:
		case fresh == nil && !s.available(old):
			p.create = append(p.create, n.Name)
		case fresh == nil:
			candidates = append(candidates, n.Name)
		case !s.available(fresh):
			busy++
		default:
			p.delete = append(p.delete, old)
		}
	}
	p.create = append(p.create, candidates[:min(max(budget-busy, 0), len(candidates))]...)
	return p
}

// pair is the pod of the new and of an old template on a node; not ok if there
// are several of one, of which place deletes some first.
func (s *snapshot) pair(here []*v1.Pod) (fresh, old *v1.Pod, ok bool) {
	for _, p := range alive(here) {
		switch {
		case s.current(p) && fresh == nil:
			fresh = p
		case !s.current(p) && old == nil:
			old = p
		default:
			return nil, nil, false
		}
	}
	return fresh, old, true
}
