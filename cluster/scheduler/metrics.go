package scheduler

import (
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"
)

// The results of an attempt, by upstream's names.
const (
	resultScheduled     = "scheduled"
	resultUnschedulable = "unschedulable"
	resultError         = "error"
)

// The metrics are those of the process, under upstream's names.
var (
	attemptsTotal = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "scheduler_schedule_attempts_total", Help: "Attempts to schedule pods, by result.",
	}, []string{"result", "profile"})
	attemptDuration = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "scheduler_scheduling_attempt_duration_seconds", Help: "Time of an attempt, with the binding.",
		Buckets: prometheus.ExponentialBuckets(.001, 2, 15),
	}, []string{"result", "profile"})
	algorithmDuration = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "scheduler_scheduling_algorithm_duration_seconds", Help: "Time to select a node for a pod.",
		Buckets: prometheus.ExponentialBuckets(.001, 2, 15),
	})
	sliDuration = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "scheduler_pod_scheduling_sli_duration_seconds", Help: "Time from a pod's entry into the queue until it is bound.",
		Buckets: prometheus.ExponentialBuckets(.01, 2, 20),
	}, []string{"attempts"})
	podAttempts = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "scheduler_pod_scheduling_attempts", Help: "Attempts until a pod was bound.", Buckets: prometheus.ExponentialBuckets(1, 2, 5),
	})
	preemptions = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "scheduler_preemption_attempts_total", Help: "Preemptions.",
	})
	victims = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "scheduler_preemption_victims", Help: "Pods that were deleted for another.", Buckets: prometheus.ExponentialBuckets(1, 2, 7),
	})

	// running is the queue of the process's scheduler while it runs.
	running atomic.Pointer[queue]
)

// Collectors returns the metrics of the process's scheduler.
func Collectors() []prometheus.Collector {
	return []prometheus.Collector{
		attemptsTotal, attemptDuration, algorithmDuration, sliDuration, podAttempts, preemptions, victims,
		pending("active", active, inFlight), pending("backoff", backingOff), pending("unschedulable", waitingForEvent),
	}
}

// pending is the number of pods in some states of the queue.
func pending(name string, states ...queueState) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "scheduler_pending_pods", Help: "Pods without a node, by queue.", ConstLabels: prometheus.Labels{"queue": name},
	}, func() float64 {
		q := running.Load()
		if q == nil {
			return 0
		}
		return float64(q.count(states))
	})
}

// attempted counts the end of an attempt; that of a pod which was not queued any more counts
// for nothing.
func (s *Scheduler) attempted(a attempt, result string) {
	if a.attempts == 0 {
		return
	}
	now := time.Now()
	attemptsTotal.WithLabelValues(result, s.Name).Inc()
	attemptDuration.WithLabelValues(result, s.Name).Observe(now.Sub(a.started).Seconds())
	if result == resultScheduled {
		// As upstream: from the 15th attempt on they have one label.
		label := strconv.Itoa(a.attempts)
		if a.attempts >= 15 {
			label = "15+"
		}
		sliDuration.WithLabelValues(label).Observe(now.Sub(a.since).Seconds())
		podAttempts.Observe(float64(a.attempts))
	}
}

// attempt is the present one of a pod in the queue.
type attempt struct {
	attempts       int
	since, started time.Time
}

// attempt returns the present one of a pod; without attempts if it is not queued.
func (q *queue) attempt(uid types.UID) attempt {
	q.mu.Lock()
	defer q.mu.Unlock()
	item := q.all[uid]
	if item == nil {
		return attempt{}
	}
	return attempt{item.attempts, item.since, item.started}
}

// count returns how many pods are in one of the states.
func (q *queue) count(states []queueState) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := 0
	for _, item := range q.all {
		for _, state := range states {
			if item.in == state {
				n++
			}
		}
	}
	return n
}
