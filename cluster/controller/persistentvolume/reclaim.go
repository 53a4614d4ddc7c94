package persistentvolume

import (
	"context"
	"fmt"
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/component-helpers/storage/volume"

	"wheelhouse/cluster/controller/loop"
)

// removeTimeout bounds the call to a kubelet.
const removeTimeout = 10 * time.Second

// RemoveByKubelet returns a function that removes the directory of a volume through the
// kubelet of a node. It goes through the API server, which alone may call kubelets.
func RemoveByKubelet(client kubernetes.Interface) func(ctx context.Context, node, volume string) error {
	return func(ctx context.Context, node, volume string) error {
		return client.CoreV1().RESTClient().Delete().
			Resource("nodes").Name(node).SubResource("proxy").Suffix("provisionedVolumes", volume).Do(ctx).Error()
	}
}

// provisioned reports whether the volume was provisioned here, so that its data can be
// removed.
func provisioned(pv *v1.PersistentVolume) bool {
	return pv.Annotations[volume.AnnDynamicallyProvisioned] == Provisioner && pv.Spec.HostPath != nil && nodeOf(pv) != ""
}

// reclaim removes the data of a volume whose claim was deleted, and then the volume. It has
// a queue of its own: a kubelet may respond slowly.
func (c *Controller) reclaim(ctx context.Context, name string) error {
	pv, err := c.volumes.Get(name)
	if err != nil {
		return loop.IgnoreNotFound(err)
	}
	ref := pv.Spec.ClaimRef
	if !provisioned(pv) || ref == nil || pv.Spec.PersistentVolumeReclaimPolicy != v1.PersistentVolumeReclaimDelete {
		return nil
	}
	if claim, err := c.claimOf(ctx, ref); claim != nil || err != nil {
		return err
	}
	if left := c.untilGone(pv); left > 0 {
		c.reclaims.AddAfter(name, left)
		return nil
	}
	if err := c.removeData(ctx, pv); err != nil {
		c.Recorder.Event(pv, v1.EventTypeWarning, "VolumeFailedDelete", err.Error())
		if phaseErr := c.volumePhase(ctx, pv, v1.VolumeFailed, err.Error()); phaseErr != nil {
			return phaseErr
		}
		return err
	}
	if err := c.dropFinalizer(ctx, pv); err != nil {
		return err
	}
	err = c.Client.CoreV1().PersistentVolumes().Delete(ctx, name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &pv.UID}})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete volume: %w", err)
	}
	return nil
}

// nodeGone is how long a node has to be missing before its data counts as gone: a kubelet whose Node was deleted registers
// it again within some seconds.
const nodeGone = 30 * time.Second

// untilGone returns how long the volume has to wait for its node, which is missing, or 0.
func (c *Controller) untilGone(pv *v1.PersistentVolume) time.Duration {
	if c.nodeAt(pv) != nil {
		c.missing.Delete(pv.UID)
		return 0
	}
	since, _ := c.missing.LoadOrStore(pv.UID, time.Now())
	left := time.Until(since.(time.Time).Add(nodeGone))
	if left <= 0 {
		c.missing.Delete(pv.UID)
	}
	return left
}

// nodeAt returns the node that has the volume's data, or nil.
func (c *Controller) nodeAt(pv *v1.PersistentVolume) *v1.Node {
	nodes := loop.All(c.Log, c.nodes.List)
	if at := slices.IndexFunc(nodes, func(n *v1.Node) bool { return hostname(n) == nodeOf(pv) }); at >= 0 {
		return nodes[at]
	}
	return nil
}

// removeData calls the kubelet of the volume's node. If the node was removed from the
// cluster, its data is gone.
func (c *Controller) removeData(ctx context.Context, pv *v1.PersistentVolume) error {
	node := c.nodeAt(pv)
	if node == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, removeTimeout)
	defer cancel()
	if err := c.remove(ctx, node.Name, pv.Name); err != nil {
		return fmt.Errorf("the data of this volume lies on node %s and cannot be removed now: %w", node.Name, err)
	}
	return nil
}

// dropFinalizer removes the finalizer of the volume's data.
func (c *Controller) dropFinalizer(ctx context.Context, pv *v1.PersistentVolume) error {
	if !slices.Contains(pv.Finalizers, dataFinalizer) {
		return nil
	}
	now, err := c.Client.CoreV1().PersistentVolumes().Get(ctx, pv.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read volume: %w", err)
	}
	now.Finalizers = slices.DeleteFunc(now.Finalizers, func(s string) bool { return s == dataFinalizer })
	_, err = c.Client.CoreV1().PersistentVolumes().Update(ctx, now, metav1.UpdateOptions{})
	return written("volume", err)
}
