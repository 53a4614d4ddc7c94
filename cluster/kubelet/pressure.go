package kubelet

import (
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// Observation is how much of a signal there is.
type Observation struct {
	Available, Capacity int64
}

// crossing is a threshold that a signal is below of.
type crossing struct {
	Threshold
	hard   bool
	seen   Observation
	amount int64
}

// pressure remembers, from one look to the next, since when thresholds have been
// crossed, and which conditions the node has because of that.
type pressure struct {
	since      map[Signal]time.Time               // soft thresholds
	hard       map[Signal]bool                    // crossed at the last look, and not yet reclaimed
	conditions map[v1.NodeConditionType]time.Time // when they last had a cause
	looked     time.Time                          // the last time
}

func newPressure() *pressure {
	return &pressure{since: map[Signal]time.Time{}, hard: map[Signal]bool{}, conditions: map[v1.NodeConditionType]time.Time{}}
}

// look compares what is seen with the thresholds. It tells which ones call for an
// eviction now, memory first: those of the hard ones that are crossed, and of the soft
// ones that have been for their grace period. A threshold that was acted upon counts as
// crossed until the minimum reclaim is free on top of it.
func (p *pressure) look(e *Eviction, seen map[Signal]Observation, now time.Time) []crossing {
	var act []crossing
	p.looked = now
	for _, t := range e.Hard {
		if c, ok := p.crossed(e, t, seen, p.hard[t.Signal]); ok {
			c.hard, p.hard[t.Signal] = true, true
			p.conditions[signals[t.Signal].condition] = now
			act = append(act, c)
		} else {
			delete(p.hard, t.Signal)
		}
	}
	for _, t := range e.Soft {
		since, was := p.since[t.Signal]
		c, ok := p.crossed(e, t, seen, was && now.Sub(since) >= t.Grace)
		if !ok {
			delete(p.since, t.Signal)
			continue
		}
		if !was {
			since = now
			p.since[t.Signal] = now
		}
		if now.Sub(since) < t.Grace {
			continue
		}
		p.conditions[signals[t.Signal].condition] = now
		if !slices.ContainsFunc(act, func(a crossing) bool { return a.Signal == t.Signal }) {
			act = append(act, c)
		}
	}
	slices.SortStableFunc(act, func(a, b crossing) int {
		memory := func(c crossing) int {
			if c.Signal == SignalMemory {
				return 0
			}
			return 1
		}
		return memory(a) - memory(b)
	})
	return act
}

func (p *pressure) crossed(e *Eviction, t Threshold, seen map[Signal]Observation, acted bool) (crossing, bool) {
	o, ok := seen[t.Signal]
	if !ok {
		return crossing{}, false
	}
	amount := t.amount(o.Capacity)
	limit := amount
	if more, ok := e.Reclaim[t.Signal]; ok && acted {
		limit += more.amount(o.Capacity)
	}
	return crossing{Threshold: t, seen: o, amount: amount}, o.Available < limit
}

// has tells whether the node has a condition: while its cause lasts, and for the
// transition period after, so that it does not come and go.
func (p *pressure) has(e *Eviction, c v1.NodeConditionType, now time.Time) bool {
	last, ok := p.conditions[c]
	return ok && (last.Equal(p.looked) || now.Sub(last) < e.Transition)
}

// quantity writes an amount of a signal as messages have it.
func quantity(s Signal, n int64) string {
	return resource.NewQuantity(n, signals[s].format).String()
}
