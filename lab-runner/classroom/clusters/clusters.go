// Package clusters gives each learner of a class a cluster of their own, whose administrator they are: made when they join,
// removed when they leave. Ready ones are kept for those who come next.
//
// Which cluster is whose is kept in the API of the class's own cluster, in one ConfigMap, and nowhere else: a process that was
// killed is replaced by one that finds all of it. A cluster that is nobody's is removed. One process serves a class; another
// may remove learners at the same time.
//
// What a learner's API answers is hostile: each answer is bounded in time, none is followed to another address, and a cluster
// that does not answer keeps nobody else waiting. That the cluster itself is bounded and leads nowhere is the Maker's part.
package clusters

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/retry"

	"wheelhouse/lab-runner/classroom/workbench"
)

// Maker makes clusters, each for an administrator who is not trusted. It is called for several names at once, but for one
// name once at a time.
type Maker interface {
	// Up makes the cluster, or starts what is missing of it, and returns an administrator's way to it.
	Up(ctx context.Context, name string) (*rest.Config, error)
	// Down removes the cluster, and whatever there is of it.
	Down(ctx context.Context, name string) error
	// Names lists the clusters of this class that there is something of.
	Names() ([]string, error)
}

// Config is what a Pool needs.
type Config struct {
	Client    kubernetes.Interface // of the class's cluster
	Namespace string               // of the class
	Maker     Maker
	Prefix    string          // of the names of clusters, at most 24 characters
	Spare     int             // clusters that are kept ready
	Most      int             // clusters of the class, ready ones included; 0: any number
	Room      func() error    // why this machine has no room for a further one, in a sentence for the learner; nil: it has
	Known     func() []string // the learners of the class; nil: no learner's cluster is removed
	Gives     []string        // requirements of labs that such a cluster meets
	Image     string          // of workbenches; empty: workbench.Image
	Log       *slog.Logger
}

// bench is the workbench in a cluster: a *workbench.Manager.
type bench interface {
	Ensure(ctx context.Context, l workbench.Learner) error
	Terminal(ctx context.Context, l workbench.Learner, t workbench.Terminal) error
	Desk(ctx context.Context, l workbench.Learner, in io.Reader, out io.Writer) error
}

// making bounds the clusters that are made or removed at once: each takes a processor for seconds.
const making = 2

// Pool has the clusters of a class. Make it with New. Its methods are safe for concurrent use.
type Pool struct {
	cfg    Config
	open   func(*rest.Config) (bench, error)
	slots  chan struct{}
	refill chan struct{}

	mu      sync.Mutex
	locks   map[string]*sync.Mutex // by cluster
	benches map[string]bench       // by cluster, of those that were up in this process
	owners  map[string]string      // the learner of a cluster, "" for one that is ready for the next; as read last
}

// New returns the pool. It makes and removes nothing; Run does.
func New(cfg Config) *Pool {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	open := func(rc *rest.Config) (bench, error) {
		return workbench.New(workbench.Config{REST: rc, Image: cfg.Image, Administrator: true, Gives: cfg.Gives})
	}
	return &Pool{
		cfg: cfg, open: open, slots: make(chan struct{}, making), refill: make(chan struct{}, 1),
		locks: map[string]*sync.Mutex{}, benches: map[string]bench{}, owners: map[string]string{},
	}
}

// object is the name of the ConfigMap: its keys are clusters, its values learners.
const object = "clusters"

// update changes which cluster is whose.
func (p *Pool) update(ctx context.Context, change func(owners map[string]string)) error {
	stored := p.cfg.Client.CoreV1().ConfigMaps(p.cfg.Namespace)
	return retry.OnError(retry.DefaultBackoff, func(err error) bool { return apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) }, func() error {
		found, err := stored.Get(ctx, object, metav1.GetOptions{})
		absent := apierrors.IsNotFound(err)
		if absent {
			found, err = &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: object}}, nil
		}
		if err != nil {
			return fmt.Errorf("which cluster is whose: %w", err)
		}
		next := maps.Clone(found.Data)
		if next == nil {
			next = map[string]string{}
		}
		change(next)
		if !maps.Equal(next, found.Data) {
			found.Data = next
			if absent {
				_, err = stored.Create(ctx, found, metav1.CreateOptions{})
			} else {
				_, err = stored.Update(ctx, found, metav1.UpdateOptions{})
			}
		}
		if err == nil {
			p.mu.Lock()
			p.owners = next
			p.mu.Unlock()
		}
		return err
	})
}

