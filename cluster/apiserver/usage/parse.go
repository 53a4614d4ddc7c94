package usage

import (
	"fmt"
	"io"
	"math"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// Counters are what one container, or the machine, has used since its start.
type Counters struct {
	Start, At time.Time // Start is zero if it is not known
	CPU       float64   // seconds of processor time
	Memory    uint64    // bytes that cannot be taken back at once
	hasCPU    bool
	hasMemory bool
}

// Container names one.
type Container struct{ Namespace, Pod, Name string }

// Answer is what a kubelet reports.
type Answer struct {
	Containers map[Container]*Counters
	Machine    Counters // without the time if the kubelet does not report it
}

// Parse reads what a kubelet answers at /metrics/resource: text in the format of
// Prometheus, with times in milliseconds. (Its /stats/summary has whole seconds, too
// coarse for a rate over a few of them.)
func Parse(r io.Reader) (*Answer, error) {
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(r)
	if err != nil {
		return nil, fmt.Errorf("reading the kubelet's metrics: %w", err)
	}
	a := &Answer{Containers: map[Container]*Counters{}}
	for name, set := range map[string]func(*Counters, float64, time.Time){
		"container_cpu_usage_seconds_total":  setCPU,
		"container_memory_working_set_bytes": setMemory,
		"container_start_time_seconds":       setStart,
	} {
		for _, m := range families[name].GetMetric() {
			set(a.container(m), valueOf(m), time.UnixMilli(m.GetTimestampMs()))
		}
	}
	for name, set := range map[string]func(*Counters, float64, time.Time){
		"node_cpu_usage_seconds_total": setCPU, "node_memory_working_set_bytes": setMemory,
	} {
		for _, m := range families[name].GetMetric() {
			set(&a.Machine, valueOf(m), time.UnixMilli(m.GetTimestampMs()))
		}
	}
	return a, nil
}

func (a *Answer) container(m *dto.Metric) *Counters {
	var c Container
	for _, l := range m.GetLabel() {
		switch l.GetName() {
		case "namespace":
			c.Namespace = l.GetValue()
		case "pod":
			c.Pod = l.GetValue()
		case "container":
			c.Name = l.GetValue()
		}
	}
	if a.Containers[c] == nil {
		a.Containers[c] = &Counters{}
	}
	return a.Containers[c]
}

func valueOf(m *dto.Metric) float64 {
	switch {
	case m.Counter != nil:
		return m.Counter.GetValue()
	case m.Gauge != nil:
		return m.Gauge.GetValue()
	}
	return m.Untyped.GetValue()
}

func setCPU(c *Counters, v float64, at time.Time) { c.CPU, c.At, c.hasCPU = v, at, true }

func setMemory(c *Counters, v float64, _ time.Time) { c.Memory, c.hasMemory = uint64(max(v, 0)), true }

// setStart rounds to what the other times have: a float of seconds is less precise.
func setStart(c *Counters, v float64, _ time.Time) {
	c.Start = time.UnixMilli(int64(math.Round(v * 1000)))
}
