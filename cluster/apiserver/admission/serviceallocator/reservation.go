package serviceallocator

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/google/uuid"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

var errClaimed = errors.New("claimed by another")

// Reservation has the keys that one write has claimed.
type Reservation struct {
	namespace string
	owner     string
	dryRun    bool
	keys      []string
}

// NewReservation returns the reservation of a write, which claims nothing yet. The name is ""
// when it is still to be generated.
func NewReservation(namespace, name string, dryRun bool) *Reservation {
	return &Reservation{namespace: namespace, owner: namespace + "/" + cmp.Or(name, uuid.NewString()), dryRun: dryRun}
}

// claim claims a certain key for r; errClaimed if another has it.
func (a *Allocator) claim(ctx context.Context, r *Reservation, key string) error {
	if slices.Contains(r.keys, key) {
		return nil
	}
	if r.dryRun {
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.used(key) {
			return errClaimed
		}
		r.keys = append(r.keys, key)
		return nil
	}
	a.startClaim(key, r.owner)
	taken, err := a.claims.Take(ctx, r.owner, []string{key})
	if err == nil && taken == "" {
		r.keys = append(r.keys, key)
		return nil
	}
	a.endClaim([]string{key}, r.owner)
	if err != nil {
		return err
	}
	return errClaimed
}

// pick claims some free key of s for r; "" if there is none.
func (a *Allocator) pick(ctx context.Context, r *Reservation, s span) (string, error) {
	refused := map[string]bool{}
	for {
		a.mu.Lock()
		key := s.pick(func(k string) bool { return refused[k] || a.used(k) || slices.Contains(r.keys, k) })
		a.mu.Unlock()
		if key == "" {
			return "", nil
		}
		switch err := a.claim(ctx, r, key); {
		case err == nil:
			return key, nil
		case errors.Is(err, errClaimed):
			refused[key] = true
		default:
			return "", err
		}
	}
}

func (a *Allocator) startClaim(key, owner string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.inFlight[key] == nil {
		a.inFlight[key] = map[string]int{}
	}
	a.inFlight[key][owner]++
}

func (a *Allocator) endClaim(keys []string, owner string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, k := range keys {
		by := a.inFlight[k]
		if by[owner]--; by[owner] <= 0 {
			delete(by, owner)
		}
		if len(by) == 0 {
			delete(a.inFlight, k)
		}
	}
}

// Settle ends a reservation: the stored Service holds the keys, or, after a failure, they are
// released. Only the first call has an effect.
func (a *Allocator) Settle(ctx context.Context, r *Reservation, s *corev1.Service, failure error) {
	keys := r.keys
	r.keys = nil
	if r.dryRun || len(keys) == 0 {
		return // nothing was claimed
	}
	ctx = context.WithoutCancel(ctx) // the client may be gone; the address must not be
	if failure == nil {
		a.holdStored(s, r.owner)
		a.endClaim(keys, r.owner)
		return
	}
	a.endClaim(keys, r.owner)
	if free := a.unneeded(ctx, r, s, keys); len(free) > 0 {
		if err := a.claims.Give(ctx, r.owner, free); err != nil {
			a.log.Warn("an address stays claimed for a while", "keys", free, "err", err)
		}
	}
}

// holdStored counts the keys of a stored Service before its watch event arrives, so that
// nothing is free in between.
func (a *Allocator) holdStored(s *corev1.Service, owner string) {
	if s.Name == "" {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, ok := a.held[owner]; !ok {
		a.hold(s)
	}
}

// unneeded returns those keys of a failed write that nothing else of the same name has: a
// Service that exists already, or another write of it.
func (a *Allocator) unneeded(ctx context.Context, r *Reservation, s *corev1.Service, keys []string) []string {
	var have []string
	o, err := a.objects.Get(ctx, servicesResource, r.namespace, s.Name, true)
	switch {
	case apierrors.IsNotFound(err):
	case err != nil:
		a.log.Warn("an address stays claimed for a while", "keys", keys, "err", err)
		return nil
	default:
		if stored, ok := o.(*corev1.Service); ok {
			have = a.keysOf(stored)
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	var free []string
	for _, k := range keys {
		if !slices.Contains(have, k) && a.inFlight[k][r.owner] == 0 {
			free = append(free, k)
		}
	}
	return free
}
