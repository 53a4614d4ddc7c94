// Package images pulls the images that the pods of a node name, by their pull policies and
// secrets, and removes those that no pod names any more. It removes only images that this
// kubelet has pulled, which it records in a file: the engine is not the kubelet's alone, and
// what was built or loaded there may not be had again. A pod whose image is on the machine
// never waits for a registry that does not answer.
//
// The caller runs Collector.Run in one goroutine and gives Puller.Pulled the Collector's. The
// methods of a Pod must not be called concurrently; the others may.
package images

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"wheelhouse/cluster/kubelet/cri"
	"wheelhouse/cluster/kubelet/nodefs"
)

const (
	period = 5 * time.Minute
	// MinAge is how long an image must be unused before the disk's usage removes it.
	MinAge = 2 * time.Minute
)

// GC is how much a node keeps of what is not used any more.
type GC struct {
	// ImagesHigh and ImagesLow are how full the images' disk may be, in percent: at
	// the first images are removed, until it is the second. 100 never removes any.
	ImagesHigh, ImagesLow int
	// DeadContainers is how many a node keeps in all; negative is any number. Of each
	// container of a pod one is kept, for its log.
	DeadContainers int
}

// Runtime removes images.
type Runtime interface {
	RemoveImage(ctx context.Context, ref string) error
	ImageDir(ctx context.Context) (string, error)
}

// Node is the node of the images.
type Node interface {
	// ImagesInUse returns the images that the node's pods name; false while not all are known.
	ImagesInUse() (map[string]bool, bool)
	// ImagesChanged notifies the node that the list of images is out of date.
	ImagesChanged()
}

// Collector removes unused images.
type Collector struct {
	policy  GC
	runtime Runtime
	node    Node
	log     *slog.Logger
	pulled  *pulled
}

// NewCollector returns a collector with its record in the kubelet's directory.
func NewCollector(policy GC, runtime Runtime, node Node, root string, log *slog.Logger) *Collector {
	return &Collector{policy, runtime, node, log, newPulled(filepath.Join(root, "pulled.json"))}
}

// Load reads which images an earlier kubelet has pulled.
func (c *Collector) Load() {
	if err := c.pulled.load(); err != nil { // then the images stay
		c.log.Warn("read which images were pulled", "err", err)
	}
}

// Pulled records an image that was pulled.
func (c *Collector) Pulled(ref string) {
	c.node.ImagesChanged()
	if err := c.pulled.note(ref, time.Now()); err != nil {
		c.log.Warn("record that an image was pulled", "image", ref, "err", err)
	}
}

// pulled are the images that this kubelet has pulled, and when they were last used. No
// other image is ever removed: the engine is not the kubelet's alone, and what was built
// or loaded here could not be had again without a registry.
type pulled struct {
	mu   sync.Mutex
	file string
	used map[string]time.Time // by name
}

func newPulled(file string) *pulled { return &pulled{file: file, used: map[string]time.Time{}} }

// load reads the record of an earlier kubelet.
func (p *pulled) load() error {
	data, err := os.ReadFile(p.file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return json.Unmarshal(data, &p.used)
}

// note records that an image was pulled.
func (p *pulled) note(ref string, now time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.used[ref] = now
	return p.save()
}

// save is called with mu held.
func (p *pulled) save() error {
	data, err := json.Marshal(p.used)
	if err != nil {
		return err
	}
	return os.WriteFile(p.file, data, 0o600)
}

// use records which images are in use now.
func (p *pulled) use(refs map[string]bool, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for ref := range p.used {
		if refs[ref] {
			p.used[ref] = now
		}
	}
}

// unused returns those that are not in use, the longest unused first.
func (p *pulled) unused(inUse map[string]bool, before time.Time) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []string
	for ref, at := range p.used {
		if !inUse[ref] && at.Before(before) {
			out = append(out, ref)
		}
	}
	slices.SortFunc(out, func(a, b string) int { return cmp.Or(p.used[a].Compare(p.used[b]), cmp.Compare(a, b)) })
	return out
}

func (p *pulled) remove(ref string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.used, ref)
	return p.save()
}

// remove removes unused images until enough returns true.
func (c *Collector) remove(ctx context.Context, before time.Time, enough func() bool) error {
	inUse, _ := c.node.ImagesInUse()
	c.pulled.use(inUse, time.Now())
	var errs []error
	for _, ref := range c.pulled.unused(inUse, before) {
		if enough() {
			break
		}
		switch err := c.runtime.RemoveImage(ctx, ref); {
		case errors.Is(err, cri.ErrInUse): // by a container of others
			continue
		case err != nil:
			errs = append(errs, err)
			continue
		}
		c.log.Info("removed an image that no pod uses", "image", ref)
		errs = append(errs, c.pulled.remove(ref))
		c.node.ImagesChanged()
	}
	return errors.Join(errs...)
}

// Run removes images when their disk is fuller than it may be; it returns when ctx is done.
func (c *Collector) Run(ctx context.Context) {
	tick := time.NewTicker(period)
	defer tick.Stop()
	fuller := func(percent int) bool {
		fs, err := c.DiskUsage(ctx)
		return err == nil && fs.Capacity > 0 && (fs.Capacity-fs.Available)*100 >= int64(percent)*fs.Capacity
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		inUse, synced := c.node.ImagesInUse()
		if !synced {
			continue
		}
		c.pulled.use(inUse, time.Now())
		if c.policy.ImagesHigh >= 100 || !fuller(c.policy.ImagesHigh) {
			continue
		}
		err := c.remove(ctx, time.Now().Add(-MinAge), func() bool { return !fuller(c.policy.ImagesLow) })
		if err != nil && ctx.Err() == nil {
			c.log.Warn("remove images that no pod uses", "err", err)
		}
	}
}

// RemoveUnused removes all images that no pod uses.
func (c *Collector) RemoveUnused(ctx context.Context) error {
	return c.remove(ctx, time.Now(), func() bool { return false })
}

// DiskUsage returns the file system of the images.
func (c *Collector) DiskUsage(ctx context.Context) (nodefs.FileSystem, error) {
	dir, err := c.runtime.ImageDir(ctx)
	if err != nil {
		return nodefs.FileSystem{}, err
	}
	return nodefs.StatFS(dir)
}