// clusterOf returns the learner's cluster, or "".
func clusterOf(owners map[string]string, id string) string {
	for name, owner := range owners {
		if owner == id {
			return name
		}
	}
	return ""
}

var errNobody = errors.New("a learner without an ID has no cluster")

// free returns a cluster for the next learner, one that is up if there is one, or "".
func (p *Pool) free(owners map[string]string) (name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for n, owner := range owners {
		if owner == "" && (name == "" || p.benches[n] != nil) {
			name = n
		}
	}
	return name
}

// room returns why no further cluster is made.
func (p *Pool) room() error {
	if p.cfg.Room == nil {
		return nil
	}
	if err := p.cfg.Room(); err != nil {
		return workbench.Refusal(err.Error())
	}
	return nil
}

// Admit returns why there is no cluster for a further learner now, in a sentence; nil: there is.
func (p *Pool) Admit() error {
	p.mu.Lock()
	owners := maps.Clone(p.owners)
	p.mu.Unlock()
	if p.free(owners) != "" {
		return nil
	}
	return p.room()
}

// newName returns a name that no cluster has had.
func (p *Pool) newName() string { return p.cfg.Prefix + strings.ToLower(rand.Text()[:6]) }

// lock is held by what changes the cluster. Nobody who waits for it keeps others from the pool.
func (p *Pool) lock(name string) *sync.Mutex {
	p.mu.Lock()
	l := p.locks[name]
	if l == nil {
		l = &sync.Mutex{}
		p.locks[name] = l
	}
	p.mu.Unlock()
	l.Lock()
	return l
}

