// Package loop runs the body of a controller: a queue of keys, some workers, and
// what every controller must do about errors.
//
// A controller gives a Reconcile function that takes a key, reads the present
// state and brings the world one step nearer to what is wanted. It may be called
// at any time, any number of times, but never twice at once for one key. An error
// it returns is logged here, once, and the key comes back with growing delay. A
// conflict means that someone else wrote first: the key comes back silently.
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
	// keepTimes bounds the memory that coalescing takes.
	keepTimes = 1024
)

// Config describes a loop.
type Config[K comparable] struct {
	Name      string
	Workers   int
	Reconcile func(ctx context.Context, key K) error
	Log       *slog.Logger
	// Period is the least time between two reconciles of one key that AddSoon
	// asks for; zero means that AddSoon is Add.
	Period time.Duration
}

// Loop is a queue of keys with workers. Make it with New.
type Loop[K comparable] struct {
	Config[K]
	queue  workqueue.TypedRateLimitingInterface[K]
	synced []cache.InformerSynced
	ready  atomic.Bool
	busy   []atomic.Int64 // per worker: start of the present Reconcile, unix nanoseconds

	mu   sync.Mutex
	last map[K]time.Time
}

// New makes a loop; nothing runs before Run.
func New[K comparable](c Config[K]) *Loop[K] {
	if c.Workers == 0 {
		c.Workers = 2
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	limiter := workqueue.NewTypedItemExponentialFailureRateLimiter[K](firstRetry, lastRetry)
	return &Loop[K]{
		Config: c,
		queue:  workqueue.NewTypedRateLimitingQueue[K](limiter),
		busy:   make([]atomic.Int64, c.Workers),
		last:   map[K]time.Time{},
	}
}

// Add asks for a reconcile of key.
func (l *Loop[K]) Add(key K) { l.queue.Add(key) }

// AddAfter asks for a reconcile of key when d has passed.
func (l *Loop[K]) AddAfter(key K, d time.Duration) { l.queue.AddAfter(key, d) }

// AddSoon asks for a reconcile of key: at once if the last one is at least Period
// ago, else when it is. A thousand changes in a moment so become few writes, and
// a single change does not wait.
func (l *Loop[K]) AddSoon(key K) {
	l.mu.Lock()
	wait := l.Period - time.Since(l.last[key])
	l.mu.Unlock()
	if wait <= 0 {
		l.queue.Add(key)
		return
	}
	l.queue.AddAfter(key, wait)
}

// On calls the handlers for each change that the informer sees. Run waits until
// they have seen all that existed at the start. A nil handler means "no interest".
func (l *Loop[K]) On(informer cache.SharedIndexInformer, h cache.ResourceEventHandler) error {
	reg, err := informer.AddEventHandler(h)
	if err != nil {
		return fmt.Errorf("%s: watch: %w", l.Name, err)
	}
	l.synced = append(l.synced, reg.HasSynced)
	return nil
}

// Need makes Run wait for an informer that Reconcile reads but whose changes do
// not matter.
func (l *Loop[K]) Need(informer cache.SharedIndexInformer) {
	l.synced = append(l.synced, informer.HasSynced)
}

// Run waits for the informers, then works until ctx ends.
func (l *Loop[K]) Run(ctx context.Context) error {
	defer l.queue.ShutDown()
	if !cache.WaitForCacheSync(ctx.Done(), l.synced...) {
		return nil
	}
	l.ready.Store(true)
	defer l.ready.Store(false)
	var workers sync.WaitGroup
	for i := range l.Workers {
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

// Healthy says why the loop does not work, or nil.
func (l *Loop[K]) Healthy() error {
	if !l.ready.Load() {
		return fmt.Errorf("%s: waiting for its caches", l.Name)
	}
	for i := range l.busy {
		if start := l.busy[i].Load(); start != 0 && time.Since(time.Unix(0, start)) > stuckAfter {
			return fmt.Errorf("%s: one item has taken more than %v", l.Name, stuckAfter)
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
	l.began(key)
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
		l.Log.Warn("reconcile failed, trying again", "key", fmt.Sprint(key), "error", err)
		l.queue.AddRateLimited(key)
	}
	return true
}

// once turns a panic into an error: one bad object must not end all controllers.
func (l *Loop[K]) once(ctx context.Context, key K) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return l.Reconcile(ctx, key)
}

func (l *Loop[K]) began(key K) {
	if l.Period == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if len(l.last) > keepTimes {
		for k, t := range l.last {
			if now.Sub(t) > l.Period {
				delete(l.last, k)
			}
		}
	}
	l.last[key] = now
}
