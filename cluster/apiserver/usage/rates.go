package usage

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// Used is the usage of a node, pod or container over Window, which ended at At.
type Used struct {
	At     time.Time
	Window time.Duration
	CPU    float64 // cores
	Memory uint64  // bytes that cannot be taken back at once
}

// Node is what a node uses, and its pods.
type Node struct {
	Used
	Pods []Pod
}

// Pod is what the running containers of a pod use.
type Pod struct {
	Namespace, Name string
	Containers      map[string]Used
}

// sameStart is how far two reports of one start may differ.
const sameStart = 10 * time.Millisecond

// rates returns the usage between two answers of each node.
func rates(before, now map[string]*Answer) map[string]Node {
	nodes := make(map[string]Node, len(now))
	for name, a := range now {
		b := before[name]
		if b == nil {
			b = &Answer{}
		}
		if n, ok := nodeRates(b, a); ok {
			nodes[name] = n
		}
	}
	return nodes
}

// nodeRates returns the usage between two answers. A container that began in between is
// measured from its start. A pod with a container without data is left out: the sum would be
// too small.
func nodeRates(before, now *Answer) (Node, bool) {
	var n Node
	pods := map[Container]*Pod{}
	half := map[Container]bool{}
	for c, counted := range now.Containers {
		key := Container{Namespace: c.Namespace, Pod: c.Pod}
		used, ok := rate(before.Containers[c], counted)
		if !ok {
			half[key] = true
			continue
		}
		if pods[key] == nil {
			pods[key] = &Pod{Namespace: c.Namespace, Name: c.Pod, Containers: map[string]Used{}}
		}
		pods[key].Containers[c.Name] = used
		n.add(used)
	}
	for key, p := range pods {
		if !half[key] {
			n.Pods = append(n.Pods, *p)
		}
	}
	slices.SortFunc(n.Pods, func(a, b Pod) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	// The machine's own numbers, where the kubelet has them; else the sum.
	if own, ok := rate(&before.Machine, &now.Machine); ok {
		n.Used = own
	}
	if n.At.IsZero() && len(now.Containers) == 0 {
		n.At = time.Now() // a node without containers uses nothing
	}
	return n, !n.At.IsZero()
}

func (n *Node) add(u Used) {
	n.CPU += u.CPU
	n.Memory += u.Memory
	if u.At.After(n.At) {
		n.At = u.At
	}
	n.Window = max(n.Window, u.Window)
}

// rate returns processor time per time since the answer before or, without one that counts
// from the same start, since the start.
func rate(before, now *Counters) (Used, bool) {
	from, counted := now.Start, 0.0
	if before != nil && before.hasCPU && before.Start.Sub(now.Start).Abs() < sameStart {
		from, counted = before.At, before.CPU
	}
	used := Used{At: now.At, Window: now.At.Sub(from), Memory: now.Memory}
	if !now.hasCPU || !now.hasMemory || from.IsZero() || used.Window <= 0 || now.CPU < counted {
		return Used{}, false
	}
	used.CPU = (now.CPU - counted) / used.Window.Seconds()
	return used, true
}

// Names returns the containers of a pod, sorted.
func (p *Pod) Names() []string { return slices.Sorted(maps.Keys(p.Containers)) }
