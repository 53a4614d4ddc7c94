package scheduler

// fewDomains is the number of domains up to which nodes are excluded by domain: with as many
// domains as nodes that costs as much as filtering each node.
const fewDomains = 100

// prefilter excludes nodes that are infeasible without filtering each: by a required label, by
// domains at their maximum, or without a pod of a required affinity. It returns the nodes
// of the domains in turn, so that the first of them are of all domains.
func (r *request) prefilter() []*nodeInfo {
	few := r.cluster.list
	less := func(key string, values []string) {
		members := r.cluster.membersBy(key)
		sum := 0
		for _, value := range values {
			sum += len(members[value])
		}
		if sum < len(few) {
			few = interleave(members, values, sum)
		}
	}
	for key, value := range r.nodes.equals() {
		less(key, []string{value})
	}
	if e := r.nodes.oneOf(); e != nil {
		less(e.Key, e.Values)
	}
	for i := range r.spread {
		if s := &r.spread[i]; s.hard && len(s.sizes) <= fewDomains {
			less(s.key, s.open())
		}
	}
	if r.pods != nil && r.pods.some() {
		for i := range r.pods.want {
			if w := &r.pods.want[i]; len(w.count) <= fewDomains {
				less(w.key, keysOf(w.count))
			}
		}
	}
	return few
}

func keysOf(m map[string]int) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	return out
}

func interleave(members map[string][]*nodeInfo, values []string, sum int) []*nodeInfo {
	if len(values) == 1 {
		return members[values[0]]
	}
	out := make([]*nodeInfo, 0, sum)
	for i := 0; len(out) < sum; i++ {
		for _, value := range values {
			if list := members[value]; i < len(list) {
				out = append(out, list[i])
			}
		}
	}
	return out
}
