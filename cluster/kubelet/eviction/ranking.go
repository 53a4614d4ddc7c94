package eviction

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"

	"wheelhouse/cluster/api/podfacts"
	"wheelhouse/cluster/kubelet/podspec"
)

// candidate is a pod that may be evicted, with the usage of it and its containers of the
// resource that is to be reclaimed.
type candidate struct {
	Pod
	used       int64
	containers map[string]int64
}

func measure(p Pod, name v1.ResourceName, now time.Time) *candidate {
	c := &candidate{Pod: p, containers: map[string]int64{}}
	switch name {
	case v1.ResourceMemory:
		c.used, _, c.containers = p.Worker.Usage()
	case v1.ResourceEphemeralStorage:
		disk := p.Worker.DiskUsage(now)
		c.used = disk.Total().Bytes
		for container, u := range disk.Containers {
			c.containers[container] = u.Bytes
		}
	case "inodes":
		c.used = p.Worker.DiskUsage(now).Total().Inodes
	default:
		_, c.used, _ = p.Worker.Usage()
	}
	return c
}

// rank sorts the pods, the first to be evicted: those that use more than they request come
// first, then by priority, then by how much more they use.
func rank(pods []*candidate, name v1.ResourceName) {
	slices.SortStableFunc(pods, func(a, b *candidate) int {
		if x, y := a.excess(name) > 0, b.excess(name) > 0; x != y && (name == v1.ResourceMemory || name == v1.ResourceEphemeralStorage) {
			if x {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(podfacts.Priority(a.Pod.Pod), podfacts.Priority(b.Pod.Pod)), cmp.Compare(b.excess(name), a.excess(name)))
	})
}

func (c *candidate) excess(name v1.ResourceName) int64 {
	requests, _ := podspec.Resources(c.Pod.Pod)
	q := requests[name]
	return c.used - q.Value()
}

// evictionMessage is upstream's message: why a pod is evicted, and which of its containers
// use more than they request.
func evictionMessage(c met, victim *candidate) string {
	name := signals[c.Signal].resource
	var b strings.Builder
	fmt.Fprintf(&b, "The node was low on resource: %s. ", name)
	fmt.Fprintf(&b, "Threshold quantity: %s, available: %s. ", quantity(c.Signal, c.amount), quantity(c.Signal, c.now.Available))
	for i := range victim.Spec.Containers {
		spec := &victim.Spec.Containers[i]
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
