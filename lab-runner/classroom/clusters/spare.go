package clusters

import (
	"context"
	"errors"
	"fmt"
)

// maxFailures is how often a ready cluster of an earlier process may fail to start; then it is removed, and another made.
const maxFailures = 2

// spare makes clusters until as many are ready as shall be. One counts when it is up.
func (p *Pool) spare(ctx context.Context) error {
	for ctx.Err() == nil {
		p.mu.Lock()
		up, all, cold := 0, len(p.owners), ""
		for name, owner := range p.owners {
			if owner == ready && p.benches[name] == nil {
				cold = name // of an earlier process: it runs, or a reboot has ended it
			} else if owner == ready {
				up++
			}
		}
		p.mu.Unlock()
		if cold != "" {
			if err := p.warm(ctx, cold); err != nil {
				return err
			}
			continue
		}
		if up >= p.cfg.Spare || p.cfg.Most > 0 && all >= p.cfg.Most {
			return nil
		}
		if err := p.room(0); err != nil {
			p.cfg.Log.Debug("no further cluster is kept ready", "err", short(err))
			return nil
		}
		if err := p.prepare(ctx); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// prepare makes a cluster for the next learner. It is marked until it is up, so that one that was begun is found.
func (p *Pool) prepare(ctx context.Context) error {
	var name string
	var none error
	_, err := p.update(ctx, func(owners map[string]string) {
		if name, none = p.newName(owners); none == nil {
			owners[name] = marked
		}
	})
	if err := errors.Join(err, none); err != nil {
		return err
	}
	leave, _ := p.enter(name)
	defer leave()
	p.promise(name, true)
	err = p.start(ctx, name, marked)
	p.promise(name, false)
	if err == nil {
		var moved bool
		if moved, err = p.move(ctx, name, marked, ready); err == nil && !moved {
			err = fmt.Errorf("the cluster %s was removed while it was made", name)
		}
	}
	if err == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), removal)
	defer cancel()
	return errors.Join(err, p.remove(ctx, name, marked))
}

// warm starts a ready cluster of an earlier process. Nobody else's failure is another's: one that does not start is removed.
func (p *Pool) warm(ctx context.Context, name string) error {
	err := p.start(ctx, name, ready)
	p.mu.Lock()
	if err == nil {
		delete(p.failures, name)
	} else if ctx.Err() == nil {
		p.failures[name]++
	}
	over := p.failures[name] >= maxFailures
	p.mu.Unlock()
	if over {
		p.removeSoon(ctx, name, ready)
	}
	return err
}

// start starts a cluster that is still that owner's.
func (p *Pool) start(ctx context.Context, name, owner string) error {
	unlock, err := p.lock(ctx, name)
	if err != nil {
		return err
	}
	defer unlock()
	p.mu.Lock()
	now, ok := p.owners[name]
	p.mu.Unlock()
	if !ok || now != owner {
		return nil // it is given or removed meanwhile
	}
	if rc, err := p.cfg.Maker.Open(name); err == nil {
		_, err = p.opened(name, rc)
		return err
	}
	_, err = p.make(ctx, name)
	return err
}
