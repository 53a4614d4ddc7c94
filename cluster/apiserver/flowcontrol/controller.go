package flowcontrol

import (
	"context"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Controller has the priority levels of a server, once for requests and once for watches and
// other streams, whose start occupies seats of its own. It is a prometheus.Collector.
type Controller struct {
	requests, streams map[string]*Level
}

// New divides so many seats. Streams start quickly, so that they have half as many.
func New(seats int, queueWait time.Duration) *Controller {
	return &Controller{Levels(seats, queueWait), Levels((seats+1)/2, queueWait)}
}

const (
	rejectionStep  = 10 * time.Millisecond // for each rejection of the flow that is under way
	rejectionDelay = time.Second           // at most, the Retry-After
)

// AcquireSlot gets an in-flight slot (Requests, Watches or Streams) for a request until its
// ticket leaves. It reports false when the flow has no more of them: the request is to be
// answered with 429. Administrators are exempt, so that a cluster can be repaired.
func (c *Controller) AcquireSlot(ctx context.Context, t *Ticket, r *Request, what Resource) bool {
	name, flow := Classify(r)
	if name == Exempt {
		return true
	}
	level := c.requests[name]
	if what != Requests {
		level = c.streams[name]
	}
	if level.AcquireSlot(t, flow, what) == nil {
		return true
	}
	reject(ctx, t, level, flow)
	return false
}

// RejectUnauthenticated counts the answer 401 for the client's address.
func (c *Controller) RejectUnauthenticated(ctx context.Context, t *Ticket, remote string) {
	reject(ctx, t, c.requests[CatchAll], SourceOf(remote))
}

// reject counts an answer to a request that is not executed. A client that does not take such
// answers gets none: each would cost as much memory as a request.
func reject(ctx context.Context, t *Ticket, level *Level, flow string) {
	if level.AcquireSlot(t, flow, Refusals) != nil {
		panic(http.ErrAbortHandler)
	}
	delayRejection(ctx, t)
}

// delayRejection delays the answer to clients that continue in spite of many rejections.
func delayRejection(ctx context.Context, t *Ticket) {
	others := t.Held(Refusals) - 1
	if others <= 0 {
		return
	}
	timer := time.NewTimer(min(time.Duration(others)*rejectionStep, rejectionDelay))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// AcquireSeats waits for the seats that executing a request occupies. It reports false when
// none became free in time: the request is to be answered with 429. An error is that of ctx.
func AcquireSeats(ctx context.Context, t *Ticket, seats int) (bool, error) {
	err := t.Acquire(ctx, seats)
	if err == nil || ctx.Err() != nil {
		return err == nil, err
	}
	if !t.Take(Refusals, 1) {
		panic(http.ErrAbortHandler)
	}
	delayRejection(ctx, t)
	return false, nil
}

var (
	inQueue   = newDesc("current_inqueue_requests", "Requests that wait for a seat.")
	executing = newDesc("current_executing_requests", "Requests that have a seat.")
	occupied  = newDesc("current_executing_seats", "Seats that are occupied.")
	nominal   = newDesc("nominal_limit_seats", "Seats that there are.")
	served    = newDesc("dispatched_requests_total", "Requests that have got a seat.")
	rejected  = newDesc("rejected_requests_total", "Requests that were rejected.", "reason")
)

func newDesc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("apiserver_flowcontrol_"+name, help, append([]string{"priority_level"}, labels...), nil)
}

// Describe implements prometheus.Collector.
func (c *Controller) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{inQueue, executing, occupied, nominal, served, rejected} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (c *Controller) Collect(to chan<- prometheus.Metric) {
	collect := func(levels map[string]*Level, suffix string) {
		for name, level := range levels {
			s := level.Stats()
			name += suffix
			gauge := func(d *prometheus.Desc, v int) {
				to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v), name)
			}
			gauge(inQueue, s.Queued)
			gauge(executing, s.Executing)
			gauge(occupied, s.Seats)
			gauge(nominal, level.Seats)
			to <- prometheus.MustNewConstMetric(served, prometheus.CounterValue, float64(s.Dispatched), name)
			for why, n := range s.Rejected {
				to <- prometheus.MustNewConstMetric(rejected, prometheus.CounterValue, float64(n), name, Reason(why).String())
			}
		}
	}
	collect(c.requests, "")
	collect(c.streams, "-streams")
}
