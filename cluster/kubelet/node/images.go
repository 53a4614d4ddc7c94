package node

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
	maxImages     = 50 // the largest ones, as upstream
	maxImageNames = 5  // of each image
	imagesPeriod  = 30 * time.Second
)

// images are those that the node reports. To list them is work for the runtime: it is done
// once a period, and after a change.
type images struct {
	mu     sync.Mutex
	listed time.Time
	list   []v1.ContainerImage
}

func (n *Node) currentImages(ctx context.Context) []v1.ContainerImage {
	i := &n.images
	i.mu.Lock()
	defer i.mu.Unlock()
	if !i.listed.IsZero() && time.Since(i.listed) < imagesPeriod {
		return i.list
	}
	all, err := n.Runtime.Images(ctx)
	if err != nil { // then the node is not ready
		return i.list
	}
	slices.SortStableFunc(all, func(a, b cri.Image) int { return cmp.Compare(b.Size, a.Size) })
	i.listed, i.list = time.Now(), nil
	for _, image := range all[:min(len(all), maxImages)] {
		i.list = append(i.list, v1.ContainerImage{Names: image.Names[:min(len(image.Names), maxImageNames)], SizeBytes: image.Size})
	}
	return i.list
}

// ImagesChanged makes the next report list the images again.
func (n *Node) ImagesChanged() {
	n.images.mu.Lock()
	defer n.images.mu.Unlock()
	n.images.listed = time.Time{}
}
