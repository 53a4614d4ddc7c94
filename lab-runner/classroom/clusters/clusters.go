// Package clusters gives each learner of a class a cluster of their own, whose administrator they are: made when they join,
// removed when they leave. Ready ones are kept for those who come next.
//
// Which cluster is whose is kept in the API of the class's own cluster, in one ConfigMap (owners.go): a process that was
// killed is replaced by one that finds all of it. That a cluster was given to a learner is also recorded with the cluster
// itself, so that an older state of that API gives it to nobody else. A cluster that is nobody's is removed, and one that is
// being made or removed is marked before, so that what was interrupted is found. One process serves a class; another
// may remove learners at the same time.
//
// What a learner's API answers is hostile: each answer is bounded in time and length, none is followed to another address, and a
// cluster that does not answer keeps nobody else waiting: clusters are made, repaired and removed in slots apart, and a repair
// has little time and grows rarer. That the cluster itself is bounded and leads nowhere is the Maker's part.
package clusters

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"
	"unicode"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"wheelhouse/lab-runner/classroom/workbench"
)

// Maker makes clusters, each for an administrator who is not trusted. It is called for several names at once, but for one
// name once at a time. It has a method for each step of a cluster's life.
type Maker interface {
	// Up makes the cluster, or starts what is missing of it, and returns an administrator's way to it.
	Up(ctx context.Context, name string) (*rest.Config, error)
	// Open returns an administrator's way to a cluster all of whose processes run, and an error for any other. It asks the
	// cluster for nothing.
	Open(name string) (*rest.Config, error)
	// Give records durably that the cluster, which exists, is the learner's. The error is ErrGiven for one that was given to
	// another, by whatever process.
	Give(name, learner string) error
	// Down removes the cluster, and whatever there is of it.
	Down(ctx context.Context, name string) error
	// Names lists the clusters of this class that there is something of, and whom each was given to; "" is nobody.
	Names() (map[string]string, error)
}

// ErrGiven is the error of a cluster that was given to another learner.
var ErrGiven = errors.New("the cluster was given to another learner")

// Config is what a Pool needs.
type Config struct {
	Client    kubernetes.Interface // of the class's cluster
	Namespace string               // of the class
	Maker     Maker
	Prefix    string // of the names of clusters, at most 24 characters
	Spare     int    // clusters that are kept ready
	Most      int    // clusters of the class, ready ones included; 0: any number
	// Room returns why this machine has no room for a further cluster, in a sentence for the learner; nil: it has. pending are
	// the clusters that are promised and that the machine's figures do not show yet.
	Room  func(pending int) error
	Known func() []string // the learners of the class; nil: all are, and no learner's cluster is removed
	Gives []string        // requirements of labs that such a cluster meets
	Image string          // of workbenches; empty: workbench.Image
	Log   *slog.Logger
}

// bench is the workbench in a cluster: a *workbench.Manager.
type bench interface {
	Ensure(ctx context.Context, l workbench.Learner) error
	Terminal(ctx context.Context, l workbench.Learner, t workbench.Terminal) error
	Desk(ctx context.Context, l workbench.Learner, in io.Reader, out io.Writer) error
}

// Clusters that are made, repaired and removed at once: each takes a processor for seconds. They are bounded apart, since how
// long a repair and a removal take is in the learner's hands.
const (
	making    = 2
	repairing = 1
	removing  = 2
)

// Pool has the clusters of a class. Make it with New. Its methods are safe for concurrent use.
type Pool struct {
	cfg                                 Config
	open                                func(*rest.Config) (bench, error)
	making, repairing, removing, writes slots
	refill                              chan struct{}
	removals                            sync.WaitGroup // those of tidy
	admitting                           sync.Mutex     // held by Admit

	mu       sync.Mutex
	locks    map[string]*nameLock // by cluster
	work     map[string]int       // by cluster: what makes or removes it here
	benches  map[string]bench     // by cluster, of those that were up in this process
	owners   map[string]string    // as read last
	pending  map[string]bool      // clusters that are being made for a learner: the machine's figures do not show them yet
	admitted []time.Time          // learners for whom there was a place, and who have no cluster yet
	failures map[string]int       // by cluster, of ready ones that did not start
	repairs  map[string]repair    // by cluster
	flights  map[string]*flight   // by learner
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
		cfg: cfg, open: open, refill: make(chan struct{}, 1),
		making: make(slots, making), repairing: make(slots, repairing), removing: make(slots, removing), writes: make(slots, 1),
		locks: map[string]*nameLock{}, work: map[string]int{}, benches: map[string]bench{}, owners: map[string]string{},
		pending: map[string]bool{}, failures: map[string]int{}, repairs: map[string]repair{}, flights: map[string]*flight{},
	}
}

// tidying is how often it is looked for what is nobody's: another process may have removed a learner.
const tidying = time.Minute

// Run removes what is nobody's and keeps clusters ready until ctx is done. Where it cannot be read which cluster is whose, none
// is made.
func (p *Pool) Run(ctx context.Context) error {
	defer p.removals.Wait()
	for ctx.Err() == nil {
		wait := tidying
		err := p.tidy(ctx)
		if err == nil {
			err = p.spare(ctx)
		}
		if err != nil && ctx.Err() == nil {
			p.cfg.Log.Warn("keeping clusters ready; it is tried again", "err", short(err))
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

// make makes a cluster, in one of the slots for that.
func (p *Pool) make(ctx context.Context, name string) (bench, error) {
	release, err := p.making.take(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	return p.up(ctx, name)
}

// up starts what is missing of a cluster and returns the manager of its workbench. The caller has a slot.
func (p *Pool) up(ctx context.Context, name string) (bench, error) {
	rc, err := p.cfg.Maker.Up(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("the cluster %s: %w", name, err)
	}
	p.mu.Lock()
	delete(p.benches, name) // of what may have been another cluster
	p.mu.Unlock()
	return p.opened(name, rc)
}

// opened returns the manager of the workbench of a cluster that is up.
func (p *Pool) opened(name string, rc *rest.Config) (bench, error) {
	p.mu.Lock()
	m := p.benches[name]
	p.mu.Unlock()
	if m != nil {
		return m, nil
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

// forget drops what this process has of a cluster that is gone.
func (p *Pool) forget(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.benches, name)
	delete(p.failures, name)
	delete(p.repairs, name)
}

// mostText is how many characters of an error are passed on: its text may be a learner's.
const mostText = 300

// bounded is an error whose text is one line of at most mostText characters.
type bounded struct{ of error }

// short bounds the text of an error; what it wraps is still found.
func short(err error) error {
	if err == nil {
		return nil
	}
	return bounded{err}
}

func (b bounded) Unwrap() error { return b.of }

// Error implements error.
func (b bounded) Error() string {
	text := b.of.Error()
	text = text[:min(len(text), 8*mostText)]
	text = strings.Join(strings.FieldsFunc(strings.ToValidUTF8(text, "?"), func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }), " ")
	if r := []rune(text); len(r) > mostText {
		text = string(r[:mostText]) + "..."
	}
	return text
}
