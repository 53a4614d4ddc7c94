package scheduler

import (
	"math/rand/v2"
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
			r.reject(n, v)
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
			r.reject(n, v)
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
		r.judge(fit[0], nil, nil)
		return fit[0], nil
	}
	scores := r.score(fit)
	chosen := best(fit, scores)
	for i, n := range fit {
		if n == chosen {
			r.judge(n, &scores[i], nil)
		}
	}
	for i, n := range fit {
		if n != chosen {
			r.judge(n, &scores[i], nil)
		}
	}
	return chosen, nil
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
