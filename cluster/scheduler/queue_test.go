package scheduler

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	v1 "k8s.io/api/core/v1"
)

type clock struct{ t time.Time }

func (c *clock) now() time.Time { return c.t }

func priority(n int32) func(*v1.Pod) { return func(p *v1.Pod) { p.Spec.Priority = &n } }

func TestQueueOrder(t *testing.T) {
	c := &clock{time.Unix(1000, 0)}
	q := newQueue(c.now)
	for i, p := range []*v1.Pod{makePod("first"), makePod("second"), makePod("high", priority(10))} {
		c.t = c.t.Add(time.Duration(i) * time.Second)
		q.set(p, false)
	}
	for _, want := range []string{"high", "first", "second"} {
		if got := q.pop(context.Background()).pod.Name; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestQueueMoves(t *testing.T) {
	tests := []struct {
		name   string
		why    cause
		during cause // a change while the pod was tried
		after  cause // a change afterwards
		wait   time.Duration
		want   queueState
	}{
		{name: "parked until something changes", why: causeResource, wait: time.Minute, want: waitingForEvent},
		{name: "flushed in the end", why: causeResource, wait: flushAfter + time.Second, want: active},
		{name: "an unrelated change", why: causeResource, after: causeVolume, wait: time.Minute, want: waitingForEvent},
		{name: "a change that may help, backoff first", why: causeResource, after: causeResource, want: backingOff},
		{name: "a change that may help, after the backoff", why: causeResource, after: causeResource, wait: 2 * time.Second, want: active},
		{name: "a change while it was tried", why: causeResource, during: causeResource, want: backingOff},
		{name: "an error backs off", why: 0, want: backingOff},
		{name: "an error comes back", why: 0, wait: 2 * time.Second, want: active},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := &clock{time.Unix(1000, 0)}
			q := newQueue(c.now)
			p := makePod("p")
			q.set(p, false)
			q.pop(context.Background())
			if tt.during != 0 {
				q.changed(tt.during)
			}
			q.failed(p.UID, tt.why)
			if tt.after != 0 {
				q.changed(tt.after)
			}
			c.t = c.t.Add(tt.wait)
			q.flush()
			if got := q.all[p.UID].in; got != tt.want {
				t.Errorf("got place %d, want %d", got, tt.want)
			}
		})
	}
}

// TestQueueWakesUp: pop sleeps while no pod waits, and not past the backoff of one that fails meanwhile.
func TestQueueWakesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(time.Now)
		p := makePod("p")
		q.set(p, false)
		q.pop(t.Context())
		popped := make(chan *podInfo)
		go func() { popped <- q.pop(t.Context()) }()
		synctest.Wait() // it has seen that no pod waits
		failed := time.Now()
		q.failed(p.UID, 0)
		if got := <-popped; got == nil || got.pod.Name != "p" {
			t.Fatalf("got %v", got)
		}
		if d := time.Since(failed); d < minBackoff || d > minBackoff+tick {
			t.Errorf("the pod came back after %v, want %v", d, minBackoff)
		}
	})
}

func TestQueueForgets(t *testing.T) {
	q := newQueue(time.Now)
	p := makePod("p")
	q.set(p, false)
	q.pop(context.Background())
	q.forget(p.UID)
	q.failed(p.UID, causeNode)
	if len(q.all)+len(q.moved)+q.active.Len()+q.backoff.Len() != 0 {
		t.Errorf("something is left: %+v", q)
	}
	ctx, stop := context.WithCancel(context.Background())
	stop()
	if q.pop(ctx) != nil {
		t.Error("pop returned a pod that was removed")
	}
}
