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

// place is what one write reserves in the quotas of its namespace.
type place struct {
	id        string
	namespace string
	asked     map[string]corev1.ResourceList // by the quota's name
	got       []string                       // the quotas that have it
}

// doesNotFit is a quota's refusal.
type doesNotFit struct{ error }

const (
	// settleAfter is how long the reservations of writes that have ended may stay; the
	// next write to the quota takes them along.
	settleAfter = 50 * time.Millisecond
	// placeTimeout bounds the writes that are made for several requests together.
	placeTimeout = 10 * time.Second
)

// places reserves. Requests of one namespace that come together share one write to
// each quota: a namespace with a quota takes as many creates as one without, but for
// the wait for that write.
type places struct {
	quotas Quotas
	log    *slog.Logger
	wake   chan struct{}

	mu      sync.Mutex
	waiting map[string][]*waiter                  // by namespace; present while one of them writes
	settled map[string]map[string]map[string]bool // by namespace, quota and id: writes that have ended
}

type waiter struct {
	*place
	done chan error
}

func newPlaces(q Quotas, log *slog.Logger) *places {
	if q == nil {
		return nil
	}
	return &places{
		quotas: q, log: log, wake: make(chan struct{}, 1),
		waiting: map[string][]*waiter{}, settled: map[string]map[string]map[string]bool{},
	}
}

// reserve returns when the place is in all its quotas, or the reason why not.
func (p *places) reserve(ctx context.Context, wanted *place) error {
	w := &waiter{wanted, make(chan error, 1)}
	p.mu.Lock()
	queue, busy := p.waiting[wanted.namespace]
	p.waiting[wanted.namespace] = append(queue, w)
	p.mu.Unlock()
	if !busy {
		go p.write(context.WithoutCancel(ctx), wanted.namespace)
	}
	return <-w.done // also for a client that went away: what was written for it is settled by Done
}

// write serves those that wait in a namespace until there are no more.
func (p *places) write(ctx context.Context, namespace string) {
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
		p.serve(ctx, namespace, batch)
	}
}

func (p *places) serve(ctx context.Context, namespace string, batch []*waiter) {
	ctx, cancel := context.WithTimeout(ctx, placeTimeout)
	defer cancel()
	names := map[string]bool{}
	for _, w := range batch {
		for name := range w.asked {
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
			_, asked := w.asked[name]
			switch {
			case !asked || refused[i] != nil:
			case err != nil:
				refused[i] = err
			default:
				if refused[i] = tried[i]; refused[i] == nil {
					w.got = append(w.got, name)
				}
			}
		}
	}
	for i, w := range batch {
		w.done <- refused[i]
	}
}

// with is a quota with the places of all in the batch that fit.
func (p *places) with(q *corev1.ResourceQuota, batch []*waiter, refused []error) (*corev1.ResourceQuota, error) {
	now := time.Now()
	next := q.DeepCopy()
	if next.Status.Used == nil {
		next.Status.Used = corev1.ResourceList{}
	}
	reserved := p.open(next, now)
	fits := false
	for i, w := range batch {
		asked, ok := w.asked[q.Name]
		if !ok || refused[i] != nil {
			continue
		}
		if err := quota.Exceeded(next, asked); err != nil {
			refused[i] = &doesNotFit{err}
			continue
		}
		quota.Add(next.Status.Used, quota.Within(asked, next.Status.Hard))
		reserved[w.id] = quota.Reservation{At: now.Unix(), Used: asked}
		fits = true
	}
	if !fits {
		return nil, nil
	}
	return next, reserved.Set(next)
}

// open are the quota's reservations without those that have ended here.
func (p *places) open(q *corev1.ResourceQuota, now time.Time) quota.Reservations {
	reserved := quota.Reserved(q, now)
	p.mu.Lock()
	defer p.mu.Unlock()
	ended := p.settled[q.Namespace][q.Name]
	maps.DeleteFunc(reserved, func(id string, _ quota.Reservation) bool { return ended[id] })
	return reserved
}

// settle notes that a write has ended: the objects now tell what is used.
func (p *places) settle(w *place) {
	if w == nil || len(w.got) == 0 {
		return
	}
	p.mu.Lock()
	for _, name := range w.got {
		if p.settled[w.namespace] == nil {
			p.settled[w.namespace] = map[string]map[string]bool{}
		}
		if p.settled[w.namespace][name] == nil {
			p.settled[w.namespace][name] = map[string]bool{}
		}
		p.settled[w.namespace][name][w.id] = true
	}
	p.mu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// run takes the reservations of writes that have ended out of the quotas.
func (p *places) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-p.wake:
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(settleAfter):
		}
		if err := p.flush(ctx); err != nil && ctx.Err() == nil {
			p.log.Warn("taking ended reservations out of quotas; trying again", "err", err)
			select {
			case p.wake <- struct{}{}:
			default:
			}
		}
	}
}

func (p *places) flush(ctx context.Context) error {
	p.mu.Lock()
	var todo []string
	for namespace, quotas := range p.settled {
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

// clear forgets what was settled before it began: what is settled meanwhile may not be
// in what it wrote.
func (p *places) clear(ctx context.Context, namespace, name string) error {
	p.mu.Lock()
	before := maps.Clone(p.settled[namespace][name])
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
	ended := p.settled[namespace][name]
	maps.DeleteFunc(ended, func(id string, _ bool) bool { return before[id] })
	if len(ended) == 0 {
		delete(p.settled[namespace], name)
	}
	if len(p.settled[namespace]) == 0 {
		delete(p.settled, namespace)
	}
	return nil
}
