package client

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/record"
	recordutil "k8s.io/client-go/tools/record/util"
	"k8s.io/client-go/tools/reference"
)

const (
	eventQueue   = 10_000 // more events are dropped: recording never blocks
	eventTries   = 12
	eventTimeout = 10 * time.Second
)

// EventRecorder sends events to the API server, one at a time and in order, so that a
// burst of events does not delay other writes. client-go's correlator aggregates similar
// events and counts repeated ones. It has a goroutine only while events are queued.
type EventRecorder struct {
	*sender
	source corev1.EventSource
}

// sender is shared by the recorders of one process.
type sender struct {
	events typedcorev1.EventInterface
	log    *slog.Logger
	retry  time.Duration

	mu         sync.Mutex
	queue      []*corev1.Event
	dropped    int
	sending    bool
	idle       chan struct{} // closed when the queue is empty
	correlator *record.EventCorrelator
}

var _ record.EventRecorder = (*EventRecorder)(nil)

// Recorder returns a recorder for a component ("scheduler").
func Recorder(c kubernetes.Interface, component string) *EventRecorder {
	return NodeRecorder(c, component, "")
}

// NodeRecorder returns a recorder for a component on a host ("kubelet", "minion-1").
func NodeRecorder(c kubernetes.Interface, component, host string) *EventRecorder {
	return &EventRecorder{
		source: corev1.EventSource{Component: component, Host: host},
		sender: &sender{
			events:     c.CoreV1().Events(""),
			log:        slog.With("component", component),
			retry:      500 * time.Millisecond,
			correlator: record.NewEventCorrelatorWithOptions(record.CorrelatorOptions{}),
		},
	}
}

// As returns a recorder for another component of the same process, with the queue of r.
func (r *EventRecorder) As(component string) record.EventRecorder {
	return &EventRecorder{source: corev1.EventSource{Component: component, Host: r.source.Host}, sender: r.sender}
}

// Event implements record.EventRecorder.
func (r *EventRecorder) Event(obj runtime.Object, eventType, reason, message string) {
	r.record(obj, nil, eventType, reason, message)
}

// Eventf implements record.EventRecorder.
func (r *EventRecorder) Eventf(obj runtime.Object, eventType, reason, format string, args ...any) {
	r.record(obj, nil, eventType, reason, fmt.Sprintf(format, args...))
}

// AnnotatedEventf implements record.EventRecorder.
func (r *EventRecorder) AnnotatedEventf(obj runtime.Object, annotations map[string]string, eventType, reason, format string, args ...any) {
	r.record(obj, annotations, eventType, reason, fmt.Sprintf(format, args...))
}

// Flush waits until all events recorded so far are sent, or ctx is done. A component calls
// it when it stops.
func (s *sender) Flush(ctx context.Context) error {
	s.mu.Lock()
	idle, sending := s.idle, s.sending
	s.mu.Unlock()
	if !sending {
		return nil
	}
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("flushing events: %w", ctx.Err())
	}
}

func (r *EventRecorder) record(obj runtime.Object, annotations map[string]string, eventType, reason, message string) {
	ref, err := reference.GetReference(scheme.Scheme, obj)
	if err != nil {
		r.log.Error("event about an unknown kind of object", "reason", reason, "err", err)
		return
	}
	now := metav1.Now()
	e := &corev1.Event{
		ObjectMeta: metav1.ObjectMeta{
			Name:        recordutil.GenerateEventName(ref.Name, now.UnixNano()),
			Namespace:   ref.Namespace,
			Annotations: annotations,
		},
		InvolvedObject: *ref,
		Reason:         reason, Message: message, Type: eventType,
		FirstTimestamp: now, LastTimestamp: now, Count: 1,
		Source:              r.source,
		ReportingController: r.source.Component, ReportingInstance: r.source.Host,
	}
	if e.Namespace == "" {
		e.Namespace = metav1.NamespaceDefault
	}
	r.enqueue(e)
}

func (s *sender) enqueue(e *corev1.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.queue) >= eventQueue {
		s.dropped++
		return
	}
	s.queue = append(s.queue, e)
	if !s.sending {
		s.sending, s.idle = true, make(chan struct{})
		go s.drain()
	}
}

// drain sends until the queue is empty.
func (s *sender) drain() {
	for {
		s.mu.Lock()
		if len(s.queue) == 0 {
			s.sending, s.queue = false, nil
			close(s.idle)
			s.mu.Unlock()
			return
		}
		e, dropped := s.queue[0], s.dropped
		s.queue, s.dropped = s.queue[1:], 0
		s.mu.Unlock()
		if dropped > 0 {
			s.log.Warn("events dropped, too many at once", "count", dropped)
		}
		if err := s.send(e); err != nil {
			s.log.Error("event lost", "reason", e.Reason, "object", e.InvolvedObject.Name, "err", err)
		}
	}
}

// send writes e, or increments the count of the event it repeats. It retries for some seconds
// if the server does not respond, and not if it refuses the event.
func (s *sender) send(e *corev1.Event) error {
	result, err := s.correlator.EventCorrelate(e)
	if err != nil {
		return fmt.Errorf("comparing with earlier events: %w", err)
	}
	if result.Skip {
		return nil
	}
	for try := 1; ; try++ {
		sent, err := s.put(result)
		if err == nil {
			s.correlator.UpdateState(sent)
			return nil
		}
		if apierrors.IsAlreadyExists(err) || apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
			return nil
		}
		if apierrors.ReasonForError(err) != metav1.StatusReasonUnknown || try == eventTries {
			return err
		}
		time.Sleep(s.retry)
	}
}

func (s *sender) put(result *record.EventCorrelateResult) (*corev1.Event, error) {
	ctx, cancel := context.WithTimeout(context.Background(), eventTimeout)
	defer cancel()
	if result.Event.Count > 1 {
		sent, err := s.events.PatchWithEventNamespaceWithContext(ctx, result.Event, result.Patch)
		if !apierrors.IsNotFound(err) {
			return sent, err
		}
	}
	result.Event.ResourceVersion = ""
	return s.events.CreateWithEventNamespaceWithContext(ctx, result.Event)
}
