package kubelet

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"

	"wheelhouse/cluster/api/podfacts"
	"wheelhouse/cluster/kubelet/podspec"
)

// Reasons and messages of evictions, as upstream.
const (
	evictedReason      = "Evicted"
	evictedTerminating = "TerminationByKubelet"
)

// candidate is a pod that may be evicted, with what it and its containers use.
type candidate struct {
	pod        *v1.Pod
	memory     int64            // working set
	disk       int64            // volumes, writable layers and logs
	inodes     int64            // of the same
	processes  int64            //
	containers map[string]int64 // of the resource that is short
}

// uses is what the pod uses of the resource.
func (c *candidate) uses(name v1.ResourceName) int64 {
	switch name {
	case v1.ResourceMemory:
		return c.memory
	case v1.ResourceEphemeralStorage:
		return c.disk
	case "inodes":
		return c.inodes
	}
	return c.processes
}

// rank sorts the pods so that the first is to go: those that use more than they asked
// for, then by priority, then by how much more they use.
func rank(pods []*candidate, name v1.ResourceName) {
	slices.SortStableFunc(pods, func(a, b *candidate) int {
		if x, y := a.excess(name) > 0, b.excess(name) > 0; x != y && (name == v1.ResourceMemory || name == v1.ResourceEphemeralStorage) {
			if x {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(podfacts.Priority(a.pod), podfacts.Priority(b.pod)), cmp.Compare(b.excess(name), a.excess(name)))
	})
}

func (c *candidate) excess(name v1.ResourceName) int64 {
	requests, _ := podspec.Resources(c.pod)
	q := requests[name]
	return c.uses(name) - q.Value()
}

// evictionMessage says why a pod is evicted, and which of its containers use more than
// they asked for.
func evictionMessage(c crossing, victim *candidate) string {
	name := signals[c.Signal].resource
	var b strings.Builder
	fmt.Fprintf(&b, "The node was low on resource: %s. ", name)
	fmt.Fprintf(&b, "Threshold quantity: %s, available: %s. ", quantity(c.Signal, c.amount), quantity(c.Signal, c.seen.Available))
	for i := range victim.pod.Spec.Containers {
		spec := &victim.pod.Spec.Containers[i]
		usage, ok := victim.containers[spec.Name]
		if !ok {
			continue
		}
		request := spec.Resources.Requests[name]
		if usage > request.Value() {
			fmt.Fprintf(&b, "Container %s was using %s, request is %s, has larger consumption of %s. ",
				spec.Name, quantity(c.Signal, usage), request.String(), name)
		}
	}
	return b.String()
}
