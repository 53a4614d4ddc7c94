// Package usage answers metrics.k8s.io: what pods and nodes use of CPU and memory, as their
// kubelets report it.
//
// It keeps the last two answers of each kubelet and scrapes them only on request: a cluster
// without `kubectl top` and autoscaling by usage pays nothing. CPU time is a counter,
// so that a rate needs two answers; the first request waits for both.
package usage

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"wheelhouse/cluster/api"
)

const (
	// DefaultFresh is how long an answer of the kubelets is reused.
	DefaultFresh = 5 * time.Second
	// stale is when an answer is too old to begin a rate: the usage since then is no measure
	// of the present one.
	stale = time.Minute
	// scrapeInterval is the time between two answers when there is none to begin with.
	scrapeInterval = time.Second
	// scrapeTimeout is how long one kubelet may take.
	scrapeTimeout = 5 * time.Second
	// maxParallel is how many kubelets are scraped at a time.
	maxParallel = 32
)

// Objects reads nodes and pods: fresh from the store, else as the cache has them.
type Objects interface {
	Get(ctx context.Context, r schema.GroupResource, namespace, name string, fresh bool) (api.Object, error)
	List(ctx context.Context, r schema.GroupResource, namespace string, fresh bool) (list []api.Object, revision int64, err error)
}

var nodes, pods = schema.GroupResource{Resource: "nodes"}, schema.GroupResource{Resource: "pods"}

// Config is what a Collector needs.
type Config struct {
	Objects Objects
	// Kubelet returns the answer of a node's kubelet to a GET; nil: requests are answered 503.
	Kubelet func(ctx context.Context, node *corev1.Node, path string) (*http.Response, error)
	Fresh   time.Duration // 0 is DefaultFresh
	Log     *slog.Logger
}

// Collector scrapes kubelets. It is made with New.
type Collector struct {
	Config
	scraping chan struct{} // holds a token: who has it scrapes

	mu       sync.Mutex
	previous answers
	last     answers
}

// answers are those of the kubelets at about one time.
type answers struct {
	at    time.Time
	nodes map[string]*Answer
}

// New returns a Collector. It scrapes nothing yet.
func New(c Config) *Collector {
	if c.Fresh == 0 {
		c.Fresh = DefaultFresh
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return &Collector{Config: c, scraping: make(chan struct{}, 1)}
}

// Now returns what is used, by node, at most Fresh ago.
func (c *Collector) Now(ctx context.Context) (map[string]Node, error) {
	if c.Kubelet == nil {
		return nil, apierrors.NewServiceUnavailable("this server has no certificate for kubelets; it cannot ask them what is used")
	}
	select {
	case c.scraping <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-c.scraping }()
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

// renew scrapes the kubelets, twice if the answer before is stale.
func (c *Collector) renew(ctx context.Context, age time.Duration) error {
	if age > stale {
		first, err := c.scrape(ctx)
		if err != nil {
			return err
		}
		c.mu.Lock()
		c.last = first
		c.mu.Unlock()
	}
	c.mu.Lock()
	wait := scrapeInterval - time.Since(c.last.at)
	c.mu.Unlock()
	select {
	case <-time.After(wait):
	case <-ctx.Done():
		return ctx.Err()
	}
	next, err := c.scrape(ctx)
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.previous, c.last = c.last, next
	c.mu.Unlock()
	return nil
}

// readyNodes returns the nodes whose kubelets can be expected to answer.
func (c *Collector) readyNodes(ctx context.Context) ([]*corev1.Node, error) {
	list, _, err := c.Objects.List(ctx, nodes, "", false)
	if err != nil {
		return nil, err
	}
	var ready []*corev1.Node
	for _, o := range list {
		n := o.(*corev1.Node)
		if slices.ContainsFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool {
			return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
		}) {
			ready = append(ready, n)
		}
	}
	return ready, nil
}

// scrapeNode returns the answer of a node's kubelet.
func (c *Collector) scrapeNode(ctx context.Context, n *corev1.Node) (*Answer, error) {
	resp, err := c.Kubelet(ctx, n, "/metrics/resource")
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
		return nil, fmt.Errorf("the kubelet answers %s: %s", resp.Status, strings.TrimSpace(string(text)))
	}
	return Parse(resp.Body)
}

// scrape returns the answers of all kubelets that can be reached.
func (c *Collector) scrape(ctx context.Context) (answers, error) {
	ready, err := c.readyNodes(ctx)
	if err != nil {
		return answers{}, err
	}
	all := answers{at: time.Now(), nodes: make(map[string]*Answer, len(ready))}
	var mu sync.Mutex
	var group errgroup.Group
	group.SetLimit(maxParallel)
	for _, n := range ready {
		group.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, scrapeTimeout)
			defer cancel()
			s, err := c.scrapeNode(ctx, n)
			if err != nil {
				c.Log.Debug("a kubelet does not report what its pods use", "node", n.Name, "err", err)
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
