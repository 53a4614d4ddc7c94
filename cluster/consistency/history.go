// Package consistency records what clients of an API server saw, and checks afterwards that it
// can have been: that the history of every single object is linearizable, that no write which
// was acknowledged is lost, and that watches see every write once and in order.
//
// Objects are registers here: a name and a value, each value written once only. It is for
// tests, which make the requests.
package consistency

import (
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
)

// Kind is what an operation does.
type Kind int

// The operations. Replace writes only if the value is Expected still.
const (
	Read Kind = iota
	Write
	Replace
)

// Operation is what a client asks for.
type Operation struct {
	Kind     Kind
	Object   string
	Value    string // written
	Expected string // of Replace
}

// Outcome is what the client has seen afterwards.
type Outcome int

// The outcomes. After Lost a write may have had an effect, or may have one later.
const (
	Done    Outcome = iota
	Refused         // Replace, because the value was another
	Lost            // no answer
	Never           // it did not reach the server, or was a read without an answer
)

type answer struct {
	outcome Outcome
	value   string // read
}

// Event is a version of an object, as a watch saw it or a write was answered.
type Event struct {
	Version int64
	Object  string
	Value   string
}

// History is a record; its methods may be called by many goroutines.
type History struct {
	mu      sync.Mutex
	began   time.Time
	done    []porcupine.Operation
	written []Event         // acknowledged
	acks    []time.Duration // when, since began
}

// New returns an empty History.
func New() *History { return &History{began: time.Now()} }

// Begin records the start of an operation, and returns what records its end: the value for a
// read, and the version for a write that was Done.
func (h *History) Begin(client int, op Operation) func(o Outcome, value string, version int64) {
	call := time.Since(h.began)
	return func(o Outcome, value string, version int64) {
		now := time.Since(h.began)
		h.mu.Lock()
		defer h.mu.Unlock()
		if o == Done && op.Kind != Read {
			h.acks = append(h.acks, now)
			h.written = append(h.written, Event{version, op.Object, op.Value})
		}
		if o == Never || o == Lost && op.Kind == Read {
			return
		}
		end := int64(now)
		if o == Lost {
			end = math.MaxInt64
		}
		h.done = append(h.done, porcupine.Operation{ClientId: client, Input: op, Call: int64(call), Output: answer{o, value}, Return: end})
	}
}

// Acknowledged is how many writes were.
func (h *History) Acknowledged() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.acks)
}

// Gap is the longest time without an acknowledged write since a point in time.
func (h *History) Gap(since time.Time) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	last, gap := since.Sub(h.began), time.Duration(0)
	for _, at := range slices.Sorted(slices.Values(h.acks)) {
		if at > last {
			gap, last = max(gap, at-last), at
		}
	}
	return max(gap, time.Since(h.began)-last)
}

// model is a register for each object; its state is the value.
var model = porcupine.Model{
	Partition: func(all []porcupine.Operation) [][]porcupine.Operation {
		byObject := map[string][]porcupine.Operation{}
		for _, o := range all {
			name := o.Input.(Operation).Object
			byObject[name] = append(byObject[name], o)
		}
		var parts [][]porcupine.Operation
		for _, part := range byObject {
			parts = append(parts, part)
		}
		return parts
	},
	Init: func() any { return "" },
	Step: func(state, input, output any) (bool, any) {
		op, got := input.(Operation), output.(answer)
		switch {
		case op.Kind == Read:
			return got.value == state, state
		case op.Kind == Write:
			return true, op.Value
		case got.outcome == Refused:
			return op.Expected != state, state
		case op.Expected == state:
			return true, op.Value
		}
		return got.outcome == Lost, state
	},
}

// Linearizable returns an error if some object's history cannot have been, or if that is not
// known after the limit.
func (h *History) Linearizable(limit time.Duration) error {
	h.mu.Lock()
	all := slices.Clone(h.done)
	h.mu.Unlock()
	switch porcupine.CheckOperationsTimeout(model, all, limit) {
	case porcupine.Illegal:
		for _, part := range model.Partition(all) {
			if porcupine.CheckOperationsTimeout(model, part, limit) == porcupine.Illegal {
				return fmt.Errorf("the history of an object is not linearizable:\n%s", describe(part))
			}
		}
		return fmt.Errorf("a history is not linearizable")
	case porcupine.Unknown:
		return fmt.Errorf("%d operations could not be checked within %s", len(all), limit)
	}
	return nil
}

func describe(part []porcupine.Operation) (text string) {
	slices.SortFunc(part, func(a, b porcupine.Operation) int { return int(min(max(a.Call-b.Call, -1), 1)) })
	for _, o := range part {
		text += fmt.Sprintf("  client %d, %v to %v: %+v -> %+v\n", o.ClientId, time.Duration(o.Call), time.Duration(o.Return), o.Input, o.Output)
	}
	return text
}

// Watches returns an error unless all watches saw the same versions in the order of their
// numbers, none twice, and with them every write that was acknowledged.
func (h *History) Watches(watches ...[]Event) error {
	h.mu.Lock()
	written := slices.Clone(h.written)
	h.mu.Unlock()
	for n, w := range watches {
		for i := 1; i < len(w); i++ {
			if w[i].Version <= w[i-1].Version {
				return fmt.Errorf("watch %d saw %+v after %+v", n, w[i], w[i-1])
			}
		}
		seen := map[Event]bool{}
		for _, e := range w {
			seen[e] = true
		}
		for _, e := range written {
			if !seen[e] {
				return fmt.Errorf("watch %d has not seen %+v, a write that was acknowledged", n, e)
			}
		}
		for i := range min(len(w), len(watches[0])) {
			if w[i] != watches[0][i] {
				return fmt.Errorf("watch %d saw %+v where the first saw %+v", n, w[i], watches[0][i])
			}
		}
		if len(w) != len(watches[0]) {
			return fmt.Errorf("watch %d saw %d versions, the first %d", n, len(w), len(watches[0]))
		}
	}
	return nil
}

// Present returns an error if an object has another value than its last version in a watch, or
// is in one of both only.
func Present(objects map[string]string, watch []Event) error {
	last := map[string]string{}
	for _, e := range watch {
		last[e.Object] = e.Value
	}
	for name, value := range last {
		if objects[name] != value {
			return fmt.Errorf("%s has the value %q, and a watch saw %q last", name, objects[name], value)
		}
	}
	for name, value := range objects {
		if _, ok := last[name]; !ok {
			return fmt.Errorf("%s has the value %q, and a watch has not seen it", name, value)
		}
	}
	return nil
}
