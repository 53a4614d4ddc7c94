package clusters

import (
	"context"
	"fmt"
	"slices"
	"time"

	"wheelhouse/lab-runner/classroom/workbench"
)

// removal bounds one: how much there is to remove is in the learner's hands.
const removal = 5 * time.Minute

// Remove removes the learner's cluster and all that is in it. That there is none is no error. From its begin on the cluster is
// nobody's: who comes back gets another.
func (p *Pool) Remove(ctx context.Context, l workbench.Learner) error {
	if l.ID == "" {
		return errNobody
	}
	owners, err := p.read(ctx)
	if err != nil {
		return short(err)
	}
	name := clusterOf(owners, l.ID)
	if name == "" {
		return nil
	}
	return short(p.remove(ctx, name, l.ID))
}

// Count returns how many clusters the class has, ready ones included.
func (p *Pool) Count(ctx context.Context) (int, error) {
	owners, err := p.read(ctx)
	return len(owners), err
}

// remove removes a cluster that is still that owner's. It is marked before, and its mark is removed when there is nothing of it.
func (p *Pool) remove(ctx context.Context, name, owner string) error {
	leave, _ := p.enter(name)
	defer leave()
	if owner != marked {
		if moved, err := p.move(ctx, name, owner, marked); err != nil || !moved {
			return err
		}
	}
	unlock, err := p.lock(ctx, name)
	if err != nil {
		return err
	}
	defer unlock()
	release, err := p.removing.take(ctx)
	if err != nil {
		return err
	}
	defer release()
	p.forget(name)
	if err := p.cfg.Maker.Down(ctx, name); err != nil {
		return fmt.Errorf("removing the cluster %s: %w", name, err)
	}
	_, err = p.update(ctx, func(owners map[string]string) {
		if owners[name] == marked {
			delete(owners, name)
		}
	})
	return err
}

// tidy begins to remove the clusters of learners who are not in the class any more, and those that are nobody's.
func (p *Pool) tidy(ctx context.Context) error {
	if p.cfg.Known == nil {
		return nil
	}
	there, err := p.cfg.Maker.Names()
	if err != nil {
		return err
	}
	owners, err := p.read(ctx) // after the names: one that is made is marked before
	if err != nil {
		return err
	}
	known := p.cfg.Known() // after the owners: who has a cluster has joined
	for name, owner := range owners {
		given, is := there[name]
		switch {
		case owner == marked, owner == ready && (!is || given != ""):
		case owner != ready && (!slices.Contains(known, owner) || given != "" && given != owner):
		default:
			continue
		}
		p.removeSoon(ctx, name, owner)
	}
	for name := range there {
		if _, ok := owners[name]; !ok {
			p.removeSoon(ctx, name, marked)
		}
	}
	p.drop(owners)
	return nil
}

// removeSoon removes a cluster meanwhile, unless something works on it already. What fails is tried again by the next tidy.
func (p *Pool) removeSoon(ctx context.Context, name, owner string) {
	leave, before := p.enter(name)
	if before {
		leave()
		return
	}
	p.removals.Go(func() {
		defer leave()
		ctx, cancel := context.WithTimeout(ctx, removal)
		defer cancel()
		err := p.remove(ctx, name, owner)
		if err == nil {
			p.wake() // there is room
		} else if ctx.Err() == nil {
			p.cfg.Log.Warn("removing a cluster; it is tried again", "cluster", name, "err", short(err))
		}
	})
}

// drop removes what this process has of clusters that another process has removed.
func (p *Pool) drop(owners map[string]string) {
	p.mu.Lock()
	var gone []string
	for name := range p.benches {
		if _, ok := owners[name]; !ok && p.work[name] == 0 {
			gone = append(gone, name)
		}
	}
	p.mu.Unlock()
	for _, name := range gone {
		p.forget(name)
	}
}
