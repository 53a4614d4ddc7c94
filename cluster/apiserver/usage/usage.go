// Package usage is what containers and nodes use of processor and memory, by the word
// of the kubelets.
//
// Nothing is kept but the last two answers of each kubelet, and kubelets are asked only
// while somebody wants to know: a cluster where nobody runs `kubectl top`, or scales by
// what is used, pays nothing. Processor time is a counter, so that a rate needs two
// answers; the first who asks waits for them.
package usage

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
)

const (
	// DefaultFresh is how long an answer of the kubelets is good enough.
	DefaultFresh = 5 * time.Second
	// stale is when an answer is too old to be the beginning of a rate: what was used
	// since then says little about now.
	stale = time.Minute
	// apart is the time between two answers when there is none to begin with.
	apart = time.Second
	// patience is how long one kubelet may take.
	patience = 5 * time.Second
	// atOnce is how many kubelets are asked at a time.
	atOnce = 32
)

// Config is what a Collector needs.
type Config struct {
	// Nodes are those to ask.
	Nodes func(ctx context.Context) ([]*corev1.Node, error)
	// Ask gets the answer of a node's kubelet; see Parse.
	Ask   func(ctx context.Context, node *corev1.Node) (*Answer, error)
	Fresh time.Duration // 0 is DefaultFresh
	Log   *slog.Logger
}

// Collector is made with New.
type Collector struct {
	Config
	asking chan struct{} // holds a token: who has it asks

	mu       sync.Mutex
	previous answers
	last     answers
}

// answers are what the kubelets said at about one time.
type answers struct {
	at    time.Time
	nodes map[string]*Answer
}

// New makes a Collector; it asks nobody yet.
func New(c Config) *Collector {
	if c.Fresh == 0 {
		c.Fresh = DefaultFresh
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return &Collector{Config: c, asking: make(chan struct{}, 1)}
}

// Now is what is used at present, at most Fresh ago.
func (c *Collector) Now(ctx context.Context) (map[string]Node, error) {
	select {
	case c.asking <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-c.asking }()
	c.mu.Lock()
	age := time.Since(c.last.at)
	known := c.previous.nodes != nil
	c.mu.Unlock()
	if age > c.Fresh || !known {
		if err := c.renew(ctx, age); err != nil {
			return nil, err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return rates(c.previous.nodes, c.last.nodes), nil
}

// renew asks the kubelets, twice if the answer before is too old.
func (c *Collector) renew(ctx context.Context, age time.Duration) error {
	if age > stale {
		first, err := c.ask(ctx)
		if err != nil {
			return err
		}
		c.mu.Lock()
		c.last = first
		c.mu.Unlock()
	}
	c.mu.Lock()
	wait := apart - time.Since(c.last.at)
	c.mu.Unlock()
	select {
	case <-time.After(wait):
	case <-ctx.Done():
		return ctx.Err()
	}
	next, err := c.ask(ctx)
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.previous, c.last = c.last, next
	c.mu.Unlock()
	return nil
}

// ask gets the answers of all kubelets that can be reached.
func (c *Collector) ask(ctx context.Context) (answers, error) {
	nodes, err := c.Nodes(ctx)
	if err != nil {
		return answers{}, err
	}
	all := answers{at: time.Now(), nodes: make(map[string]*Answer, len(nodes))}
	var mu sync.Mutex
	var group errgroup.Group
	group.SetLimit(atOnce)
	for _, n := range nodes {
		group.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, patience)
			defer cancel()
			s, err := c.Ask(ctx, n)
			if err != nil {
				c.Log.Debug("a kubelet does not say what its pods use", "node", n.Name, "err", err)
				return nil // the node is left out
			}
			mu.Lock()
			defer mu.Unlock()
			all.nodes[n.Name] = s
			return nil
		})
	}
	_ = group.Wait()
	return all, ctx.Err()
}
