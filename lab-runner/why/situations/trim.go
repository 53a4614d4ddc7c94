package situations

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"wheelhouse/lab-runner/why"
)

// Trim makes recorded facts short: what belongs to other situations and what no explanation looks at is left out.
func Trim(s *Situation, f *why.Facts) *why.Facts {
	mine := func(name string) bool {
		return strings.HasPrefix(name, s.Namespace()) || !strings.HasPrefix(name, "why-")
	}
	f.Namespaces = slices.DeleteFunc(f.Namespaces, func(n corev1.Namespace) bool { return !mine(n.Name) })
	f.Volumes = slices.DeleteFunc(f.Volumes, func(v corev1.PersistentVolume) bool { return !mine(v.Name) })
	f.Nodes = slices.DeleteFunc(f.Nodes, func(n corev1.Node) bool { return !mine(n.Name) })
	for i := range f.Nodes {
		n := &f.Nodes[i]
		n.Status.NodeInfo, n.Status.Capacity = corev1.NodeSystemInfo{}, nil
		n.Status.Conditions = slices.DeleteFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool {
			return c.Type != corev1.NodeReady && c.Status == corev1.ConditionFalse
		})
		if s.Hop != "image" {
			n.Status.Images = nil
		}
	}
	return f
}
