package flowcontrol

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"time"
)

// Resource is what a flow holds apart from seats.
type Resource int

// What a flow holds.
const (
	Requests Resource = iota // in flight, until the client has the whole answer
	Watches
	Streams  // log, exec, attach, portforward, proxy
	Bytes    // of bodies and answers that are kept in memory for a slow client
	Refusals // answers to requests that are rejected, until the client has them
	resources
)

// Limit bounds a resource. When all flows of a level together have Total, a flow still
// gets its least share, an eighth of PerFlow.
type Limit struct{ PerFlow, Total int }

func (l Limit) allows(flow, total int) bool {
	return flow <= l.PerFlow && (total <= l.Total || flow <= max(1, l.PerFlow/8))
}

// LevelConfig describes a priority level.
type LevelConfig struct {
	Name        string
	Seats       int           // how many are occupied at once
	FlowSeats   int           // how many of them by one flow
	QueueLength int           // how many requests of one flow wait for seats
	QueueWait   time.Duration // and for how long
	Limits      [resources]Limit
}

// Level is a priority level. Its methods are safe for concurrent use.
type Level struct {
	LevelConfig

	mu      sync.Mutex
	flows   map[string]*flow // those that hold anything
	queued  []*flow          // those with requests that wait
	seats   int              // occupied
	holds   [resources]int
	served  uint64 // counts dispatched requests
	stats   Stats
	retired *flow // the last flow that ended, to be used again
}

// flow has what one user holds of a level.
type flow struct {
	name    string
	seats   int
	holds   [resources]int
	tickets int
	queue   []*waiter
	served  uint64 // Level.served when it was last given a seat
}

type waiter struct {
	seats   int
	granted chan struct{} // closed, with the level's lock held, when it has its seats
}

// NewLevel returns a level.
func NewLevel(c LevelConfig) *Level {
	c.Seats = max(1, c.Seats)
	c.FlowSeats = min(max(1, c.FlowSeats), c.Seats)
	return &Level{LevelConfig: c, flows: map[string]*flow{}}
}

// Ticket has the seats of one request in a level. The zero Ticket is that of an exempt
// request: it holds no seats and is never refused.
type Ticket struct {
	level *Level
	flow  *flow
	seats int
	holds [resources]int
}

// AcquireSlot gets one of what for a request of a flow, until ReleaseSlot.
func (l *Level) AcquireSlot(t *Ticket, name string, what Resource) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.flows[name]
	if f == nil {
		if f = l.retired; f == nil {
			f = &flow{}
		}
		l.retired = nil
		f.name = name
		l.flows[name] = f
	}
	f.tickets++
	t.level, t.flow = l, f
	if !t.take(what, 1) {
		t.releaseSlot()
		return l.reject(ConcurrencyLimit)
	}
	return nil
}

// Exempt reports whether the ticket is that of a request which is not bounded.
func (t *Ticket) Exempt() bool { return t.level == nil }

// ReleaseSlot releases all that the request holds. It may be called more than once.
func (t *Ticket) ReleaseSlot() {
	if l := t.level; l != nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		t.releaseSlot()
	}
}

func (t *Ticket) releaseSlot() {
	l, f := t.level, t.flow
	if f == nil {
		return
	}
	t.release()
	for r, n := range t.holds {
		f.holds[r] -= n
		l.holds[r] -= n
	}
	t.flow, t.holds = nil, [resources]int{}
	if f.tickets--; f.tickets == 0 {
		delete(l.flows, f.name)
		f.name, f.served = "", 0
		l.retired = f
	}
}

// Width returns how many seats a request takes whose work is so much of what keeps a
// processor busy for long: a flow may have as many of the latter at once as there are
// processors, since more would only slow each other down.
func (t *Ticket) Width(work, long int) int {
	if t.level == nil {
		return 1
	}
	most := max(1, t.level.FlowSeats/runtime.GOMAXPROCS(0))
	return min(1+work*most/long, most)
}

