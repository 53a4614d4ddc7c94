package scheduler

import (
	"math"

	v1 "k8s.io/api/core/v1"
)

// maxScore is what the best node gets from one scorer.
const maxScore = 100

// scorer scores the feasible nodes, higher is better.
type scorer struct {
	weight int64
	// score sets out, one score per node; skip reports whether all scores would be equal.
	score func(r *request, nodes []*nodeInfo, out []int64)
	skip  func(r *request) bool
}

// scorers are all scorers, with kube-scheduler's weights; selector spread replaces its default
// topology constraints and has their weight.
var scorers = []scorer{
	{1, (*request).scoreLeastAllocated, nil},
	{1, (*request).scoreBalanced, nil},
	{2, (*request).scorePeers, func(r *request) bool { return r.peers == nil }},
	{2, (*request).scoreSoftSpread, func(r *request) bool { return !r.softSpread() }},
	{2, (*request).scorePreferredNodes, func(r *request) bool { return len(r.preferredNodes) == 0 }},
	{1, (*request).scoreImages, func(r *request) bool { return len(r.cluster.imageNodes) == 0 }},
	{3, (*request).scoreTaints, nil},
	{2, (*request).scorePods, func(r *request) bool { return r.pods == nil || len(r.pods.scores) == 0 }},
}

// score rates each node; the result matches nodes. It changes nothing.
func (r *request) score(nodes []*nodeInfo) []int64 {
	total := make([]int64, len(nodes))
	one := make([]int64, len(nodes))
	for _, s := range scorers {
		if s.skip != nil && s.skip(r) {
			continue
		}
		clear(one)
		s.score(r, nodes, one)
		for i, n := range one {
			total[i] += s.weight * n
		}
	}
	return total
}

// scoreLeastAllocated prefers nodes with more left of cpu and memory.
func (r *request) scoreLeastAllocated(nodes []*nodeInfo, out []int64) {
	left := func(used, can int64) int64 {
		if can <= 0 || used > can {
			return 0
		}
		return (can - used) * maxScore / can
	}
	for i, n := range nodes {
		out[i] = (left(n.nonzeroCPU+r.nonzeroCPU, n.can.milliCPU) + left(n.nonzeroMem+r.nonzeroMem, n.can.memory)) / 2
	}
}

// scoreBalanced prefers nodes where cpu and memory are used to the same degree.
func (r *request) scoreBalanced(nodes []*nodeInfo, out []int64) {
	part := func(used, can int64) float64 {
		if can <= 0 {
			return 1
		}
		return min(1, float64(used)/float64(can))
	}
	for i, n := range nodes {
		cpu := part(n.nonzeroCPU+r.nonzeroCPU, n.can.milliCPU)
		mem := part(n.nonzeroMem+r.nonzeroMem, n.can.memory)
		out[i] = int64((1 - math.Abs(cpu-mem)/2) * maxScore)
	}
}

// zoneWeight is the share of the zone in scorePeers, if nodes have one.
const zoneWeight = 2.0 / 3.0

// scorePeers prefers nodes, and zones, with fewer pods of the same controller and services.
func (r *request) scorePeers(nodes []*nodeInfo, out []int64) {
	zones := map[string]int64{}
	var most, mostZone int64
	for i, n := range nodes {
		out[i] = int64(r.peers[n.name])
		most = max(most, out[i])
		if z := n.zone.value; z != "" {
			zones[z] += out[i]
			mostZone = max(mostZone, zones[z])
		}
	}
	part := func(n, most int64) float64 {
		if most == 0 {
			return maxScore
		}
		return maxScore * float64(most-n) / float64(most)
	}
	for i, n := range nodes {
		s := part(out[i], most)
		if z := n.zone.value; z != "" {
			s = s*(1-zoneWeight) + zoneWeight*part(zones[z], mostZone)
		}
		out[i] = int64(s)
	}
}

