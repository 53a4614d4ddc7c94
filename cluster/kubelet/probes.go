package kubelet

import (
	"context"
	"fmt"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"

	"wheelhouse/cluster/kubelet/podspec"
	"wheelhouse/cluster/kubelet/podstatus"
)

// probes watches over the running containers of one pod: a goroutine for each
// container that has probes, from its start to its end.
type probes struct {
	runtime Streams
	event   func(c *v1.Container, kind, reason, message string)
	changed func()

	mu      sync.Mutex
	watched map[string]*watched // by container id
}

type watched struct {
	podstatus.Health
	stop context.CancelFunc
	live context.CancelFunc // ends the probes whose failure ends the container
}

func newProbes(rt Streams, event func(c *v1.Container, kind, reason, message string), changed func()) *probes {
	return &probes{runtime: rt, event: event, changed: changed, watched: map[string]*watched{}}
}

// Health implements podstatus.Results: a container that is not followed yet is not ready.
func (p *probes) Health(id string) podstatus.Health {
	p.mu.Lock()
	defer p.mu.Unlock()
	if w := p.watched[id]; w != nil {
		return w.Health
	}
	return podstatus.Health{}
}

// follow begins to probe a running container. before is its status if an earlier kubelet
// has probed it, else nil: a container that was ready does not become unready
// because of a new kubelet.
func (p *probes) follow(ctx context.Context, t target, startedAt time.Time, before *v1.ContainerStatus) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.watched[t.id] != nil {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	live, stopLive := context.WithCancel(ctx)
	w := &watched{stop: cancel, live: stopLive}
	w.Started, w.Ready = t.container.StartupProbe == nil, t.container.ReadinessProbe == nil
	if before != nil {
		w.Started = w.Started || podspec.IsTrue(before.Started)
		w.Ready = w.Ready || before.Ready
	}
	p.watched[t.id] = w
	if t.container.StartupProbe != nil || t.container.ReadinessProbe != nil || t.container.LivenessProbe != nil {
		go p.run(ctx, live, w, t, startedAt)
	}
}

// keep forgets all containers but those.
func (p *probes) keep(ids map[string]bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, w := range p.watched {
		if !ids[id] {
			w.stop()
			delete(p.watched, id)
		}
	}
}

// ending leaves only the probes for readiness, for a pod that is being ended: who still
// sends to it must hear when it no longer serves.
func (p *probes) ending() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, w := range p.watched {
		w.live()
	}
}

// ended stops the probing of one container.
func (p *probes) ended(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if w := p.watched[id]; w != nil {
		w.stop()
	}
}

// pause ends all probing but keeps what is known, for a pod that has finished.
func (p *probes) pause() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, w := range p.watched {
		w.stop()
	}
}

// run probes for startup first, and then for readiness and liveness side by side.
func (p *probes) run(ctx, live context.Context, w *watched, t target, startedAt time.Time) {
	if sp := t.container.StartupProbe; sp != nil && !p.Health(t.id).Started {
		done := p.loop(live, "Startup", sp, t, startedAt, func(v verdict) bool {
			p.set(w, func(h *podstatus.Health) {
				if v == success {
					h.Started = true
				} else {
					h.Failing = "startup"
				}
			})
			return true
		})
		if !done || !p.Health(t.id).Started {
			return
		}
	}
	if rp := t.container.ReadinessProbe; rp != nil {
		go p.loop(ctx, "Readiness", rp, t, startedAt, func(v verdict) bool {
			p.set(w, func(h *podstatus.Health) { h.Ready = v == success })
			return false
		})
	}
	if lp := t.container.LivenessProbe; lp != nil {
		p.loop(live, "Liveness", lp, t, startedAt, func(v verdict) bool {
			if v == failure {
				p.set(w, func(h *podstatus.Health) { h.Failing = "liveness" })
			}
			return v == failure
		})
	}
}

func (p *probes) set(w *watched, f func(*podstatus.Health)) {
	p.mu.Lock()
	before := w.Health
	f(&w.Health)
	changed := before != w.Health
	p.mu.Unlock()
	if changed {
		p.changed()
	}
}

// loop probes until decided tells that nothing more is to be known (true) or ctx
// ends (false).
func (p *probes) loop(ctx context.Context, kind string, spec *v1.Probe, t target, startedAt time.Time, decided func(verdict) bool) bool {
	count := counter{successes: int(max(spec.SuccessThreshold, 1)), failures: int(max(spec.FailureThreshold, 1))}
	if spec.FailureThreshold == 0 {
		count.failures = 3
	}
	wait := time.Until(startedAt.Add(time.Duration(spec.InitialDelaySeconds) * time.Second))
	period := time.Duration(spec.PeriodSeconds) * time.Second
	if period <= 0 {
		period = 10 * time.Second
	}
	timer := time.NewTimer(max(0, wait))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-timer.C:
		}
		begun := time.Now()
		v, text, err := probe(ctx, p.runtime, spec, t)
		if ctx.Err() != nil {
			return false
		}
		switch {
		case err != nil:
			p.event(t.container, v1.EventTypeWarning, "Unhealthy", fmt.Sprintf("%s probe errored: %v", kind, err))
		case v == failure:
			p.event(t.container, v1.EventTypeWarning, "Unhealthy", fmt.Sprintf("%s probe failed: %s", kind, text))
		}
		if settled := count.add(v); settled != unknown && decided(settled) {
			return true
		}
		timer.Reset(max(0, period-time.Since(begun)))
	}
}

// counter applies a probe's thresholds: a result counts once it has come so many
// times in a row.
type counter struct {
	successes, failures int // the thresholds
	last                verdict
	run                 int
}

// add takes one result and tells what is settled now; unknown results are passed
// over, and unknown means that nothing new is settled.
func (c *counter) add(v verdict) verdict {
	if v == unknown {
		return unknown
	}
	if v != c.last {
		c.last, c.run = v, 0
	}
	c.run++
	if v == success && c.run >= c.successes || v == failure && c.run >= c.failures {
		return v
	}
	return unknown
}
