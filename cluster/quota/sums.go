package quota

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// Add adds more to sum.
func Add(sum, more corev1.ResourceList) {
	for n, q := range more {
		have := sum[n].DeepCopy()
		have.Add(q)
		sum[n] = have
	}
}

// Growth returns by how much now exceeds before, for the resources where it does.
func Growth(now, before corev1.ResourceList) corev1.ResourceList {
	grown := corev1.ResourceList{}
	for n, q := range now {
		more := q.DeepCopy()
		more.Sub(before[n])
		if more.Sign() > 0 {
			grown[n] = more
		}
	}
	return grown
}

// Within returns that part of used that hard limits.
func Within(used, hard corev1.ResourceList) corev1.ResourceList {
	part := corev1.ResourceList{}
	for n := range hard {
		if q, ok := used[n]; ok {
			part[n] = q
		}
	}
	return part
}

// Zero returns a usage of 0 of each resource in hard.
func Zero(hard corev1.ResourceList) corev1.ResourceList {
	zero := corev1.ResourceList{}
	for n, q := range hard {
		zero[n] = *resource.NewQuantity(0, q.Format)
	}
	return zero
}

// Reservable returns the part of a usage that is reserved in a quota: what its status limits,
// and what its spec will limit once the controller has counted. The latter refuses nothing yet,
// but the controller must not miss an object that is stored while it counts for the first time.
func Reservable(q *corev1.ResourceQuota, asked corev1.ResourceList) corev1.ResourceList {
	part := Within(asked, q.Spec.Hard)
	maps.Copy(part, Within(asked, q.Status.Hard))
	return part
}

// Unknown returns the requested resources that a quota limits and whose usage was not counted
// yet.
func Unknown(q *corev1.ResourceQuota, asked corev1.ResourceList) []string {
	var unknown []string
	for n := range Within(asked, q.Status.Hard) {
		if _, counted := q.Status.Used[n]; !counted {
			unknown = append(unknown, string(n))
		}
	}
	slices.Sort(unknown)
	return unknown
}

// Exceeded returns an error if the requested resources exceed the quota beside its usage.
func Exceeded(q *corev1.ResourceQuota, asked corev1.ResourceList) error {
	over := corev1.ResourceList{}
	for n, more := range Within(asked, q.Status.Hard) {
		sum := q.Status.Used[n].DeepCopy()
		sum.Add(more)
		if sum.Cmp(q.Status.Hard[n]) > 0 {
			over[n] = more
		}
	}
	if len(over) == 0 {
		return nil
	}
	return fmt.Errorf("exceeded quota: %s, requested: %s, used: %s, limited: %s",
		q.Name, text(over), text(Within(q.Status.Used, over)), text(Within(q.Status.Hard, over)))
}

func text(l corev1.ResourceList) string {
	var parts []string
	for _, n := range slices.Sorted(maps.Keys(l)) {
		q := l[n]
		parts = append(parts, string(n)+"="+q.String())
	}
	return strings.Join(parts, ",")
}
