package eviction

import (
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// Observation is the present value of a signal.
type Observation struct {
	Available, Capacity int64
}

// met is a threshold that is met: less than its amount is available.
type met struct {
	Threshold
	hard   bool
	now    Observation
	amount int64
}

// pressure holds, from one evaluation to the next, since when thresholds have been met, and
// the pressure conditions of the node that follow.
type pressure struct {
	since      map[Signal]time.Time               // soft thresholds
	hard       map[Signal]bool                    // met at the last evaluation, and not yet reclaimed
	conditions map[v1.NodeConditionType]time.Time // when they last had a cause
	evaluated  time.Time                          // the last time
}

func newPressure() *pressure {
	return &pressure{since: map[Signal]time.Time{}, hard: map[Signal]bool{}, conditions: map[v1.NodeConditionType]time.Time{}}
}

// evaluateThresholds returns the thresholds that require an eviction now, memory first: the
// hard ones that are met, and the soft ones that have been for their grace period. A
// threshold that was acted upon counts as met until the minimum reclaim is available on top
// of it.
func (p *pressure) evaluateThresholds(e *Config, seen map[Signal]Observation, now time.Time) []met {
	var act []met
	p.evaluated = now
	for _, t := range e.Hard {
		if c, ok := p.isMet(e, t, seen, p.hard[t.Signal]); ok {
			c.hard, p.hard[t.Signal] = true, true
			p.conditions[signals[t.Signal].condition] = now
			act = append(act, c)
		} else {
			delete(p.hard, t.Signal)
		}
	}
	for _, t := range e.Soft {
		since, was := p.since[t.Signal]
		c, ok := p.isMet(e, t, seen, was && now.Sub(since) >= t.Grace)
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
		if !slices.ContainsFunc(act, func(a met) bool { return a.Signal == t.Signal }) {
			act = append(act, c)
		}
	}
	slices.SortStableFunc(act, func(a, b met) int {
		memory := func(c met) int {
			if c.Signal == SignalMemory {
				return 0
			}
			return 1
		}
		return memory(a) - memory(b)
	})
	return act
}

func (p *pressure) isMet(e *Config, t Threshold, seen map[Signal]Observation, acted bool) (met, bool) {
	o, ok := seen[t.Signal]
	if !ok {
		return met{}, false
	}
	amount := t.Amount(o.Capacity)
	limit := amount
	if more, ok := e.Reclaim[t.Signal]; ok && acted {
		limit += more.Amount(o.Capacity)
	}
	return met{Threshold: t, now: o, amount: amount}, o.Available < limit
}

// has reports whether the node has a condition: while its cause lasts, and for the
// transition period after, so that it does not flap.
func (p *pressure) has(e *Config, c v1.NodeConditionType, now time.Time) bool {
	last, ok := p.conditions[c]
	return ok && (last.Equal(p.evaluated) || now.Sub(last) < e.Transition)
}

// quantity formats an amount of a signal as messages have it.
func quantity(s Signal, n int64) string {
	return resource.NewQuantity(n, signals[s].format).String()
}
