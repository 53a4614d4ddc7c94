package admission

import (
	"context"
	"errors"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

var errTaken = errors.New("taken")

// reservation is what one write took.
type reservation struct {
	owner string
	keys  []string
}

// take claims a certain key for r; errTaken if another has it.
func (a *allocator) take(ctx context.Context, r *Request, key string) error {
	if slices.Contains(r.reservation.keys, key) {
		return nil
	}
	if r.DryRun {
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.used(key) {
			return errTaken
		}
		r.reservation.keys = append(r.reservation.keys, key)
		return nil
	}
	a.takeOff(key, r.reservation.owner)
	taken, err := a.claims.Take(ctx, r.reservation.owner, []string{key})
	if err == nil && taken == "" {
		r.reservation.keys = append(r.reservation.keys, key)
		return nil
	}
	a.land([]string{key}, r.reservation.owner)
	if err != nil {
		return err
	}
	return errTaken
}

// pick claims some free key of s for r; "" if there is none.
func (a *allocator) pick(ctx context.Context, r *Request, s span) (string, error) {
	refused := map[string]bool{}
	for {
		a.mu.Lock()
		key := s.pick(func(k string) bool { return refused[k] || a.used(k) || slices.Contains(r.reservation.keys, k) })
		a.mu.Unlock()
		if key == "" {
			return "", nil
		}
		switch err := a.take(ctx, r, key); {
		case err == nil:
			return key, nil
		case errors.Is(err, errTaken):
			refused[key] = true
		default:
			return "", err
		}
	}
}

func (a *allocator) takeOff(key, owner string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.flight[key] == nil {
		a.flight[key] = map[string]int{}
	}
	a.flight[key][owner]++
}

func (a *allocator) land(keys []string, owner string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, k := range keys {
		by := a.flight[k]
		if by[owner]--; by[owner] <= 0 {
			delete(by, owner)
		}
		if len(by) == 0 {
			delete(a.flight, k)
		}
	}
}

// done ends r's reservation: the Service has what it took, or it is free again.
func (a *allocator) done(ctx context.Context, r *Request, failure error) {
	res := r.reservation
	if res == nil || len(res.keys) == 0 {
		return
	}
	r.reservation = nil
	if r.DryRun {
		return // nothing was claimed
	}
	ctx = context.WithoutCancel(ctx) // the client may be gone; the address must not be
	if failure == nil {
		a.settle(r, res)
		a.land(res.keys, res.owner)
		return
	}
	a.land(res.keys, res.owner)
	if free := a.unneeded(ctx, r, res); len(free) > 0 {
		if err := a.claims.Give(ctx, res.owner, free); err != nil {
			a.log.Warn("an address stays claimed for a while", "keys", free, "err", err)
		}
	}
}

// settle counts what a stored Service has before its watch event comes, so that
// nothing is free in between.
func (a *allocator) settle(r *Request, res *reservation) {
	s, ok := r.Object.(*corev1.Service)
	if !ok || s.Name == "" {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, ok := a.held[res.owner]; !ok {
		a.hold(s)
	}
}

// unneeded is what of a failed write's keys nobody else has under the same name:
// a Service that exists already, or another write of it.
func (a *allocator) unneeded(ctx context.Context, r *Request, res *reservation) []string {
	var have []string
	o, err := a.objects.Get(ctx, servicesResource, r.Namespace, nameOf(r), true)
	switch {
	case apierrors.IsNotFound(err):
	case err != nil:
		a.log.Warn("an address stays claimed for a while", "keys", res.keys, "err", err)
		return nil
	default:
		if s, ok := o.(*corev1.Service); ok {
			have = a.keysOf(s)
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	var free []string
	for _, k := range res.keys {
		if !slices.Contains(have, k) && a.flight[k][res.owner] == 0 {
			free = append(free, k)
		}
	}
	return free
}
