package kubelet

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"wheelhouse/cluster/api/podfacts"
	"wheelhouse/cluster/kubelet/cri"
)

// How dead containers and images are cleared away.
const (
	imageGCPeriod = 5 * time.Minute
	imageMinAge   = 2 * time.Minute
)

// GC says how much of what is not used any more a node keeps.
type GC struct {
	// ImagesHigh and ImagesLow are how full the images' disk may be, in percent: at
	// the first images are removed, until it is the second. 100 never removes any.
	ImagesHigh, ImagesLow int
	// DeadContainers is how many a node keeps in all; negative is any number. Of each
	// container of a pod one is kept, for its log.
	DeadContainers int
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

// load reads what an earlier kubelet has noted.
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

// note says that an image was pulled.
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

// use says which images are in use now.
func (p *pulled) use(refs map[string]bool, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for ref := range p.used {
		if refs[ref] {
			p.used[ref] = now
		}
	}
}

// unused are those that are not in use, the longest unused first.
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

func (p *pulled) forget(ref string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.used, ref)
	return p.save()
}

// imagesInUse are those that the node's pods name.
func (k *Kubelet) imagesInUse() map[string]bool {
	out := map[string]bool{}
	for _, w := range k.allWorkers() {
		pod := w.latest()
		if podfacts.Terminal(pod) {
			continue
		}
		for i := range pod.Spec.InitContainers {
			out[pod.Spec.InitContainers[i].Image] = true
		}
		for i := range pod.Spec.Containers {
			out[pod.Spec.Containers[i].Image] = true
		}
		for i := range pod.Spec.Volumes {
			if v := pod.Spec.Volumes[i].Image; v != nil {
				out[v.Reference] = true
			}
		}
		for i := range pod.Spec.EphemeralContainers {
			out[pod.Spec.EphemeralContainers[i].Image] = true
		}
	}
	return out
}

// removeImages removes unused images until enough tells so.
func (k *Kubelet) removeImages(ctx context.Context, before time.Time, enough func() bool) error {
	inUse := k.imagesInUse()
	k.pulled.use(inUse, time.Now())
	var errs []error
	for _, ref := range k.pulled.unused(inUse, before) {
		if enough() {
			break
		}
		switch err := k.runtime.RemoveImage(ctx, ref); {
		case errors.Is(err, cri.ErrInUse): // by a container of somebody else
			continue
		case err != nil:
			errs = append(errs, err)
			continue
		}
		k.log.Info("removed an image that no pod uses", "image", ref)
		errs = append(errs, k.pulled.forget(ref))
		k.node.ImagesChanged()
	}
	return errors.Join(errs...)
}

// keepImages removes images when their disk is fuller than it may be.
func (k *Kubelet) keepImages(ctx context.Context) {
	tick := time.NewTicker(imageGCPeriod)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if !k.informers.synced() {
			continue
		}
		k.pulled.use(k.imagesInUse(), time.Now())
		fuller := func(percent int) bool {
			fs, err := k.imageFS(ctx)
			return err == nil && fs.Capacity > 0 && (fs.Capacity-fs.Available)*100 >= int64(percent)*fs.Capacity
		}
		if k.config.GC.ImagesHigh >= 100 || !fuller(k.config.GC.ImagesHigh) {
			continue
		}
		err := k.removeImages(ctx, time.Now().Add(-imageMinAge), func() bool { return !fuller(k.config.GC.ImagesLow) })
		if err != nil && ctx.Err() == nil {
			k.log.Warn("remove images that no pod uses", "error", err)
		}
	}
}

// clearUnused removes all that nobody uses, for a node whose disk is nearly full.
func (k *Kubelet) clearUnused(ctx context.Context) {
	all, err := k.runtime.Glance(ctx)
	err = errors.Join(err, k.removeDead(ctx, all, 0), k.removeImages(ctx, time.Now(), func() bool { return false }))
	if err != nil && ctx.Err() == nil {
		k.log.Warn("clear away what is not used", "error", err)
	}
}

// removeDead removes the dead containers of pods that have ended, the oldest first,
// until so many are left. Those of pods that go on are their workers' to keep: a
// restart counts from them.
func (k *Kubelet) removeDead(ctx context.Context, all []cri.Container, keep int) error {
	if keep < 0 {
		return nil
	}
	ended := map[string]bool{}
	for _, w := range k.allWorkers() {
		w.mu.Lock()
		ended[w.ref.UID] = podfacts.Terminal(w.pod)
		w.mu.Unlock()
	}
	all = slices.DeleteFunc(slices.Clone(all), func(c cri.Container) bool { return c.State != cri.Exited || !ended[c.Pod.UID] })
	slices.SortStableFunc(all, func(a, b cri.Container) int { return a.CreatedAt.Compare(b.CreatedAt) })
	var errs []error
	for _, c := range all[:max(0, len(all)-keep)] {
		errs = append(errs, k.runtime.Remove(ctx, c.ID))
	}
	return errors.Join(errs...)
}

// pulledFile is where the images are noted that were pulled.
func pulledFile(root string) string { return filepath.Join(root, "pulled.json") }