func (r *request) scorePreferredNodes(nodes []*nodeInfo, out []int64) {
	for i, n := range nodes {
		out[i] = preferredNodes(r.preferredNodes, n.node)
	}
	stretch(out)
}

// scoreTaints prefers nodes with fewer PreferNoSchedule taints that the pod does not tolerate.
func (r *request) scoreTaints(nodes []*nodeInfo, out []int64) {
	for i, n := range nodes {
		for k := range n.node.Spec.Taints {
			t := &n.node.Spec.Taints[k]
			if t.Effect == v1.TaintEffectPreferNoSchedule && !tolerates(r.pod.Spec.Tolerations, t) {
				out[i]++
			}
		}
	}
	reverse(out)
}

func (r *request) scorePods(nodes []*nodeInfo, out []int64) {
	for i, n := range nodes {
		out[i] = r.pods.score(n)
	}
	lo, hi := bounds(out)
	for i := range out {
		if hi > lo {
			out[i] = (out[i] - lo) * maxScore / (hi - lo)
		} else {
			out[i] = 0
		}
	}
}

// Sizes of images on a node below and above which more does not count, per container.
const (
	imageFloor   = 23 << 20
	imageCeiling = 1000 << 20
)

// scoreImages prefers nodes that have the images, less so for an image that few
// nodes have: otherwise all pods of one image would go where the first went.
func (r *request) scoreImages(nodes []*nodeInfo, out []int64) {
	containers := r.pod.Spec.Containers
	ceiling := int64(imageCeiling * len(containers))
	for i, n := range nodes {
		var sum int64
		for k := range containers {
			name := imageName(containers[k].Image)
			if size, ok := n.images[name]; ok {
				sum += size * int64(r.cluster.imageNodes[name]) / int64(len(r.cluster.list))
			}
		}
		sum = min(max(sum, imageFloor), ceiling)
		if ceiling > imageFloor {
			out[i] = maxScore * (sum - imageFloor) / (ceiling - imageFloor)
		}
	}
}

// imageName adds the tag that an image without one has.
func imageName(s string) string {
	for i := len(s) - 1; i >= 0 && s[i] != '/'; i-- {
		if s[i] == ':' || s[i] == '@' {
			return s
		}
	}
	return s + ":latest"
}

// stretch scales to 0..maxScore by the largest.
func stretch(out []int64) {
	_, hi := bounds(out)
	for i := range out {
		if hi > 0 {
			out[i] = out[i] * maxScore / hi
		}
	}
}

// reverse scales to 0..maxScore so that the smallest count is best.
func reverse(out []int64) {
	stretch(out)
	for i := range out {
		out[i] = maxScore - out[i]
	}
}

func bounds(in []int64) (lo, hi int64) {
	if len(in) == 0 {
		return 0, 0
	}
	lo, hi = in[0], in[0]
	for _, n := range in {
		lo, hi = min(lo, n), max(hi, n)
	}
	return lo, hi
}

// scoreSoftSpread prefers domains with fewer pods, by all soft constraints together.
// A node without one of the labels comes last.
func (r *request) scoreSoftSpread(nodes []*nodeInfo, out []int64) {
	const outside = -1
	lo, hi := int64(math.MaxInt64), int64(0)
	for i, n := range nodes {
		var sum float64
		for k := range r.spread {
			s := &r.spread[k]
			if s.hard {
				continue
			}
			value, ok := n.domain(s.key)
			if !ok {
				sum = outside
				break
			}
			sum += float64(s.count[value])*s.weight() + float64(s.maxSkew-1)
		}
		if out[i] = int64(math.Round(sum)); out[i] >= 0 {
			lo, hi = min(lo, out[i]), max(hi, out[i])
		}
	}
	for i := range out {
		switch {
		case out[i] < 0:
			out[i] = 0
		case hi == 0:
			out[i] = maxScore
		default:
			out[i] = maxScore * (hi + lo - out[i]) / hi
		}
	}
}

func (r *request) softSpread() bool {
	for i := range r.spread {
		if !r.spread[i].hard {
			return true
		}
	}
	return false
}
