package loop

import (
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/client-go/util/workqueue"
)

// countingProvider counts how often the gauge of unfinished work is set.
type countingProvider struct {
	workqueue.MetricsProvider
	set int
}

type noMetric struct{ set *int }

func (noMetric) Inc()            {}
func (noMetric) Dec()            {}
func (noMetric) Observe(float64) {}
func (m noMetric) Set(float64) {
	if m.set != nil {
		*m.set++
	}
}

func (*countingProvider) NewDepthMetric(string) workqueue.GaugeMetric { return noMetric{} }

func (*countingProvider) NewAddsMetric(string) workqueue.CounterMetric { return noMetric{} }

func (*countingProvider) NewLatencyMetric(string) workqueue.HistogramMetric { return noMetric{} }

func (*countingProvider) NewWorkDurationMetric(string) workqueue.HistogramMetric { return noMetric{} }

func (p *countingProvider) NewUnfinishedWorkSecondsMetric(string) workqueue.SettableGaugeMetric {
	return noMetric{&p.set}
}

func (*countingProvider) NewLongestRunningProcessorSecondsMetric(string) workqueue.SettableGaugeMetric {
	return noMetric{}
}
func (*countingProvider) NewRetriesMetric(string) workqueue.CounterMetric { return noMetric{} }

// TestIdleQueue: a queue without work wakes up for its gauges once in gaugeEvery, and a delayed key
// still comes in time.
func TestIdleQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &countingProvider{}
		q := workqueue.NewTypedDelayingQueueWithConfig(workqueue.TypedDelayingQueueConfig[string]{Name: "q", MetricsProvider: p, Clock: gaugeClock{}})
		defer q.ShutDown()
		began := time.Now()
		q.AddAfter("key", time.Minute+time.Second)
		if key, _ := q.Get(); key != "key" || time.Since(began) != time.Minute+time.Second {
			t.Errorf("%q came after %v", key, time.Since(began))
		}
		if p.set != 4 {
			t.Errorf("the gauge was set %d times in a minute, want 4", p.set)
		}
	})
}
