package kubelet

import (
	"context"
	"fmt"
	"net/http"
	"sort"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	stats "k8s.io/kubelet/pkg/apis/stats/v1alpha1"
)

// usage is what a running container uses.
type usage struct {
	container Container
	stats     Stats
}

// allUsage reads the counters of all running containers, sandboxes left out.
func (k *Kubelet) allUsage(ctx context.Context) ([]usage, error) {
	all, err := k.runtime.List(ctx, "")
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	var out []usage
	for _, c := range all {
		if c.State != Running || c.Name == SandboxName {
			continue
		}
		wg.Go(func() {
			s, err := k.runtime.Stats(ctx, c.ID)
			if err != nil { // it has ended meanwhile
				return
			}
			mu.Lock()
			defer mu.Unlock()
			out = append(out, usage{c, s})
		})
	}
	wg.Wait()
	sort.Slice(out, func(i, j int) bool {
		a, b := out[i].container, out[j].container
		return a.Pod.String()+"/"+a.Name < b.Pod.String()+"/"+b.Name
	})
	return out, nil
}

func (k *Kubelet) serveSummary(w http.ResponseWriter, r *http.Request) {
	all, err := k.allUsage(r.Context())
	if err != nil {
		failRequest(w, err)
		return
	}
	summary := stats.Summary{Node: stats.NodeStats{NodeName: k.config.NodeName, StartTime: metav1.NewTime(k.started)}}
	for _, u := range all {
		ref := stats.PodReference{Name: u.container.Pod.Name, Namespace: u.container.Pod.Namespace, UID: u.container.Pod.UID}
		if n := len(summary.Pods); n == 0 || summary.Pods[n-1].PodRef != ref {
			summary.Pods = append(summary.Pods, stats.PodStats{PodRef: ref, StartTime: metav1.NewTime(u.container.CreatedAt)})
		}
		pod := &summary.Pods[len(summary.Pods)-1]
		at := metav1.NewTime(u.stats.Time)
		pod.Containers = append(pod.Containers, stats.ContainerStats{
			Name: u.container.Name, StartTime: metav1.NewTime(u.container.StartedAt),
			CPU:    &stats.CPUStats{Time: at, UsageCoreNanoSeconds: &u.stats.CPUNanoseconds},
			Memory: &stats.MemoryStats{Time: at, UsageBytes: &u.stats.Memory, WorkingSetBytes: &u.stats.WorkingSet},
		})
	}
	writeJSON(w, summary)
}

// serveResourceMetrics answers in the text format of Prometheus.
func (k *Kubelet) serveResourceMetrics(w http.ResponseWriter, r *http.Request) {
	all, err := k.allUsage(r.Context())
	if err != nil {
		failRequest(w, err)
		return
	}
	w.Header().Set("Content-Type", "text/plain; version=0.0.4")
	fmt.Fprint(w, "# TYPE container_cpu_usage_seconds_total counter\n")
	for _, u := range all {
		fmt.Fprintf(w, "container_cpu_usage_seconds_total{%s} %f %d\n", metricLabels(u.container), float64(u.stats.CPUNanoseconds)/1e9, u.stats.Time.UnixMilli())
	}
	fmt.Fprint(w, "# TYPE container_start_time_seconds gauge\n")
	for _, u := range all {
		fmt.Fprintf(w, "container_start_time_seconds{%s} %f\n", metricLabels(u.container), float64(u.container.StartedAt.UnixNano())/1e9)
	}
	fmt.Fprint(w, "# TYPE container_memory_working_set_bytes gauge\n")
	for _, u := range all {
		fmt.Fprintf(w, "container_memory_working_set_bytes{%s} %d %d\n", metricLabels(u.container), u.stats.WorkingSet, u.stats.Time.UnixMilli())
	}
}

func metricLabels(c Container) string {
	return fmt.Sprintf("container=%q,namespace=%q,pod=%q", c.Name, c.Pod.Namespace, c.Pod.Name)
}
