package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/cluster/apiserver/authz"
)

const (
	// queueEvents and queueBytes bound what waits to be written.
	queueEvents = 10000
	queueBytes  = 64 << 20
	// batchBytes is how much is written at once, whole lines.
	batchBytes = 512 << 10
)

// Log writes events to an output, from a queue.
type Log struct {
	policy  *Policy
	out     io.Writer
	log     *slog.Logger
	queue   chan []byte
	waiting atomic.Int64 // bytes in the queue

	events prometheus.Counter
	failed *prometheus.CounterVec
	levels *prometheus.CounterVec
}

// NewLog returns a log, which Run writes.
func NewLog(p *Policy, out io.Writer, log *slog.Logger) *Log {
	return &Log{
		policy: p, out: out, log: log, queue: make(chan []byte, queueEvents),
		events: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "apiserver_audit_event_total", Help: "Audit events made.",
		}),
		failed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "apiserver_audit_error_total", Help: "Audit events that were not written: the queue was full, or writing failed.",
		}, []string{"plugin"}),
		levels: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "apiserver_audit_level_total", Help: "Requests by the level that the policy gives them.",
		}, []string{"level"}),
	}
}

// Collectors returns the metrics.
func (l *Log) Collectors() []prometheus.Collector {
	return []prometheus.Collector{l.events, l.failed, l.levels}
}

// Decide returns the decision of the policy. A request that was not authenticated has no user.
func (l *Log) Decide(at *authz.Attributes) Decision {
	d := l.policy.decide(at)
	l.levels.WithLabelValues(string(d.Level)).Inc()
	return d
}

// Put queues the encoded event; it does not keep e.
func (l *Log) Put(e *Event) {
	e.Kind, e.APIVersion = "Event", apiVersion
	if e.Stage == StageRequestReceived {
		e.StageTimestamp = e.RequestReceivedTimestamp
	} else {
		e.StageTimestamp = metav1.NewMicroTime(time.Now())
	}
	l.events.Inc()
	line, err := json.Marshal(e) // one line, whatever its strings hold
	if err != nil {
		l.drop(1)
		l.log.Error("encoding an audit event", "err", err)
		return
	}
	line = append(line, '\n')
	if l.waiting.Add(int64(len(line))) <= queueBytes {
		select {
		case l.queue <- line:
			return
		default:
		}
	}
	l.waiting.Add(-int64(len(line)))
	l.drop(1)
}

func (l *Log) drop(n int) { l.failed.WithLabelValues("log").Add(float64(n)) }

// Run writes the queue until ctx ends, and then the rest of it.
func (l *Log) Run(ctx context.Context) {
	var batch bytes.Buffer
	for {
		select {
		case line := <-l.queue:
			l.write(&batch, line)
			continue
		default:
		}
		select {
		case line := <-l.queue:
			l.write(&batch, line)
		case <-ctx.Done():
			for {
				select {
				case line := <-l.queue:
					l.write(&batch, line)
				default:
					return
				}
			}
		}
	}
}

// write writes a line and those that wait behind it, as many as fit into a batch.
func (l *Log) write(batch *bytes.Buffer, line []byte) {
	batch.Reset()
	n := 0
	for {
		batch.Write(line)
		l.waiting.Add(-int64(len(line)))
		n++
		if batch.Len() >= batchBytes {
			break
		}
		select {
		case line = <-l.queue:
			continue
		default:
		}
		break
	}
	if _, err := l.out.Write(batch.Bytes()); err != nil {
		l.drop(n)
		l.log.Error("writing the audit log", "events", n, "err", err)
	}
	if batch.Cap() > 2*batchBytes {
		*batch = bytes.Buffer{}
	}
}
