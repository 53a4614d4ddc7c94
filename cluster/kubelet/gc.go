package kubelet

import (
	"context"
	"errors"
	"slices"

	"wheelhouse/cluster/api/podfacts"
	"wheelhouse/cluster/kubelet/cri"
)

// collecting is the kubelet as the garbage collection of images uses it: it implements
// images.Node.
type collecting struct{ *Kubelet }

// ImagesChanged implements images.Node.
func (k collecting) ImagesChanged() { k.node.ImagesChanged() }

// ImagesInUse implements images.Node.
func (k collecting) ImagesInUse() (map[string]bool, bool) {
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
	return out, k.informers.synced()
}

// removeDead removes the dead containers of terminated pods, the oldest first, until so many
// are left. Those of other pods belong to their workers: a restart counts from them.
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
