package flowcontrol

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

const wait = 15 * time.Second

func testLevel(seats, flowSeats, queue int) *Level {
	return NewLevel(LevelConfig{Name: "test", Seats: seats, FlowSeats: flowSeats, QueueLength: queue, QueueWait: wait, Limits: limits(100, 10, 10, 1000)})
}

// run sends requests one after the other, named "FLOW" or "FLOW:SEATS", into a level, and
// notes in which order they get their seats. Each keeps its seats until end is called.
type run struct {
	t       *testing.T
	level   *Level
	mu      sync.Mutex
	order   []string
	tickets map[string]*Ticket
	errs    map[string]error
}

func newRun(t *testing.T, l *Level) *run {
	t.Helper()
	return &run{t: t, level: l, tickets: map[string]*Ticket{}, errs: map[string]error{}}
}

func (r *run) begin(ctx context.Context, request string) {
	name, width, _ := strings.Cut(request, ":")
	seats := 1
	_, _ = fmt.Sscan(width, &seats)
	flow := strings.TrimRight(name, "0123456789")
	ticket := &Ticket{}
	if err := r.level.AcquireSlot(ticket, flow, Requests); err != nil {
		r.t.Fatalf("%s may not even enter: %v", request, err)
	}
	r.tickets[name] = ticket
	go func() {
		err := ticket.Acquire(ctx, seats)
		r.mu.Lock()
		defer r.mu.Unlock()
		if err != nil {
			r.errs[name] = err
			return
		}
		r.order = append(r.order, name)
	}()
	synctest.Wait()
}

func (r *run) end(names ...string) {
	for _, name := range names {
		r.tickets[name].ReleaseSlot()
		synctest.Wait()
	}
}

func (r *run) served(want string) {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if got := strings.Join(r.order, " "); got != want {
		r.t.Errorf("served: %q, want %q", got, want)
	}
}

func (r *run) rejected(name string, why Reason) {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	var rejected *Rejected
	if !errors.As(r.errs[name], &rejected) || rejected.Reason != why {
		r.t.Errorf("%s: %v, want %v", name, r.errs[name], why)
	}
}

func TestOrder(t *testing.T) {
	for _, c := range []struct {
		name             string
		seats, flowSeats int
		begin, end, want string
	}{
		{"free seats", 3, 3, "a1 a2 b1", "", "a1 a2 b1"},
		{"a flow has no more than its part", 4, 2, "a1 a2 a3 b1", "", "a1 a2 b1"},
		{"and goes on when one of its own ends", 4, 2, "a1 a2 a3 b1", "a1", "a1 a2 b1 a3"},
		{"who has fewest is next", 2, 2, "a1 a2 a3 a4 b1", "a1", "a1 a2 b1"},
		{"flows take turns", 1, 1, "a1 a2 a3 b1 b2 c1", "a1 b1 c1 a2 b2", "a1 b1 c1 a2 b2 a3"},
		{"a large request takes several", 3, 3, "a1:2 b1 c1", "", "a1 b1"},
		{"it is not overtaken indefinitely", 3, 3, "a1 b1 c1:3 d1", "a1 b1", "a1 b1 c1"},
		{"nor does it keep others out after", 3, 3, "a1 b1 c1:3 d1", "a1 b1 c1", "a1 b1 c1 d1"},
		{"more seats than a flow may have are as many as it may", 4, 2, "a1:9 b1 b2", "", "a1 b1 b2"},
		{"one that waits for its own flow holds up nobody", 4, 2, "a1:2 a2:2 b1:2", "", "a1 b1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRun(t, testLevel(c.seats, c.flowSeats, 10))
				for _, request := range strings.Fields(c.begin) {
					r.begin(t.Context(), request)
				}
				r.end(strings.Fields(c.end)...)
				r.served(c.want)
			})
		})
	}
}

func TestQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRun(t, testLevel(1, 1, 2))
		for _, name := range []string{"a1", "a2", "a3", "a4", "b1"} {
			r.begin(t.Context(), name)
		}
		r.rejected("a4", QueueFull) // though b may still wait
		r.served("a1")
		time.Sleep(wait)
		synctest.Wait()
		for _, name := range []string{"a2", "a3", "b1"} {
			r.rejected(name, TimedOut)
		}
		if s := r.level.Stats(); s.Queued != 0 || s.Executing != 1 || s.Rejected[TimedOut] != 3 || s.Rejected[QueueFull] != 1 {
			t.Errorf("%+v", s)
		}
		r.begin(t.Context(), "c1")
		r.end("a1")
		r.served("a1 c1")
	})
}

func TestWithoutQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRun(t, testLevel(1, 1, 0))
		r.begin(t.Context(), "a1")
		r.begin(t.Context(), "b1")
		r.rejected("b1", ConcurrencyLimit)
	})
}

