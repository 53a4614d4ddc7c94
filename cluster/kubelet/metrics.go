package kubelet

import (
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/component-base/metrics/legacyregistry"

	"wheelhouse/cluster/api/podfacts"
	"wheelhouse/cluster/kubelet/cadvisor"
	"wheelhouse/cluster/kubelet/cgroup"
	"wheelhouse/cluster/kubelet/cri"
	"wheelhouse/cluster/kubelet/eviction"
	"wheelhouse/cluster/kubelet/nodefs"
	"wheelhouse/cluster/kubelet/podspec"
	"wheelhouse/cluster/kubelet/probe"
	"wheelhouse/cluster/kubelet/volume"
)

// metrics are the kubelet's own and those of its process, under upstream's names.
func (s served) metrics() prometheus.Gatherer {
	k := s.k
	name := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "kubelet_node_name", Help: "The node's name. The count is always 1.",
		ConstLabels: prometheus.Labels{"node": k.config.NodeName},
	})
	name.Set(1)
	pods := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "kubelet_running_pods", Help: "Number of pods that the node takes care of.",
	}, func() float64 {
		k.mu.Lock()
		defer k.mu.Unlock()
		return float64(len(k.workers))
	})
	registry := prometheus.NewRegistry()
	registry.MustRegister(name, pods, k.terminations, containerStates{s}, volumeStats{s}, volumeTotals{s})
	for _, each := range [][]prometheus.Collector{k.config.Metrics, collectors, cgroup.Collectors(), eviction.Collectors(), volume.Collectors()} {
		registry.MustRegister(each...)
	}
	return prometheus.Gatherers{registry, legacyregistry.DefaultGatherer}
}

// cadvisor are the metrics of what runs.
func (s served) cadvisor() prometheus.Gatherer {
	registry := prometheus.NewRegistry()
	registry.MustRegister(cadvisor.Collector{Source: s.running, Cores: runtime.NumCPU(), Memory: s.k.capacity.Memory().Value()})
	return registry
}

// probes are the metrics of the probes.
func (s served) probes() prometheus.Gatherer {
	registry := prometheus.NewRegistry()
	registry.MustRegister(probe.Collectors()...)
	return registry
}

// running lists the node, the pods and the containers that run.
func (s served) running() []cadvisor.Container {
	k := s.k
	out := []cadvisor.Container{{ID: "/", Started: k.started, Usage: k.nodeUsage()}}
	for _, w := range s.workers() {
		list, group := w.published.get()
		pod := w.latest()
		if u, err := k.groups.Usage(group); group != "" && err == nil && len(list) > 0 {
			all := cadvisor.Container{ID: group, Namespace: w.ref.Namespace, Pod: w.ref.Name, Usage: u, Detail: k.groups.Detail(group), Started: pod.CreationTimestamp.Time}
			if !pod.Spec.HostNetwork {
				all.Network, _ = cadvisor.Interfaces(list[0].Pid) // none if it has terminated meanwhile
			}
			out = append(out, all)
		}
		for i := range list {
			c := &list[i]
			u, err := k.groups.Usage(c.group)
			if err != nil { // it has terminated meanwhile
				continue
			}
			each := cadvisor.Container{
				ID: c.group, Image: c.Image, Name: c.ID, Namespace: w.ref.Namespace, Pod: w.ref.Name, Container: c.Name,
				Started: c.StartedAt, Usage: u, Detail: k.groups.Detail(c.group),
			}
			if spec := podspec.Container(pod, c.Name); spec != nil {
				each.CPULimit, each.MemoryLimit = spec.Resources.Limits.Cpu().MilliValue(), spec.Resources.Limits.Memory().Value()
			}
			out = append(out, each)
		}
	}
	return out
}

// containerStates counts containers by state.
type containerStates struct{ s served }

var stateDesc = prometheus.NewDesc("kubelet_running_containers", "Number of containers, by state.", []string{"container_state"}, nil)

