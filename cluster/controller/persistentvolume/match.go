package persistentvolume

import (
	"fmt"

	v1 "k8s.io/api/core/v1"
	"k8s.io/component-helpers/storage/volume"
	"k8s.io/utils/ptr"
)

// match returns the volume for an unbound claim that names none: one that names the claim,
// else the smallest that fits by class, size, access modes, mode and selector, or nil. For
// a claim that waits for its pod only a volume that names it matches.
func match(claim *v1.PersistentVolumeClaim, volumes []*v1.PersistentVolume, waits bool) (*v1.PersistentVolume, error) {
	var can []*v1.PersistentVolume
	for _, pv := range volumes {
		if volume.CheckAccessModes(claim, pv) {
			can = append(can, pv)
		}
	}
	return volume.FindMatchingVolume(claim, can, nil, nil, waits, true)
}

// unfit returns why a volume that the claim names does not fit, nil if it does.
func unfit(claim *v1.PersistentVolumeClaim, pv *v1.PersistentVolume) error {
	want, have := claim.Spec.Resources.Requests[v1.ResourceStorage], pv.Spec.Capacity[v1.ResourceStorage]
	switch {
	case have.Cmp(want) < 0:
		return fmt.Errorf("requested PV is too small")
	case volume.GetPersistentVolumeClass(pv) != volume.GetPersistentVolumeClaimClass(claim):
		return fmt.Errorf("storageClassName does not match")
	case ptr.Deref(pv.Spec.VolumeAttributesClassName, "") != ptr.Deref(claim.Spec.VolumeAttributesClassName, ""):
		return fmt.Errorf("volumeAttributesClassName does not match")
	case volume.CheckVolumeModeMismatches(&claim.Spec, &pv.Spec):
		return fmt.Errorf("incompatible volumeMode")
	case !volume.CheckAccessModes(claim, pv):
		return fmt.Errorf("incompatible accessMode")
	}
	return nil
}

func bound(claim *v1.PersistentVolumeClaim) bool {
	_, ok := claim.Annotations[volume.AnnBindCompleted]
	return ok
}
