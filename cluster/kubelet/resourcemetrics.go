package kubelet

import (
	"fmt"
	"strings"
	"time"

	"wheelhouse/cluster/kubelet/cgroup"
)

// family is one metric with its values.
type family struct {
	name, kind, help string
	lines            strings.Builder
}

func (f *family) add(labels, value string, at time.Time) {
	if labels != "" {
		labels = "{" + labels + "}"
	}
	stamp := ""
	if !at.IsZero() {
		stamp = fmt.Sprintf(" %d", at.UnixMilli())
	}
	fmt.Fprintf(&f.lines, "%s%s %s%s\n", f.name, labels, value, stamp)
}

// ResourceMetrics implements server.Usage.
func (s served) ResourceMetrics() string {
	k := s.k
	cpu := &family{name: "container_cpu_usage_seconds_total", kind: "counter", help: "Cumulative cpu time consumed by the container in core-seconds"}
	memory := &family{name: "container_memory_working_set_bytes", kind: "gauge", help: "Current working set of the container in bytes"}
	start := &family{name: "container_start_time_seconds", kind: "gauge", help: "Start time of the container since unix epoch in seconds"}
	podCPU := &family{name: "pod_cpu_usage_seconds_total", kind: "counter", help: "Cumulative cpu time consumed by the pod in core-seconds"}
	podMemory := &family{name: "pod_memory_working_set_bytes", kind: "gauge", help: "Current working set of the pod in bytes"}
	nodeCPU := &family{name: "node_cpu_usage_seconds_total", kind: "counter", help: "Cumulative cpu time consumed by the node in core-seconds"}
	nodeMemory := &family{name: "node_memory_working_set_bytes", kind: "gauge", help: "Current working set of the node in bytes"}
	failed := &family{name: "resource_scrape_error", kind: "gauge", help: "1 if there was an error while getting container metrics, 0 otherwise"}

	both := func(c, m *family, labels string, u cgroup.Usage) {
		c.add(labels, fmt.Sprintf("%f", float64(u.CPUNanoseconds)/1e9), u.Time)
		m.add(labels, fmt.Sprint(u.WorkingSet), u.Time)
	}
	both(nodeCPU, nodeMemory, "", k.nodeUsage())
	for _, w := range s.workers() {
		list, group := w.published.get()
		pod := fmt.Sprintf("namespace=%q,pod=%q", w.ref.Namespace, w.ref.Name)
		if len(list) > 0 && group != "" {
			if u, err := k.groups.Usage(group); err == nil {
				both(podCPU, podMemory, pod, u)
			}
		}
		for _, c := range list {
			labels := fmt.Sprintf("container=%q,", c.Name) + pod
			u, err := k.groups.Usage(c.group)
			if err != nil { // it has terminated meanwhile
				continue
			}
			both(cpu, memory, labels, u)
			start.add(labels, fmt.Sprintf("%f", float64(c.StartedAt.UnixNano())/1e9), time.Time{})
		}
	}
	failed.add("", "0", time.Time{})
	var out strings.Builder
	for _, f := range []*family{cpu, memory, start, nodeCPU, nodeMemory, podCPU, podMemory, failed} {
		fmt.Fprintf(&out, "# HELP %s [STABLE] %s\n# TYPE %s %s\n%s", f.name, f.help, f.name, f.kind, f.lines.String())
	}
	return out.String()
}
