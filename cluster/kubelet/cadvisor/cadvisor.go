// Package cadvisor turns what containers use into the metrics of /metrics/cadvisor, under the
// names and labels of cAdvisor, which dashboards ask for.
//
// It reads the counters of a network namespace and the names of devices from the kernel, and
// nothing else: what the groups use it is given. A container that is gone has no metrics.
package cadvisor

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"wheelhouse/cluster/kubelet/cgroup"
)

// Container is a running container, the group of a pod (without Name and Container), or the node
// (with the ID / alone).
type Container struct {
	ID                        string // the path of its group
	Image, Name               string // Name is its id in the runtime
	Namespace, Pod, Container string
	Started                   time.Time
	Usage                     cgroup.Usage
	Detail                    cgroup.Detail
	CPULimit, MemoryLimit     int64 // millicores and bytes, 0 for none
	// Network are the interfaces of the pod, with the group of the pod only.
	Network []Interface
}

// Interface has the counters of a network interface.
type Interface struct {
	Name                         string
	Received, Transmitted        uint64 // bytes
	ReceivedPackets, SentPackets uint64
	ReceivedErrors, SentErrors   uint64
	ReceivedDropped, SentDropped uint64
}

// Source returns the containers as they are now.
type Source func() []Container

// labels are those of all metrics of containers.
var labels = []string{"id", "image", "name", "namespace", "pod", "container"}

// metric is one name, and its value for a container.
type metric struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(c *Container) float64
}

func of(name, help string, kind prometheus.ValueType, value func(c *Container) float64) metric {
	return metric{prometheus.NewDesc(name, help, labels, nil), kind, value}
}

const (
	counter = prometheus.CounterValue
	gauge   = prometheus.GaugeValue
)

var metrics = []metric{
	of("container_cpu_usage_seconds_total", "Cumulative cpu time consumed in seconds.", counter, func(c *Container) float64 { return float64(c.Usage.CPUNanoseconds) / 1e9 }),
	of("container_cpu_cfs_periods_total", "Number of elapsed enforcement period intervals.", counter, func(c *Container) float64 { return float64(c.Detail.Periods) }),
	of("container_cpu_cfs_throttled_periods_total", "Number of throttled period intervals.", counter, func(c *Container) float64 { return float64(c.Detail.ThrottledPeriods) }),
	of("container_cpu_cfs_throttled_seconds_total", "Total time duration the container has been throttled.", counter, func(c *Container) float64 { return c.Detail.Throttled.Seconds() }),
	of("container_memory_usage_bytes", "Current memory usage in bytes, including all memory regardless of when it was accessed.", gauge, func(c *Container) float64 { return float64(c.Usage.Memory) }),
	of("container_memory_working_set_bytes", "Current working set in bytes.", gauge, func(c *Container) float64 { return float64(c.Usage.WorkingSet) }),
	of("container_memory_rss", "Size of RSS in bytes.", gauge, func(c *Container) float64 { return float64(c.Usage.RSS) }),
	of("container_memory_cache", "Number of bytes of page cache memory.", gauge, func(c *Container) float64 { return float64(c.Detail.Cache) }),
	of("container_memory_swap", "Container swap usage in bytes.", gauge, func(c *Container) float64 { return float64(c.Detail.Swap) }),
	of("container_processes", "Number of processes running inside the container.", gauge, func(c *Container) float64 { return float64(c.Usage.Processes) }),
	of("container_oom_events_total", "Count of out of memory events observed for the container.", counter, func(c *Container) float64 { return float64(c.Detail.OOMKills) }),
	of("container_start_time_seconds", "Start time of the container since unix epoch in seconds.", gauge, func(c *Container) float64 { return float64(max(0, c.Started.UnixMilli())) / 1000 }),
	of("container_last_seen", "Last time a container was seen by the exporter.", gauge, func(c *Container) float64 { return float64(c.Usage.Time.Unix()) }),
	of("container_spec_memory_limit_bytes", "Memory limit for the container.", gauge, func(c *Container) float64 { return float64(c.MemoryLimit) }),
}

// spec has no value without a limit.
var (
	quota  = prometheus.NewDesc("container_spec_cpu_quota", "CPU quota of the container.", labels, nil)
	period = prometheus.NewDesc("container_spec_cpu_period", "CPU period of the container.", labels, nil)
	cores  = prometheus.NewDesc("machine_cpu_cores", "Number of logical CPU cores.", nil, nil)
	memory = prometheus.NewDesc("machine_memory_bytes", "Amount of memory installed on the machine.", nil, nil)
	failed = prometheus.NewDesc("container_scrape_error", "1 if there was an error while getting container metrics, 0 otherwise", nil, nil)
)

// device is a metric of each device.
type device struct {
	desc  *prometheus.Desc
	value func(d *cgroup.IO) uint64
}

func ofDevice(name, help string, value func(d *cgroup.IO) uint64) device {
	return device{prometheus.NewDesc(name, help, append(labels, "device"), nil), value}
}

