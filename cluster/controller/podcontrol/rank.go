package podcontrol

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/cluster/api/podfacts"
)

// Cost returns the pod's controller.kubernetes.io/pod-deletion-cost, 0 if it has none.
func Cost(p *v1.Pod) int32 {
	n, err := strconv.ParseInt(p.Annotations["controller.kubernetes.io/pod-deletion-cost"], 10, 32)
	if err != nil {
		return 0
	}
	return int32(n)
}

// PodsToDelete returns the n pods to delete first, as upstream: without a node, pending, not
// ready, lower deletion cost, more related pods on the node (related are the pods that count
// for that), ready for a shorter time (in powers of two), more restarts, younger.
func PodsToDelete(pods, related []*v1.Pod, n int, now time.Time) []*v1.Pod {
	if n >= len(pods) {
		return pods
	}
	onNode := map[string]int{}
	for _, p := range related {
		if p.Spec.NodeName != "" && podfacts.Active(p) {
			onNode[p.Spec.NodeName]++
		}
	}
	out := slices.Clone(pods)
	slices.SortStableFunc(out, func(a, b *v1.Pod) int {
		return cmp.Or(
			trueFirst(a.Spec.NodeName == "", b.Spec.NodeName == ""),
			cmp.Compare(phaseRank(a), phaseRank(b)),
			trueFirst(!podfacts.Ready(a), !podfacts.Ready(b)),
			cmp.Compare(Cost(a), Cost(b)),
			-cmp.Compare(onNode[a.Spec.NodeName], onNode[b.Spec.NodeName]),
			compareReadyTime(a, b, now),
			-cmp.Compare(restarts(a), restarts(b)),
			compareAge(a.CreationTimestamp, b.CreationTimestamp, now),
			cmp.Compare(string(a.UID), string(b.UID)),
		)
	})
	return out[:n]
}

// trueFirst orders true before false.
func trueFirst(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

func phaseRank(p *v1.Pod) int {
	switch p.Status.Phase {
	case v1.PodRunning:
		return 2
	case v1.PodUnknown:
		return 1
	}
	return 0
}

func compareReadyTime(a, b *v1.Pod, now time.Time) int {
	if !podfacts.Ready(a) || !podfacts.Ready(b) {
		return 0
	}
	return compareAge(podfacts.ReadySince(a), podfacts.ReadySince(b), now)
}

// compareAge orders the younger first, and treats ages of the same power of two as equal:
// otherwise scaling down would always delete from the newest node first.
func compareAge(a, b metav1.Time, now time.Time) int {
	switch {
	case a.Equal(&b):
		return 0
	case a.IsZero():
		return -1
	case b.IsZero():
		return 1
	}
	return cmp.Compare(magnitude(now.Sub(a.Time)), magnitude(now.Sub(b.Time)))
}

func magnitude(d time.Duration) int {
	n := 0
	for s := int64(d / time.Second); s > 0; s /= 2 {
		n++
	}
	return n
}

func restarts(p *v1.Pod) int32 {
	var n int32
	for i := range p.Status.ContainerStatuses {
		n = max(n, p.Status.ContainerStatuses[i].RestartCount)
	}
	return n
}
