package volume

import (
	"context"
	"errors"
	"fmt"
	"strings"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/component-helpers/storage/volume"

	"wheelhouse/cluster/kubelet/objects"
)

// claim is the persistent volume that a claim is bound to.
type claim struct{}

// Supports implements Plugin.
func (claim) Supports(v *v1.Volume) bool { return v.PersistentVolumeClaim != nil }

// SetUp implements Plugin.
func (claim) SetUp(ctx context.Context, m *Manager, v *v1.Volume) (Volume, error) {
	ref := v.PersistentVolumeClaim
	pvc, err := m.claimOf(ctx, ref.ClaimName)
	if err != nil {
		return Volume{}, err
	}
	return m.bound(ctx, v.Name, pvc, ref.ReadOnly)
}

// ephemeral is a volume whose claim is created with the pod, and for it alone.
type ephemeral struct{}

// Supports implements Plugin.
func (ephemeral) Supports(v *v1.Volume) bool { return v.Ephemeral != nil }

// SetUp implements Plugin.
func (ephemeral) SetUp(ctx context.Context, m *Manager, v *v1.Volume) (Volume, error) {
	pvc, err := m.claimOf(ctx, m.pod.Name+"-"+v.Name)
	if err != nil {
		return Volume{}, err
	}
	if !metav1.IsControlledBy(pvc, m.pod) {
		return Volume{}, fmt.Errorf("PVC %s/%s was not created for pod %s/%s (pod is not owner)", m.pod.Namespace, pvc.Name, m.pod.Namespace, m.pod.Name)
	}
	return m.bound(ctx, v.Name, pvc, false)
}

func (m *Manager) claimOf(ctx context.Context, name string) (*v1.PersistentVolumeClaim, error) {
	pvc, err := m.Client.CoreV1().PersistentVolumeClaims(m.pod.Namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, objects.Missing("persistentvolumeclaim", name, err)
	}
	return pvc, nil
}

// bound sets up the volume that a claim is bound to.
func (m *Manager) bound(ctx context.Context, name string, pvc *v1.PersistentVolumeClaim, readOnly bool) (Volume, error) {
	if pvc.Spec.VolumeName == "" || pvc.Status.Phase != v1.ClaimBound {
		return Volume{}, fmt.Errorf("persistentvolumeclaim %q is not bound to a volume yet", pvc.Name)
	}
	pv, err := m.Client.CoreV1().PersistentVolumes().Get(ctx, pvc.Spec.VolumeName, metav1.GetOptions{})
	if err != nil {
		return Volume{}, objects.Missing("persistentvolume", pvc.Spec.VolumeName, err)
	}
	if pv.Spec.ClaimRef == nil || pv.Spec.ClaimRef.UID != pvc.UID {
		return Volume{}, fmt.Errorf("persistentvolume %q is bound to another claim than %q", pv.Name, pvc.Name)
	}
	if err := modeFits(m.pod, name, isBlock(pv)); err != nil {
		return Volume{}, err
	}
	if _, done := m.Get(name); !done {
		if err := m.checkNodeAffinity(ctx, pv); err != nil {
			return Volume{}, err
		}
	}
	out, err := m.persistent(ctx, name, pv)
	out.ReadOnly = out.ReadOnly || readOnly
	_, done := m.Get(name)
	if err == nil && !done && !out.ReadOnly && !out.file && (pv.Spec.Local != nil || isProvisioned(pv)) {
		err = m.own(m.pod, pv.Name, out.Path)
	}
	return out, err
}

// persistent sets up a persistent volume under the name that the pod has for it: another
// volume of the pod may have the name of the persistent volume.
func (m *Manager) persistent(ctx context.Context, name string, pv *v1.PersistentVolume) (Volume, error) {
	if m.Provisioned {
		return m.provisioned(name, pv)
	}
	switch {
	case pv.Spec.Local != nil:
		return m.local(ctx, name, pv)
	case isBlock(pv):
		return Volume{}, fmt.Errorf("persistentvolume %q has volumeMode Block, which on this node only volumes of kind local have", pv.Name)
	case pv.Spec.HostPath != nil:
		if len(mountOptions(pv)) > 0 {
			return Volume{}, checkError{"MountOptionSupport", errors.New("mount options are not supported for this volume type")}
		}
		if isProvisioned(pv) {
			if err := createProvisioned(m.HostRoot, pv.Name); err != nil {
				return Volume{}, err
			}
		}
		return m.hostPath(name, pv.Spec.HostPath)
	case pv.Spec.NFS != nil:
		return m.nfs(ctx, name, pv.Spec.NFS, mountOptions(pv))
	}
	return Volume{}, fmt.Errorf("persistentvolume %q: %w", pv.Name, unsupported(pv.Spec.PersistentVolumeSource))
}

// checkError is why a persistent volume is not mounted, by the name of upstream's check.
type checkError struct {
	check string
	error
}

// Unwrap returns the reason.
func (e checkError) Unwrap() error { return e.error }

// checkNodeAffinity is an error if a volume belongs to other nodes: the scheduler sends no pod
// here then, but a pod may name its node itself.
func (m *Manager) checkNodeAffinity(ctx context.Context, pv *v1.PersistentVolume) error {
	if pv.Spec.NodeAffinity == nil {
		return nil
	}
	node, err := m.Client.CoreV1().Nodes().Get(ctx, m.pod.Spec.NodeName, metav1.GetOptions{})
	if err != nil {
		return checkError{"NodeAffinity", err}
	}
	if err := volume.CheckNodeAffinity(pv, node.Labels); err != nil {
		return checkError{"NodeAffinity", err}
	}
	return nil
}

// mountOptions returns the mount options of a volume; the annotation of old manifests has
// precedence, as upstream.
func mountOptions(pv *v1.PersistentVolume) []string {
	if text, ok := pv.Annotations[v1.MountOptionAnnotation]; ok {
		return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' })
	}
	return pv.Spec.MountOptions
}
