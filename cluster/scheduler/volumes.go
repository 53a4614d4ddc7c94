package scheduler

import (
	"fmt"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/component-helpers/storage/volume"
)

// claimReader reads claims and volumes; listers satisfy it through lookups.
type claimReader struct {
	claim  func(namespace, name string) (*v1.PersistentVolumeClaim, error)
	volume func(name string) (*v1.PersistentVolume, error)
}

// volumesOf gives the volumes behind the pod's claims. reason says why the pod
// cannot be placed anywhere yet; it is empty when all claims are bound.
func (c claimReader) volumesOf(p *v1.Pod) (pvs []*v1.PersistentVolume, reason string, err error) {
	for i := range p.Spec.Volumes {
		v := &p.Spec.Volumes[i]
		var name string
		switch {
		case v.PersistentVolumeClaim != nil:
			name = v.PersistentVolumeClaim.ClaimName
		case v.Ephemeral != nil:
			name = p.Name + "-" + v.Name
		default:
			continue
		}
		pv, reason, err := c.volumeOf(p.Namespace, name)
		if reason != "" || err != nil {
			return nil, reason, err
		}
		pvs = append(pvs, pv)
	}
	return pvs, "", nil
}

func (c claimReader) volumeOf(ns, name string) (pv *v1.PersistentVolume, reason string, err error) {
	claim, err := c.claim(ns, name)
	switch {
	case apierrors.IsNotFound(err):
		return nil, fmt.Sprintf("persistentvolumeclaim %q not found", name), nil
	case err != nil:
		return nil, "", fmt.Errorf("read claim %s: %w", name, err)
	case claim.DeletionTimestamp != nil:
		return nil, fmt.Sprintf("persistentvolumeclaim %q is being deleted", name), nil
	case claim.Status.Phase == v1.ClaimLost:
		return nil, fmt.Sprintf("persistentvolumeclaim %q bound to non-existent persistentvolume %q", name, claim.Spec.VolumeName), nil
	case claim.Spec.VolumeName == "" || claim.Annotations[volume.AnnBindCompleted] == "":
		return nil, "pod has unbound immediate PersistentVolumeClaims", nil
	}
	pv, err = c.volume(claim.Spec.VolumeName)
	if apierrors.IsNotFound(err) {
		return nil, fmt.Sprintf("persistentvolumeclaim %q bound to non-existent persistentvolume %q", name, claim.Spec.VolumeName), nil
	}
	if err != nil {
		return nil, "", fmt.Errorf("read volume %s: %w", claim.Spec.VolumeName, err)
	}
	return pv, "", nil
}