var devices = []device{
	ofDevice("container_fs_reads_bytes_total", "Cumulative count of bytes read", func(d *cgroup.IO) uint64 { return d.ReadBytes }),
	ofDevice("container_fs_reads_total", "Cumulative count of reads completed", func(d *cgroup.IO) uint64 { return d.Reads }),
	ofDevice("container_fs_writes_bytes_total", "Cumulative count of bytes written", func(d *cgroup.IO) uint64 { return d.WrittenBytes }),
	ofDevice("container_fs_writes_total", "Cumulative count of writes completed", func(d *cgroup.IO) uint64 { return d.Writes }),
}

// network is a metric of each interface.
type network struct {
	desc  *prometheus.Desc
	value func(i *Interface) uint64
}

func ofNetwork(name, help string, value func(i *Interface) uint64) network {
	return network{prometheus.NewDesc(name, help, append(labels, "interface"), nil), value}
}

var networks = []network{
	ofNetwork("container_network_receive_bytes_total", "Cumulative count of bytes received", func(i *Interface) uint64 { return i.Received }),
	ofNetwork("container_network_receive_errors_total", "Cumulative count of errors encountered while receiving", func(i *Interface) uint64 { return i.ReceivedErrors }),
	ofNetwork("container_network_receive_packets_dropped_total", "Cumulative count of packets dropped while receiving", func(i *Interface) uint64 { return i.ReceivedDropped }),
	ofNetwork("container_network_receive_packets_total", "Cumulative count of packets received", func(i *Interface) uint64 { return i.ReceivedPackets }),
	ofNetwork("container_network_transmit_bytes_total", "Cumulative count of bytes transmitted", func(i *Interface) uint64 { return i.Transmitted }),
	ofNetwork("container_network_transmit_errors_total", "Cumulative count of errors encountered while transmitting", func(i *Interface) uint64 { return i.SentErrors }),
	ofNetwork("container_network_transmit_packets_dropped_total", "Cumulative count of packets dropped while transmitting", func(i *Interface) uint64 { return i.SentDropped }),
	ofNetwork("container_network_transmit_packets_total", "Cumulative count of packets transmitted", func(i *Interface) uint64 { return i.SentPackets }),
}

// Collector collects from a source at each scrape.
type Collector struct {
	Source Source
	Cores  int
	Memory int64 // bytes of the node
}

// Describe implements prometheus.Collector: which metrics there are depends on what runs.
func (Collector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c Collector) Collect(out chan<- prometheus.Metric) {
	send := func(desc *prometheus.Desc, kind prometheus.ValueType, v float64, values ...string) {
		out <- prometheus.MustNewConstMetric(desc, kind, v, values...)
	}
	send(cores, gauge, float64(c.Cores))
	send(memory, gauge, float64(c.Memory))
	send(failed, gauge, 0)
	all := c.Source()
	for i := range all {
		each := &all[i]
		values := []string{each.ID, each.Image, each.Name, each.Namespace, each.Pod, each.Container}
		for _, m := range metrics {
			send(m.desc, m.kind, m.value(each), values...)
		}
		if each.CPULimit > 0 {
			send(period, gauge, 100_000, values...)
			send(quota, gauge, float64(each.CPULimit*100), values...)
		}
		for _, d := range devices {
			for _, io := range each.Detail.IO {
				send(d.desc, counter, float64(d.value(&io)), append(values, deviceName(io.Device))...)
			}
			if len(each.Detail.IO) == 0 { // nothing was read or written
				send(d.desc, counter, 0, append(values, "")...)
			}
		}
		for _, n := range networks {
			for j := range each.Network {
				send(n.desc, counter, float64(n.value(&each.Network[j])), append(values, each.Network[j].Name)...)
			}
		}
	}
}

// deviceName is the file of a device with a number such as 8:0.
func deviceName(number string) string {
	to, err := os.Readlink("/sys/dev/block/" + number)
	if err != nil {
		return number
	}
	return "/dev/" + filepath.Base(to)
}

// Interfaces returns the counters of the network namespace of a process, without loopback.
func Interfaces(pid int) ([]Interface, error) {
	file, err := os.Open(fmt.Sprintf("/proc/%d/net/dev", pid))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var out []Interface
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if i, ok := parseInterface(lines.Text()); ok && i.Name != "lo" {
			out = append(out, i)
		}
	}
	return out, lines.Err()
}

// parseInterface reads a line of /proc/net/dev.
func parseInterface(line string) (Interface, bool) {
	name, rest, ok := strings.Cut(line, ":")
	fields := strings.Fields(rest)
	if !ok || len(fields) < 12 {
		return Interface{}, false
	}
	n := make([]uint64, len(fields))
	for i, f := range fields {
		v, err := strconv.ParseUint(f, 10, 64)
		if err != nil {
			return Interface{}, false
		}
		n[i] = v
	}
	return Interface{
		Name: strings.TrimSpace(name), Received: n[0], ReceivedPackets: n[1], ReceivedErrors: n[2], ReceivedDropped: n[3],
		Transmitted: n[8], SentPackets: n[9], SentErrors: n[10], SentDropped: n[11],
	}, true
}
