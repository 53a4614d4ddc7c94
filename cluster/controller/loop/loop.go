// Package loop runs the reconcile loop of a controller: a queue of keys, workers, retries
// and health. It also holds what every controller is given (Shared) and the small
// functions by which controllers read informers' caches.
//
// Reconcile takes a key, reads the present state and makes one step towards the desired
// state. It may be called at any time, any number of times, but never concurrently for
// one key. An error that it returns is logged here, once, and the key is requeued with
// exponential backoff. A conflict means that another client wrote first: the key is
// requeued without a log line.
package loop

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
)

const (
	firstRetry = 5 * time.Millisecond
	lastRetry  = time.Minute
	// stuckAfter is when one Reconcile that does not return makes the controller unhealthy.
	stuckAfter = 2 * time.Minute
	// keepTimes bounds the memory that debouncing takes.
	keepTimes = 1024
)

// Config describes a loop.
type Config[K comparable] struct {
	Name      string
	Workers   int
	Reconcile func(ctx context.Context, key K) error
	Log       *slog.Logger
	// Period is the minimum time between two reconciles of one key that AddSoon
	// requests; zero means that AddSoon is Add.
	Period time.Duration
}

// Loop is a queue of keys with workers. Make it with New.
type Loop[K comparable] struct {
	config Config[K]
	queue  workqueue.TypedRateLimitingInterface[K]
	synced []cache.InformerSynced
	ready  atomic.Bool
	busy   []atomic.Int64 // per worker: start of the present Reconcile, unix nanoseconds

	mu   sync.Mutex
	last map[K]time.Time
}

// New returns a loop; nothing runs before Run.
func New[K comparable](c Config[K]) *Loop[K] {
	if c.Workers == 0 {
		c.Workers = 2
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	limiter := workqueue.NewTypedItemExponentialFailureRateLimiter[K](firstRetry, lastRetry)
	return &Loop[K]{
		config: c,
		queue:  workqueue.NewTypedRateLimitingQueueWithConfig(limiter, workqueue.TypedRateLimitingQueueConfig[K]{Name: c.Name, Clock: gaugeClock{}}),
		busy:   make([]atomic.Int64, c.Workers),
		last:   map[K]time.Time{},
	}
}

// Add requests a reconcile of key.
func (l *Loop[K]) Add(key K) { l.queue.Add(key) }

// AddAfter requests a reconcile of key when d has passed.
func (l *Loop[K]) AddAfter(key K, d time.Duration) { l.queue.AddAfter(key, d) }

// AddSoon requests a reconcile of key, debounced: at once if the last one is at least Period
// ago, else when it is. A thousand changes at once become few writes, and a single
// change is not delayed.
func (l *Loop[K]) AddSoon(key K) {
	l.mu.Lock()
	wait := l.config.Period - time.Since(l.last[key])
	l.mu.Unlock()
	if wait <= 0 {
		l.queue.Add(key)
		return
	}
	l.queue.AddAfter(key, wait)
}

// On adds the handler to the informer. Run waits until it was called for all objects that
// existed at the start.
func (l *Loop[K]) On(informer cache.SharedIndexInformer, h cache.ResourceEventHandler) error {
	reg, err := informer.AddEventHandler(h)
	if err != nil {
		return fmt.Errorf("%s: watch: %w", l.config.Name, err)
	}
	l.synced = append(l.synced, reg.HasSynced)
	return nil
}

// Need makes Run wait for informers that Reconcile reads but whose changes do not matter.
func (l *Loop[K]) Need(informers ...cache.SharedIndexInformer) {
	for _, i := range informers {
		l.synced = append(l.synced, i.HasSynced)
	}
}

// Run waits for the informers, then reconciles until ctx ends.
func (l *Loop[K]) Run(ctx context.Context) error {
	defer l.queue.ShutDown()
	if !cache.WaitForCacheSync(ctx.Done(), l.synced...) {
		return nil
	}
	l.ready.Store(true)
	defer l.ready.Store(false)
	var workers sync.WaitGroup
	for i := range l.config.Workers {
		workers.Go(func() {
			for l.next(ctx, &l.busy[i]) {
			}
		})
	}
	<-ctx.Done()
	l.queue.ShutDown()
	workers.Wait()
	return nil
}

// Healthy returns why the loop does not work, or nil.
func (l *Loop[K]) Healthy() error {
	if !l.ready.Load() {
		return fmt.Errorf("%s: informers have not synced", l.config.Name)
	}
	for i := range l.busy {
		if start := l.busy[i].Load(); start != 0 && time.Since(time.Unix(0, start)) > stuckAfter {
			return fmt.Errorf("%s: one reconcile has taken more than %v", l.config.Name, stuckAfter)
		}
	}
	return nil
}

func (l *Loop[K]) next(ctx context.Context, busy *atomic.Int64) bool {
	key, stop := l.queue.Get()
	if stop {
		return false
	}
	defer l.queue.Done(key)
	l.started(key)
	busy.Store(time.Now().UnixNano())
	err := l.once(ctx, key)
	busy.Store(0)
	switch {
	case err == nil:
		l.queue.Forget(key)
	case ctx.Err() != nil:
	case apierrors.IsConflict(err):
		l.queue.AddRateLimited(key)
	default:
		l.config.Log.Warn("reconcile failed, will retry", "key", fmt.Sprint(key), "err", err)
		l.queue.AddRateLimited(key)
	}
	return true
}

// once turns a panic into an error: one object must not stop all controllers.
func (l *Loop[K]) once(ctx context.Context, key K) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return l.config.Reconcile(ctx, key)
}

func (l *Loop[K]) started(key K) {
	if l.config.Period == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if len(l.last) > keepTimes {
		for k, t := range l.last {
			if now.Sub(t) > l.config.Period {
				delete(l.last, k)
			}
		}
	}
	l.last[key] = now
}
