package kubelet

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"

	"wheelhouse/cluster/kubelet/cri"
)

const (
	imagesInNode = 50 // the largest ones, as upstream
	namesOfImage = 5  // and so many names of each
	imagesPeriod = 30 * time.Second
)

// nodeImages are the machine's images as the node reports them. To list them is work
// for the runtime, so it is asked from time to time only, and after a pull.
type nodeImages struct {
	mu    sync.Mutex
	asked time.Time
	list  []v1.ContainerImage
}

func (k *Kubelet) imagesNow(ctx context.Context) []v1.ContainerImage {
	n := &k.images
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.asked.IsZero() && time.Since(n.asked) < imagesPeriod {
		return n.list
	}
	all, err := k.runtime.Images(ctx)
	if err != nil { // the node is not ready then, and what it had it still has
		return n.list
	}
	slices.SortStableFunc(all, func(a, b cri.Image) int { return cmp.Compare(b.Size, a.Size) })
	n.asked, n.list = time.Now(), nil
	for _, image := range all[:min(len(all), imagesInNode)] {
		n.list = append(n.list, v1.ContainerImage{Names: image.Names[:min(len(image.Names), namesOfImage)], SizeBytes: image.Size})
	}
	return n.list
}

// changed has the images listed again.
func (n *nodeImages) changed() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asked = time.Time{}
}

// imagePulled notes an image that was pulled.
func (k *Kubelet) imagePulled(ref string) {
	k.images.changed()
	if err := k.pulled.note(ref, time.Now()); err != nil {
		k.log.Warn("note that an image was pulled", "image", ref, "error", err)
	}
}