// slot waits until few clusters are made or removed at once.
func (p *Pool) slot(ctx context.Context) (release func(), err error) {
	select {
	case p.slots <- struct{}{}:
		return func() { <-p.slots }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// up starts a cluster and returns the manager of its workbench.
func (p *Pool) up(ctx context.Context, name string) (bench, error) {
	release, err := p.slot(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	rc, err := p.cfg.Maker.Up(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("the cluster %s: %w", name, err)
	}
	m, err := p.open(rc)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.benches[name] = m
	return m, nil
}

func (p *Pool) bench(name string) bench {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.benches[name]
}

// answering bounds what a learner's API may take for a workbench. A ready cluster takes about a second.
const answering = time.Minute

// Ensure gives the learner a cluster, or starts what is missing of theirs, and returns when their workbench is ready.
func (p *Pool) Ensure(ctx context.Context, l workbench.Learner) error {
	if l.ID == "" {
		return errNobody
	}
	var name string
	var full error
	err := p.update(ctx, func(owners map[string]string) {
		full = nil
		if name = clusterOf(owners, l.ID); name != "" {
			return
		}
		if name = p.free(owners); name == "" {
			if full = p.room(); full != nil {
				return
			}
			name = p.newName()
		}
		owners[name] = l.ID
	})
	if err := errors.Join(err, full); err != nil {
		return err
	}
	p.wake()
	defer p.lock(name).Unlock()
	if m := p.bench(name); m != nil {
		if err = p.ensure(ctx, m, l); err == nil {
			return nil
		}
		p.cfg.Log.Info("a learner's cluster is looked at", "cluster", name, "err", err)
	}
	m, err := p.up(ctx, name)
	if err != nil {
		return err
	}
	return p.ensure(ctx, m, l)
}

func (p *Pool) ensure(ctx context.Context, m bench, l workbench.Learner) error {
	ctx, cancel := context.WithTimeout(ctx, answering)
	defer cancel()
	return m.Ensure(ctx, l)
}

// Remove removes the learner's cluster and all that is in it. That there is none is no error.
func (p *Pool) Remove(ctx context.Context, l workbench.Learner) error {
	if l.ID == "" {
		return errNobody
	}
	var name string
	if err := p.update(ctx, func(owners map[string]string) { name = clusterOf(owners, l.ID) }); err != nil || name == "" {
		return err
	}
	if err := p.down(ctx, name); err != nil {
		return err
	}
	return p.update(ctx, func(owners map[string]string) { delete(owners, name) })
}

// down removes a cluster.
func (p *Pool) down(ctx context.Context, name string) error {
	defer p.lock(name).Unlock()
	release, err := p.slot(ctx)
	if err != nil {
		return err
	}
	defer release()
	p.mu.Lock()
	delete(p.benches, name)
	p.mu.Unlock()
	if err := p.cfg.Maker.Down(ctx, name); err != nil {
		return fmt.Errorf("removing the cluster %s: %w", name, err)
	}
	return nil
}

// RemoveAll removes all clusters of the class, whoever they are of.
func (p *Pool) RemoveAll(ctx context.Context) error {
	names, err := p.cfg.Maker.Names()
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range names {
		errs = append(errs, p.down(ctx, name))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return p.update(ctx, func(owners map[string]string) { clear(owners) })
}

// tidying is how often it is looked for what is nobody's: another process may have removed a learner.
const tidying = time.Minute

// Run removes what is nobody's and keeps clusters ready, one after the other, until ctx is done.
func (p *Pool) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		wait := tidying
		if err := errors.Join(p.tidy(ctx), p.spare(ctx)); err != nil && ctx.Err() == nil {
			p.cfg.Log.Warn("keeping clusters ready; it is tried again", "err", err)
			wait = 10 * time.Second
		}
		select {
		case <-ctx.Done():
		case <-p.refill:
		case <-time.After(wait):
		}
	}
	return ctx.Err()
}

func (p *Pool) wake() {
	select {
	case p.refill <- struct{}{}:
	default:
	}
}

// tidy removes the clusters of learners who are not in the class any more, and those that are nobody's.
func (p *Pool) tidy(ctx context.Context) error {
	if p.cfg.Known == nil {
		return nil
	}
	names, err := p.cfg.Maker.Names()
	if err != nil {
		return err
	}
	var owners map[string]string
	if err := p.update(ctx, func(now map[string]string) { owners = maps.Clone(now) }); err != nil {
		return err
	}
	known := p.cfg.Known() // after the owners: who has a cluster has joined
	var errs []error
	for name, id := range owners {
		if id != "" && !slices.Contains(known, id) {
			errs = append(errs, p.Remove(ctx, workbench.Learner{ID: id}))
		} else if id == "" && !slices.Contains(names, name) {
			errs = append(errs, p.update(ctx, func(now map[string]string) {
				if now[name] == "" {
					delete(now, name)
				}
			}))
		}
	}
	for _, name := range names {
		if _, ok := owners[name]; !ok && p.unclaimed(name) {
			errs = append(errs, p.down(ctx, name))
		}
	}
	return errors.Join(errs...)
}

// unclaimed reports whether nobody has got the cluster meanwhile.
func (p *Pool) unclaimed(name string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, ok := p.owners[name]
	return !ok
}

// spare makes clusters until as many are ready as shall be. One counts when it is up.
func (p *Pool) spare(ctx context.Context) error {
	for ctx.Err() == nil {
		p.mu.Lock()
		ready, all, cold := 0, len(p.owners), ""
		for name, owner := range p.owners {
			if owner == "" && p.benches[name] == nil {
				cold = name // of an earlier process: it runs, or a reboot has ended it
			} else if owner == "" {
				ready++
			}
		}
		p.mu.Unlock()
		if cold != "" {
			if err := p.start(ctx, cold); err != nil {
				return err
			}
			continue
		}
		if ready >= p.cfg.Spare || p.cfg.Most > 0 && all >= p.cfg.Most {
			return nil
		}
		if err := p.room(); err != nil {
			p.cfg.Log.Debug("no further cluster is kept ready", "err", err)
			return nil
		}
		name := p.newName()
		if err := p.start(ctx, name); err != nil {
			return errors.Join(err, p.down(ctx, name))
		}
		if err := p.update(ctx, func(owners map[string]string) { owners[name] = "" }); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (p *Pool) start(ctx context.Context, name string) error {
	defer p.lock(name).Unlock()
	_, err := p.up(ctx, name)
	return err
}