// Describe implements prometheus.Collector.
func (containerStates) Describe(out chan<- *prometheus.Desc) { out <- stateDesc }

// Collect implements prometheus.Collector.
func (c containerStates) Collect(out chan<- prometheus.Metric) {
	count := map[cri.State]int{}
	for _, w := range c.s.workers() {
		for _, state := range w.published.states() {
			count[state]++
		}
	}
	for state, name := range map[cri.State]string{cri.Created: "created", cri.Running: "running", cri.Exited: "exited"} {
		out <- prometheus.MustNewConstMetric(stateDesc, prometheus.GaugeValue, float64(count[state]), name)
	}
}

// volumeTotals counts volumes, those that pods ask for and those that are set up.
type volumeTotals struct{ s served }

var totalsDesc = prometheus.NewDesc("volume_manager_total_volumes", "Number of volumes in Volume Manager", []string{"plugin_name", "state"}, nil)

// Describe implements prometheus.Collector.
func (volumeTotals) Describe(out chan<- *prometheus.Desc) { out <- totalsDesc }

// Collect implements prometheus.Collector.
func (v volumeTotals) Collect(out chan<- prometheus.Metric) {
	desired, actual := map[string]int{}, map[string]int{}
	for _, w := range v.s.workers() {
		pod := w.latest()
		for i := range pod.Spec.Volumes {
			if plugin := volume.PluginName(&pod.Spec.Volumes[i]); !podfacts.Terminal(pod) {
				desired[plugin]++
			}
		}
		for plugin, n := range w.published.plugins() {
			actual[plugin] += n
		}
	}
	for state, counts := range map[string]map[string]int{"desired_state_of_world": desired, "actual_state_of_world": actual} {
		for plugin, n := range counts {
			out <- prometheus.MustNewConstMetric(totalsDesc, prometheus.GaugeValue, float64(n), plugin, state)
		}
	}
}

// volumeStats are what the volumes of claims have.
type volumeStats struct{ s served }

var volumeLabels = []string{"namespace", "persistentvolumeclaim"}

func volumeDesc(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("kubelet_volume_stats_"+name, help, volumeLabels, nil)
}

var (
	volumeAvailable  = volumeDesc("available_bytes", "Number of available bytes in the volume")
	volumeCapacity   = volumeDesc("capacity_bytes", "Capacity in bytes of the volume")
	volumeUsed       = volumeDesc("used_bytes", "Number of used bytes in the volume")
	volumeInodes     = volumeDesc("inodes", "Maximum number of inodes in the volume")
	volumeInodesFree = volumeDesc("inodes_free", "Number of free inodes in the volume")
	volumeInodesUsed = volumeDesc("inodes_used", "Number of used inodes in the volume")
)

// Describe implements prometheus.Collector.
func (volumeStats) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{volumeAvailable, volumeCapacity, volumeUsed, volumeInodes, volumeInodesFree, volumeInodesUsed} {
		out <- d
	}
}

// Collect implements prometheus.Collector. Several pods may share a claim.
func (v volumeStats) Collect(out chan<- prometheus.Metric) {
	seen := map[string]bool{}
	for _, w := range v.s.workers() {
		for claim, path := range w.published.claimPaths() {
			fs, err := nodefs.StatFS(path)
			if err != nil || seen[w.ref.Namespace+"/"+claim] { // or it was unmounted meanwhile
				continue
			}
			seen[w.ref.Namespace+"/"+claim] = true
			for desc, n := range map[*prometheus.Desc]int64{
				volumeAvailable: fs.Available, volumeCapacity: fs.Capacity, volumeUsed: fs.Capacity - fs.Available,
				volumeInodes: fs.Inodes, volumeInodesFree: fs.InodesFree, volumeInodesUsed: fs.Inodes - fs.InodesFree,
			} {
				out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(n), w.ref.Namespace, claim)
			}
		}
	}
}
