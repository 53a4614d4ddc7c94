package apiserver

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"wheelhouse/cluster/apiserver/apistatus"
	"wheelhouse/cluster/apiserver/flowcontrol"
)

// flows are the priority levels, once for requests and once for watches and other streams,
// whose start takes a seat of their own.
type flows struct {
	requests, streams map[string]*flowcontrol.Level
}

// newFlows divides so many seats. Streams start quickly, so that they have half as many.
func newFlows(seats int, queueWait time.Duration) flows {
	return flows{flowcontrol.Levels(seats, queueWait), flowcontrol.Levels((seats+1)/2, queueWait)}
}

// enter counts a request for its user until the client has the answer. Administrators get
// in always: somebody must be able to put things right. So do the process's own
// components: they bound themselves, and a refusal would only make them sleep.
func (s *Server) enter(r *request) error {
	if r.inProcess {
		return nil
	}
	name, flow := flowcontrol.Classify(&flowcontrol.Request{
		User: r.user.Name, Groups: r.user.Groups, Remote: r.RemoteAddr, Path: r.Path,
		Verb: r.Verb, Group: r.Group, Resource: r.Plural, Namespace: r.Namespace,
	})
	level, what := s.flows.requests[name], flowcontrol.Requests
	switch {
	case name == flowcontrol.Exempt:
		return nil
	case !r.longRunning():
	case r.Verb == "watch":
		level, what = s.flows.streams[name], flowcontrol.Watches
	default:
		level, what = s.flows.streams[name], flowcontrol.Streams
	}
	if level.Enter(&r.ticket, flow, what) == nil {
		return nil
	}
	s.refuse(r, level, flow)
	return apistatus.TooManyRequests()
}

// refuse counts an answer to a request that is not let in. A client that does not take
// such answers gets none: each would cost as much memory as a request.
func (s *Server) refuse(r *request, level *flowcontrol.Level, flow string) {
	if level.Enter(&r.ticket, flow, flowcontrol.Refusals) != nil {
		panic(http.ErrAbortHandler)
	}
	r.delayRefusal()
}

// delayRefusal makes those wait for refusals who go on in spite of many.
func (r *request) delayRefusal() {
	others := r.ticket.Held(flowcontrol.Refusals) - 1
	if others <= 0 {
		return
	}
	timer := time.NewTimer(min(time.Duration(others)*refusalStep, refusalDelay))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.Context().Done():
	}
}

const (
	refusalStep  = 10 * time.Millisecond // for each refusal of the flow that is under way
	refusalDelay = time.Second           // at most, which is what Retry-After says
)

// acquire waits for the seats that executing the request takes.
func (r *request) acquire() error {
	err := r.ticket.Acquire(r.Context(), r.width())
	if err == nil || r.Context().Err() != nil {
		return err
	}
	if !r.ticket.Take(flowcontrol.Refusals, 1) {
		panic(http.ErrAbortHandler)
	}
	r.delayRefusal()
	return apistatus.TooManyRequests()
}

// What keeps a processor, or the disk, busy for long.
const (
	longList = 1000    // objects
	longBody = 1 << 20 // bytes
)

// width is how many seats a request takes: more the more objects a list may have, as
// upstream, and the larger a body is.
func (r *request) width() int {
	if r.ticket.Exempt() {
		return 1
	}
	if body, ok := r.Body.(*readAhead); ok {
		return r.ticket.Width(len(body.data), longBody)
	}
	if (r.Verb != "list" && r.Verb != "watch") || r.res == nil || r.res.collection == nil {
		return 1
	}
	objects := r.res.collection.Len()
	if objects > longList/10 && strings.Contains(r.URL.RawQuery, "limit=") {
		if limit, err := strconv.Atoi(r.URL.Query().Get("limit")); err == nil && limit > 0 {
			objects = min(objects, limit)
		}
	}
	return r.ticket.Width(objects, longList)
}

// finish gives back the seats when the request has been executed, and the rest when the
// client has the answer, which is when ctx, the connection's context for it, ends.
func (r *request) finish(ctx context.Context) {
	if r.w.pace != nil {
		r.w.pace.finish(r)
	}
	if !r.ticket.Exempt() {
		r.ticket.Release()
		context.AfterFunc(ctx, r.ticket.Leave)
	}
}

var (
	inQueue   = flowDesc("current_inqueue_requests", "Requests that wait for a seat.")
	executing = flowDesc("current_executing_requests", "Requests that have a seat.")
	occupied  = flowDesc("current_executing_seats", "Seats that are occupied.")
	nominal   = flowDesc("nominal_limit_seats", "Seats that there are.")
	served    = flowDesc("dispatched_requests_total", "Requests that have got a seat.")
	rejected  = flowDesc("rejected_requests_total", "Requests that were not let in.", "reason")
)

func flowDesc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("apiserver_flowcontrol_"+name, help, append([]string{"priority_level"}, labels...), nil)
}

// Describe implements prometheus.Collector.
func (f flows) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{inQueue, executing, occupied, nominal, served, rejected} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (f flows) Collect(to chan<- prometheus.Metric) {
	collect := func(levels map[string]*flowcontrol.Level, suffix string) {
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
				to <- prometheus.MustNewConstMetric(rejected, prometheus.CounterValue, float64(n), name, flowcontrol.Reason(why).String())
			}
		}
	}
	collect(f.requests, "")
	collect(f.streams, "-streams")
}

// readsBody reports whether the request's handler takes its body as a whole.
func (r *request) readsBody() bool {
	return r.serve != nil && r.Mutates() && !r.longRunning() && r.Body != nil && r.Body != http.NoBody
}

// closeUnauthenticated ends an HTTP/2 connection with the answer to a request without a
// valid credential, as upstream: a new one costs its client a handshake.
func (r *request) closeUnauthenticated() {
	if r.ProtoMajor == 2 && !strings.EqualFold(r.w.Header().Get("Connection"), "close") {
		r.w.Header().Set("Connection", "close")
	}
}