// Held returns how much of a resource the request's flow holds.
func (t *Ticket) Held(what Resource) int {
	l := t.level
	if l == nil {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if t.flow == nil {
		return 0
	}
	return t.flow.holds[what]
}

// Take reports whether the request may hold n more of what; if so, it holds them.
func (t *Ticket) Take(what Resource, n int) bool {
	l := t.level
	if l == nil {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return t.flow != nil && t.take(what, n)
}

func (t *Ticket) take(what Resource, n int) bool {
	l, f := t.level, t.flow
	if !l.Limits[what].allows(f.holds[what]+n, l.holds[what]+n) {
		return false
	}
	f.holds[what] += n
	l.holds[what] += n
	t.holds[what] += n
	return true
}

// Acquire occupies seats (at most as many as a flow may have) until Release. It waits for
// them in the flow's queue: an error is a *Rejected, or that of ctx.
func (t *Ticket) Acquire(ctx context.Context, seats int) error {
	l := t.level
	if l == nil {
		return nil
	}
	seats = min(max(1, seats), l.FlowSeats)
	l.mu.Lock()
	if len(l.queued) == 0 && l.seats+seats <= l.Seats && t.flow.seats+seats <= l.FlowSeats {
		t.occupy(seats)
		l.mu.Unlock()
		return nil
	}
	w, err := t.enqueue(seats)
	l.mu.Unlock()
	if err != nil || w == nil {
		return err
	}
	timer := time.NewTimer(l.QueueWait)
	defer timer.Stop()
	select {
	case <-w.granted:
		return nil
	case <-timer.C:
		return t.abandon(w, TimedOut, nil)
	case <-ctx.Done():
		return t.abandon(w, Cancelled, ctx.Err())
	}
}

// Release releases the seats. It may be called more than once.
func (t *Ticket) Release() {
	if l := t.level; l != nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		t.release()
	}
}

func (t *Ticket) release() {
	if t.seats == 0 {
		return
	}
	t.flow.seats -= t.seats
	t.level.seats -= t.seats
	t.level.stats.Executing--
	t.seats = 0
	t.level.dispatch()
}

// occupy assigns free seats to the request.
func (t *Ticket) occupy(seats int) {
	t.seats = seats
	t.level.give(t.flow, seats)
}

func (l *Level) give(f *flow, seats int) {
	l.served++
	f.served = l.served
	f.seats += seats
	l.seats += seats
	l.stats.Executing++
	l.stats.Dispatched++
}

// enqueue queues the request; without a waiter it has got its seats after all: the others wait
// because of the bound of their own flow.
func (t *Ticket) enqueue(seats int) (*waiter, error) {
	l, f := t.level, t.flow
	if l.QueueLength == 0 {
		return nil, l.reject(ConcurrencyLimit)
	}
	if len(f.queue) >= l.QueueLength {
		return nil, l.reject(QueueFull)
	}
	w := &waiter{seats: seats, granted: make(chan struct{})}
	if len(f.queue) == 0 {
		l.queued = append(l.queued, f)
	}
	f.queue = append(f.queue, w)
	l.stats.Queued++
	t.seats = seats // they are the request's as soon as the waiter is granted
	l.dispatch()
	select {
	case <-w.granted:
		return nil, nil
	default:
		return w, nil
	}
}

// abandon ends a wait, unless it was successful at that very moment.
func (t *Ticket) abandon(w *waiter, why Reason, cause error) error {
	l, f := t.level, t.flow
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.Index(f.queue, w)
	if i < 0 {
		return nil
	}
	t.seats = 0
	f.queue = slices.Delete(f.queue, i, i+1)
	l.stats.Queued--
	if len(f.queue) == 0 {
		l.drop(f)
	}
	l.dispatch() // a large request may have blocked those behind it
	if err := l.reject(why); cause == nil {
		return err
	}
	return cause
}

func (l *Level) drop(f *flow) {
	i := slices.Index(l.queued, f)
	l.queued = slices.Delete(l.queued, i, i+1)
}

// dispatch assigns free seats to waiting requests. The next one keeps its turn though it needs
// more seats than are free: else small requests would starve large ones.
func (l *Level) dispatch() {
	for {
		f := l.next()
		if f == nil || l.seats+f.queue[0].seats > l.Seats {
			return
		}
		w := f.queue[0]
		f.queue[0] = nil
		f.queue = f.queue[1:]
		if len(f.queue) == 0 {
			f.queue = nil
			l.drop(f)
		}
		l.stats.Queued--
		l.give(f, w.seats)
		close(w.granted)
	}
}

// next returns the flow whose turn it is: of those that may have more seats, the one that has
// the fewest, and of several the one that was served longest ago.
func (l *Level) next() *flow {
	var best *flow
	for _, f := range l.queued {
		if f.seats+f.queue[0].seats > l.FlowSeats {
			continue
		}
		if best == nil || f.seats < best.seats || (f.seats == best.seats && f.served < best.served) {
			best = f
		}
	}
	return best
}
