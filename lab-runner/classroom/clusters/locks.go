package clusters

import "context"

// slots bounds how many do something at once.
type slots chan struct{}

// take waits for a slot.
func (s slots) take(ctx context.Context) (release func(), err error) {
	select {
	case s <- struct{}{}:
		return func() { <-s }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// nameLock is held by what changes one cluster.
type nameLock struct {
	held  slots
	users int // holders and those who wait; without one it is dropped
}

// lock waits until nothing else changes the cluster. Nobody who waits for it keeps others from the pool.
func (p *Pool) lock(ctx context.Context, name string) (unlock func(), err error) {
	p.mu.Lock()
	l := p.locks[name]
	if l == nil {
		l = &nameLock{held: make(slots, 1)}
		p.locks[name] = l
	}
	l.users++
	p.mu.Unlock()
	leave := func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if l.users--; l.users == 0 {
			delete(p.locks, name)
		}
	}
	release, err := l.held.take(ctx)
	if err != nil {
		leave()
		return nil, err
	}
	return func() {
		release()
		leave()
	}, nil
}

// enter notes that the cluster is made or removed here, and reports whether it already was.
func (p *Pool) enter(name string) (leave func(), before bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	before = p.work[name] > 0
	p.work[name]++
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.work[name]--; p.work[name] == 0 {
			delete(p.work, name)
		}
	}, before
}