// TestClientLeaves: who is gone gives up its turn, and those behind it move up.
func TestClientLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRun(t, testLevel(2, 2, 10))
		r.begin(t.Context(), "a1")
		ctx, cancel := context.WithCancel(t.Context())
		r.begin(ctx, "b1:2")
		r.begin(t.Context(), "c1")
		r.served("a1")
		cancel()
		synctest.Wait()
		if err := r.errs["b1"]; !errors.Is(err, context.Canceled) {
			t.Errorf("b1: %v", err)
		}
		r.served("a1 c1")
		r.end("a1", "b1", "c1")
		if s := r.level.Stats(); s.Seats != 0 || s.Executing != 0 || s.Queued != 0 || s.Holds != [resources]int{} || len(r.level.flows) != 0 {
			t.Errorf("something is still held: %+v, flows %v", s, r.level.flows)
		}
	})
}

func TestLimits(t *testing.T) {
	l := testLevel(1, 1, 1)
	enter := func(flow string, n int) (entered []*Ticket) {
		for range n {
			if ticket := (&Ticket{}); l.AcquireSlot(ticket, flow, Watches) == nil {
				entered = append(entered, ticket)
			}
		}
		return entered
	}
	all := enter("a", 20)
	if len(all) != 10 {
		t.Errorf("a flow has %d of 10", len(all))
	}
	for i := range 7 {
		enter(fmt.Sprint("b", i), 10)
	}
	// Together they have all there is: who comes now still gets the least share.
	late := enter("c", 20)
	if len(late) != 1 {
		t.Fatalf("a late flow has %d", len(late))
	}
	first, second := all[0], late[0]
	if first.Take(Bytes, 1001) || !second.Take(Bytes, 1000) || second.Take(Bytes, 1) {
		t.Error("bytes are not bounded")
	}
	second.ReleaseSlot()
	second.ReleaseSlot()
	second.Release()
	if second.Take(Bytes, 1) {
		t.Error("a request that has ended takes more")
	}
	if l.Stats().Holds[Bytes] != 0 {
		t.Errorf("%+v", l.Stats())
	}
}

func TestWidth(t *testing.T) {
	processors := runtime.GOMAXPROCS(0)
	l := testLevel(20*processors, 10*processors, 1)
	var ticket Ticket
	if err := l.AcquireSlot(&ticket, "a", Requests); err != nil {
		t.Fatal(err)
	}
	for work, want := range map[int]int{0: 1, 99: 1, 100: 2, 500: 6, 900: 10, 5000: 10} {
		if got := ticket.Width(work, 1000); got != want {
			t.Errorf("%d of 1000: %d seats, want %d", work, got, want)
		}
	}
	if got := (&Ticket{}).Width(5000, 1000); got != 1 {
		t.Errorf("exempt: %d", got)
	}
}

func TestExempt(t *testing.T) {
	var exempt Ticket
	if err := exempt.Acquire(t.Context(), 100); err != nil || !exempt.Take(Bytes, 1<<40) {
		t.Error("an exempt request is bounded", err)
	}
	exempt.Release()
	exempt.ReleaseSlot()
}

// TestManyAtOnce: whatever the order of events, no more seats are occupied than there are,
// and all come back.
func TestManyAtOnce(t *testing.T) {
	l := NewLevel(LevelConfig{Name: "t", Seats: 5, FlowSeats: 3, QueueLength: 50, QueueWait: time.Millisecond, Limits: limits(1000, 1, 1, 1)})
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() {
			for n := range 200 {
				var ticket Ticket
				if err := l.AcquireSlot(&ticket, fmt.Sprint(i%7), Requests); err != nil {
					t.Error(err)
					return
				}
				ctx, cancel := context.WithCancel(t.Context())
				if (i+n)%3 == 0 {
					go cancel()
				}
				_ = ticket.Acquire(ctx, 1+n%4)
				if s := l.Stats(); s.Seats > 5 || s.Seats < 0 {
					t.Errorf("%d seats of 5 are occupied", s.Seats)
				}
				ticket.ReleaseSlot()
				cancel()
			}
		})
	}
	all.Wait()
	if s := l.Stats(); s.Seats != 0 || s.Executing != 0 || s.Queued != 0 || s.Holds != [resources]int{} || len(l.flows) != 0 {
		t.Errorf("something is still held: %+v", s)
	}
}

// BenchmarkRequest measures a request that need not wait.
func BenchmarkRequest(b *testing.B) {
	l := Levels(600, wait)[GlobalDefault]
	ctx := b.Context()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		var ticket Ticket
		for pb.Next() {
			if err := l.AcquireSlot(&ticket, "user", Requests); err != nil {
				b.Fatal(err)
			}
			if err := ticket.Acquire(ctx, 1); err != nil {
				b.Fatal(err)
			}
			ticket.Release()
			ticket.ReleaseSlot()
		}
	})
}
