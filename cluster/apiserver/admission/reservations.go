package admission

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"wheelhouse/cluster/quota"
)

// reservation has what one write reserves in the quotas of its namespace.
type reservation struct {
	id        string
	namespace string
	requested map[string]corev1.ResourceList // by the quota's name
	granted   []string                       // the quotas that have it
}

// exceededQuota is the refusal of a quota.
type exceededQuota struct{ error }

const (
	// releaseDelay is how long released reservations may stay in a quota; the next write to
	// the quota removes them too.
	releaseDelay = 50 * time.Millisecond
	// reserveTimeout bounds the writes that are made for several requests together.
	reserveTimeout = 10 * time.Second
)

// reservations are those in the status of quotas. Concurrent requests of one namespace share
// one write to each quota: a namespace with a quota accepts as many creates as one without,
// but for the latency of that write.
type reservations struct {
	quotas Quotas
	log    *slog.Logger
	wake   chan struct{}

	mu       sync.Mutex
	waiting  map[string][]*waiter                  // by namespace; present while one of them writes
	released map[string]map[string]map[string]bool // by namespace, quota and id
}

type waiter struct {
	*reservation
	done chan error
}

func newReservations(q Quotas, log *slog.Logger) *reservations {
	if q == nil {
		return nil
	}
	return &reservations{
		quotas: q, log: log, wake: make(chan struct{}, 1),
		waiting: map[string][]*waiter{}, released: map[string]map[string]map[string]bool{},
	}
}

// reserve returns when r is in all its quotas, or with the reason why not.
func (p *reservations) reserve(ctx context.Context, r *reservation) error {
	w := &waiter{r, make(chan error, 1)}
	p.mu.Lock()
	queue, busy := p.waiting[r.namespace]
	p.waiting[r.namespace] = append(queue, w)
	p.mu.Unlock()
	if !busy {
		go p.write(context.WithoutCancel(ctx), r.namespace)
	}
	return <-w.done // also when the client is gone: release removes what was written for it
}

// write writes the waiting reservations of a namespace until there are no more.
func (p *reservations) write(ctx context.Context, namespace string) {
	for {
		p.mu.Lock()
		batch := p.waiting[namespace]
		if len(batch) == 0 {
			delete(p.waiting, namespace)
			p.mu.Unlock()
			return
		}
		p.waiting[namespace] = []*waiter{}
		p.mu.Unlock()
		p.writeBatch(ctx, namespace, batch)
	}
}

func (p *reservations) writeBatch(ctx context.Context, namespace string, batch []*waiter) {
	ctx, cancel := context.WithTimeout(ctx, reserveTimeout)
	defer cancel()
	names := map[string]bool{}
	for _, w := range batch {
		for name := range w.requested {
			names[name] = true
		}
	}
	refused := make([]error, len(batch))
	for _, name := range slices.Sorted(maps.Keys(names)) {
		var tried []error
		err := p.quotas.Update(ctx, namespace, name, func(q *corev1.ResourceQuota) (*corev1.ResourceQuota, error) {
			tried = slices.Clone(refused)
			return p.with(q, batch, tried)
		})
		if apierrors.IsNotFound(err) {
			continue // a quota that is gone limits nothing
		}
		for i, w := range batch {
			_, requested := w.requested[name]
			switch {
			case !requested || refused[i] != nil:
			case err != nil:
				refused[i] = err
			default:
				if refused[i] = tried[i]; refused[i] == nil {
					w.granted = append(w.granted, name)
				}
			}
		}
	}
	for i, w := range batch {
		w.done <- refused[i]
	}
}

// with returns the quota with the reservations of the batch that do not exceed it.
func (p *reservations) with(q *corev1.ResourceQuota, batch []*waiter, refused []error) (*corev1.ResourceQuota, error) {
	now := time.Now()
	next := q.DeepCopy()
	if next.Status.Used == nil {
		next.Status.Used = corev1.ResourceList{}
	}
	reserved := p.open(next, now)
	fits := false
	for i, w := range batch {
		requested, ok := w.requested[q.Name]
		if !ok || refused[i] != nil {
			continue
		}
		if err := quota.Exceeded(next, requested); err != nil {
			refused[i] = &exceededQuota{err}
			continue
		}
		quota.Add(next.Status.Used, quota.Within(requested, next.Status.Hard))
		reserved[w.id] = quota.Reservation{At: now.Unix(), Used: requested}
		fits = true
	}
	if !fits {
		return nil, nil
	}
	return next, reserved.Set(next)
}

// open returns the reservations of a quota without those that were released here.
func (p *reservations) open(q *corev1.ResourceQuota, now time.Time) quota.Reservations {
	reserved := quota.Reserved(q, now)
	p.mu.Lock()
	defer p.mu.Unlock()
	released := p.released[q.Namespace][q.Name]
	maps.DeleteFunc(reserved, func(id string, _ quota.Reservation) bool { return released[id] })
	return reserved
}

// release ends a reservation: what is used is now counted by the objects.
func (p *reservations) release(w *reservation) {
	if w == nil || len(w.granted) == 0 {
		return
	}
	p.mu.Lock()
	for _, name := range w.granted {
		if p.released[w.namespace] == nil {
			p.released[w.namespace] = map[string]map[string]bool{}
		}
		if p.released[w.namespace][name] == nil {
			p.released[w.namespace][name] = map[string]bool{}
		}
		p.released[w.namespace][name][w.id] = true
	}
	p.mu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// run removes released reservations from the quotas until ctx ends.
func (p *reservations) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-p.wake:
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(releaseDelay):
		}
		if err := p.flush(ctx); err != nil && ctx.Err() == nil {
			p.log.Warn("removing released reservations from quotas; retrying", "err", err)
			select {
			case p.wake <- struct{}{}:
			default:
			}
		}
	}
}

func (p *reservations) flush(ctx context.Context) error {
	p.mu.Lock()
	var todo []string
	for namespace, quotas := range p.released {
		for name := range quotas {
			todo = append(todo, namespace+"/"+name)
		}
	}
	p.mu.Unlock()
	for _, key := range todo {
		namespace, name, _ := strings.Cut(key, "/")
		if err := p.clear(ctx, namespace, name); err != nil {
			return err
		}
	}
	return nil
}

// clear removes the reservations of one quota that are released when it starts: those which
// are released meanwhile may still be in what it writes.
func (p *reservations) clear(ctx context.Context, namespace, name string) error {
	p.mu.Lock()
	before := maps.Clone(p.released[namespace][name])
	p.mu.Unlock()
	err := p.quotas.Update(ctx, namespace, name, func(q *corev1.ResourceQuota) (*corev1.ResourceQuota, error) {
		if q.Annotations[quota.ReservedAnnotation] == "" {
			return nil, nil
		}
		next := q.DeepCopy()
		return next, p.open(next, time.Now()).Set(next)
	})
	if err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	released := p.released[namespace][name]
	maps.DeleteFunc(released, func(id string, _ bool) bool { return before[id] })
	if len(released) == 0 {
		delete(p.released[namespace], name)
	}
	if len(p.released[namespace]) == 0 {
		delete(p.released, namespace)
	}
	return nil
}
