package persistentvolume

import (
	"context"
	"fmt"
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes"
	"k8s.io/component-helpers/storage/volume"
)

// removeWithin bounds the wait for a node that does not answer.
const removeWithin = 10 * time.Second

// RemoveByKubelet has the kubelet of a node remove the folder of a volume, by way of
// the API server, which alone may speak to kubelets.
func RemoveByKubelet(client kubernetes.Interface) func(ctx context.Context, node, volume string) error {
	return func(ctx context.Context, node, volume string) error {
		return client.CoreV1().RESTClient().Delete().
			Resource("nodes").Name(node).SubResource("proxy").Suffix("provisionedVolumes", volume).Do(ctx).Error()
	}
}

// ours says whether we made the volume, and so can remove what is in it.
func ours(pv *v1.PersistentVolume) bool {
	return pv.Annotations[volume.AnnDynamicallyProvisioned] == Provisioner && pv.Spec.HostPath != nil && nodeOf(pv) != ""
}

// reclaim removes the data of a volume whose claim is gone, and then the volume. It
// has a queue of its own: a node may take long to answer.
func (c *Controller) reclaim(ctx context.Context, name string) error {
	pv, err := c.volumes.Get(name)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	ref := pv.Spec.ClaimRef
	if !ours(pv) || ref == nil || pv.Spec.PersistentVolumeReclaimPolicy != v1.PersistentVolumeReclaimDelete {
		return nil
	}
	if claim, err := c.claimBehind(ctx, ref); claim != nil || err != nil {
		return err
	}
	if err := c.removeData(ctx, pv); err != nil {
		c.recorder.Event(pv, v1.EventTypeWarning, "VolumeFailedDelete", err.Error())
		if phaseErr := c.volumePhase(ctx, pv, v1.VolumeFailed, err.Error()); phaseErr != nil {
			return phaseErr
		}
		return err
	}
	if err := c.dropFinalizer(ctx, pv); err != nil {
		return err
	}
	err = c.client.CoreV1().PersistentVolumes().Delete(ctx, name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &pv.UID}})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete volume: %w", err)
	}
	return nil
}

// removeData asks the volume's node. A node that was taken out of the cluster has
// taken the data with it.
func (c *Controller) removeData(ctx context.Context, pv *v1.PersistentVolume) error {
	nodes, err := c.nodes.List(labels.Everything())
	if err != nil {
		return fmt.Errorf("list nodes: %w", err)
	}
	at := slices.IndexFunc(nodes, func(n *v1.Node) bool { return hostname(n) == nodeOf(pv) })
	if at < 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, removeWithin)
	defer cancel()
	if err := c.remove(ctx, nodes[at].Name, pv.Name); err != nil {
		return fmt.Errorf("the data of this volume lies on node %s and cannot be removed now: %w", nodes[at].Name, err)
	}
	return nil
}

// dropFinalizer lets the volume go.
func (c *Controller) dropFinalizer(ctx context.Context, pv *v1.PersistentVolume) error {
	if !slices.Contains(pv.Finalizers, dataFinalizer) {
		return nil
	}
	now, err := c.client.CoreV1().PersistentVolumes().Get(ctx, pv.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read volume: %w", err)
	}
	now.Finalizers = slices.DeleteFunc(now.Finalizers, func(s string) bool { return s == dataFinalizer })
	_, err = c.client.CoreV1().PersistentVolumes().Update(ctx, now, metav1.UpdateOptions{})
	return written("volume", err)
}
