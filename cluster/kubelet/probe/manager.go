package probe

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"wheelhouse/cluster/kubelet/podstatus"
)

// Manager probes the running containers of one pod.
type Manager struct {
	runtime Execer
	event   func(c *v1.Container, kind, reason, message string)
	changed func()
	record  Record

	mu     sync.Mutex
	probed map[string]*probed // by container id
}

// Record keeps what a probe was answered, if that is another outcome, or another reason, than that of the probe before: what was
// asked, since when, and why it failed, "" where it did not.
type Record func(began time.Time, asked, failed string)

// probed is one container.
type probed struct {
	podstatus.Health
	stop     context.CancelFunc
	stopLive context.CancelFunc // the startup and liveness probes, whose failure restarts the container
}

// NewManager returns a manager that follows no container yet. changed is called, without
// a lock, when the health of a container has changed. record may be nil.
func NewManager(rt Execer, event func(c *v1.Container, kind, reason, message string), changed func(), record Record) *Manager {
	return &Manager{runtime: rt, event: event, changed: changed, record: record, probed: map[string]*probed{}}
}

// Health implements podstatus.Results: a container that is not followed yet is not ready.
func (p *Manager) Health(id string) podstatus.Health {
	p.mu.Lock()
	defer p.mu.Unlock()
	if w := p.probed[id]; w != nil {
		return w.Health
	}
	return podstatus.Health{}
}

// Follow starts the probes of a running container. before is its status if an earlier kubelet
// has probed it, else nil: a container that was ready does not become unready
// because of a new kubelet.
func (p *Manager) Follow(ctx context.Context, t Target, startedAt time.Time, before *v1.ContainerStatus) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.probed[t.ID] != nil {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	live, stopLive := context.WithCancel(ctx)
	w := &probed{stop: cancel, stopLive: stopLive}
	w.Started, w.Ready = t.Container.StartupProbe == nil, t.Container.ReadinessProbe == nil
	if before != nil {
		w.Started = w.Started || ptr.Deref(before.Started, false)
		w.Ready = w.Ready || before.Ready
	}
	p.probed[t.ID] = w
	if t.Container.StartupProbe != nil || t.Container.ReadinessProbe != nil || t.Container.LivenessProbe != nil {
		go p.run(ctx, live, w, t, startedAt)
	}
}

// Retain drops all containers but those.
func (p *Manager) Retain(ids map[string]bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, w := range p.probed {
		if !ids[id] {
			w.stop()
			delete(p.probed, id)
		}
	}
}

// StopLiveness stops all but the readiness probes, for a pod that terminates: endpoints
// must still drop it when it no longer serves.
func (p *Manager) StopLiveness() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, w := range p.probed {
		w.stopLive()
	}
}

// Stop stops the probes of one container.
func (p *Manager) Stop(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if w := p.probed[id]; w != nil {
		w.stop()
	}
}

// StopAll stops all probes but keeps the results, for a pod that has finished.
func (p *Manager) StopAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, w := range p.probed {
		w.stop()
	}
}

// run runs the startup probe first, then the readiness and the liveness probe in parallel.
func (p *Manager) run(ctx, live context.Context, w *probed, t Target, startedAt time.Time) {
	if sp := t.Container.StartupProbe; sp != nil && !p.Health(t.ID).Started {
		done := p.loop(live, "Startup", sp, t, startedAt, func(v result) bool {
			p.set(w, func(h *podstatus.Health) {
				if v == success {
					h.Started = true
				} else {
					h.Failing = "startup"
				}
			})
			return true
		})
		if !done || !p.Health(t.ID).Started {
			return
		}
	}
	if rp := t.Container.ReadinessProbe; rp != nil {
		go p.loop(ctx, "Readiness", rp, t, startedAt, func(v result) bool {
			p.set(w, func(h *podstatus.Health) { h.Ready = v == success })
			return false
		})
	}
	if lp := t.Container.LivenessProbe; lp != nil {
		p.loop(live, "Liveness", lp, t, startedAt, func(v result) bool {
			if v == failure {
				p.set(w, func(h *podstatus.Health) { h.Failing = "liveness" })
			}
			return v == failure
		})
	}
}

func (p *Manager) set(w *probed, f func(*podstatus.Health)) {
	p.mu.Lock()
	before := w.Health
	f(&w.Health)
	changed := before != w.Health
	p.mu.Unlock()
	if changed {
		p.changed()
	}
}

// loop probes until done returns true for a result that has passed its threshold, or ctx
// ends; it returns whether done did.
func (p *Manager) loop(ctx context.Context, kind string, spec *v1.Probe, t Target, startedAt time.Time, done func(result) bool) bool {
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
	defer t.uncount(kind)
	var recorded outcome
	for {
		select {
		case <-ctx.Done():
			return false
		case <-timer.C:
		}
		start := time.Now()
		v, text, err := probe(ctx, p.runtime, spec, t)
		if ctx.Err() != nil {
			return false
		}
		if v == warning {
			p.event(t.Container, v1.EventTypeWarning, "ProbeWarning", fmt.Sprintf("%s probe warning: %s", kind, text))
			v = success
		}
		t.count(kind, v, time.Since(start))
		recorded = p.keep(recorded, v, start, asked(kind, spec, t), cmp.Or(text, "no reason was given"))
		switch {
		case err != nil:
			p.event(t.Container, v1.EventTypeWarning, "Unhealthy", fmt.Sprintf("%s probe errored: %v", kind, err))
		case v == failure:
			p.event(t.Container, v1.EventTypeWarning, "Unhealthy", fmt.Sprintf("%s probe failed: %s", kind, text))
		}
		if settled := count.add(v); settled != unknown && done(settled) {
			return true
		}
		timer.Reset(max(0, period-time.Since(start)))
	}
}

// reasonsKept bounds the further reasons that are recorded while a probe keeps failing: a reason may be another each time.
const reasonsKept = 5

// outcome is what was recorded last of a probe.
type outcome struct {
	result result
	reason string
	others int // further reasons since the result changed
}

// keep records an outcome that differs from the last one, by its result or, of a failure, by its reason. It returns the
// outcome that was recorded last.
func (p *Manager) keep(last outcome, v result, began time.Time, asked, reason string) outcome {
	if v == success {
		reason = ""
	}
	next := outcome{v, reason, 0}
	if v == last.result {
		next.others = last.others + 1
	}
	if p.record == nil || v == unknown || next.others > 0 && (reason == last.reason || next.others > reasonsKept) {
		return last
	}
	p.record(began, asked, reason)
	return next
}

// counter applies the thresholds of a probe: a result counts once it has come that many
// times in a row.
type counter struct {
	successes, failures int // the thresholds
	last                result
	run                 int
}

// add takes one result and returns the one that has passed its threshold, unknown if none
// has. Unknown results are skipped.
func (c *counter) add(v result) result {
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
