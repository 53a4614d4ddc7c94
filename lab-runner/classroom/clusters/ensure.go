package clusters

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"wheelhouse/lab-runner/classroom/workbench"
)

var (
	errNobody    = errors.New("a learner without an ID has no cluster")
	errUnknown   = errors.New("the learner is not in the class")
	errNotTheirs = errors.New("the cluster is not the learner's any more: it is tried again")
)

const (
	ensuring  = 3 * time.Minute // bounds Ensure as a whole
	answering = time.Minute     // bounds what a learner's API may take for a workbench; a ready cluster takes about a second
	again     = 3               // clusters that are tried, where one turns out to be another's
)

// Ensure gives the learner a cluster, or starts what is missing of theirs, and returns when their workbench is ready. Several
// calls for one learner are one.
func (p *Pool) Ensure(ctx context.Context, l workbench.Learner) error {
	if l.ID == "" {
		return errNobody
	}
	return short(p.together(ctx, l.ID, func(ctx context.Context) error {
		err := errNotTheirs
		for n := 0; n < again && errors.Is(err, errNotTheirs); n++ {
			var name string
			if name, err = p.assign(ctx, l.ID); err == nil {
				err = p.provide(ctx, name, l)
			}
		}
		return err
	}))
}

// flight is what several calls for one learner wait for.
type flight struct {
	done    chan struct{}
	err     error
	waiting int
	end     context.CancelFunc
}

// together does something once for all who ask for it at the same time. It is ended when nobody waits for it.
func (p *Pool) together(ctx context.Context, id string, do func(context.Context) error) error {
	p.mu.Lock()
	f := p.flights[id]
	if f == nil {
		work, end := context.WithTimeout(context.WithoutCancel(ctx), ensuring)
		f = &flight{done: make(chan struct{}), end: end}
		p.flights[id] = f
		go func() {
			f.err = do(work)
			p.leaveFlight(id, f, 0)
			close(f.done)
		}()
	}
	f.waiting++
	p.mu.Unlock()
	defer p.leaveFlight(id, f, 1)
	select {
	case <-f.done:
		return f.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// leaveFlight drops a flight that is over, or that nobody waits for.
func (p *Pool) leaveFlight(id string, f *flight, waited int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if f.waiting -= waited; waited > 0 && f.waiting > 0 {
		return
	}
	f.end()
	if p.flights[id] == f {
		delete(p.flights, id)
	}
}

// assign returns the learner's cluster; who has none gets a ready one, or the name of one that is to be made.
func (p *Pool) assign(ctx context.Context, id string) (name string, err error) {
	if p.cfg.Known != nil && !slices.Contains(p.cfg.Known(), id) {
		return "", errUnknown
	}
	var full error
	made, got := "", false
	_, err = p.update(ctx, func(owners map[string]string) {
		p.promise(made, false)
		full, made, got = nil, "", false
		if name = clusterOf(owners, id); name != "" {
			return
		}
		if name = p.free(owners); name == "" {
			if full = p.room(0); full == nil {
				name, full = p.newName(owners)
			}
			if full != nil {
				return
			}
			made = name
			p.promise(made, true)
		}
		owners[name], got = id, true
	})
	if err := errors.Join(err, full); err != nil {
		p.promise(made, false)
		return "", err
	}
	if got {
		p.placed()
		p.wake()
	}
	return name, nil
}

// provide returns when the learner's workbench in their cluster is ready.
func (p *Pool) provide(ctx context.Context, name string, l workbench.Learner) error {
	defer p.promise(name, false)
	unlock, err := p.lock(ctx, name)
	if err != nil {
		return err
	}
	defer unlock()
	owners, err := p.read(ctx) // it may have been removed while the lock was waited for
	if err != nil {
		return err
	}
	if owners[name] != l.ID {
		return errNotTheirs
	}
	m, err := p.running(ctx, name)
	if err != nil {
		return err
	}
	if err := p.cfg.Maker.Give(name, l.ID); errors.Is(err, ErrGiven) {
		p.cfg.Log.Warn("a cluster was given to another learner before, and is removed", "cluster", name)
		if _, err := p.move(ctx, name, l.ID, marked); err != nil {
			return err
		}
		p.wake()
		return errNotTheirs
	} else if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, answering)
	defer cancel()
	return m.Ensure(ctx, l)
}

// running returns the manager of the workbench of a cluster that runs. What is missing of the cluster is started: where it was
// never given to anybody it is made, else repaired, since then the learner may have ended it.
func (p *Pool) running(ctx context.Context, name string) (bench, error) {
	if rc, err := p.cfg.Maker.Open(name); err == nil {
		return p.opened(name, rc)
	}
	there, err := p.cfg.Maker.Names()
	if err != nil {
		return nil, err
	}
	if there[name] == "" {
		return p.make(ctx, name)
	}
	return p.repair(ctx, name)
}

// Repairs of a cluster. A learner can end its processes as often as they want.
const (
	repairTime   = 45 * time.Second // bounds one
	firstPause   = 2 * time.Second  // between two, doubled each time
	longestPause = 5 * time.Minute
)

// repair is the last one of a cluster.
type repair struct {
	at    time.Time
	pause time.Duration // before the next
}

// repair starts what is missing of a learner's cluster. The time that it waits for others is not its own: after a reboot of
// the machine all clusters have stopped.
func (p *Pool) repair(ctx context.Context, name string) (bench, error) {
	if err := p.pause(name, false); err != nil {
		return nil, err
	}
	release, err := p.repairing.take(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	if err := p.pause(name, true); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, repairTime)
	defer cancel()
	return p.up(ctx, name)
}

// pause is an error until the next repair of a cluster is due. begin records one that begins.
func (p *Pool) pause(name string, begin bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	now, last := time.Now(), p.repairs[name]
	if left := last.pause - now.Sub(last.at); left > 0 {
		return fmt.Errorf("the cluster %s has stopped, and is started again in %.0f s", name, left.Seconds())
	}
	if begin {
		pause := firstPause
		if now.Sub(last.at) < 2*longestPause {
			pause = min(max(2*last.pause, firstPause), longestPause)
		}
		p.repairs[name] = repair{now, pause}
	}
	return nil
}
