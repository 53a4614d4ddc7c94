package admission

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"wheelhouse/cluster/apiserver/authz"
)

var storageClassesResource = schema.GroupResource{Group: storagev1.GroupName, Resource: "storageclasses"}

// PersistentVolumeClaimResize refuses the expansion of claims whose class does not support it.
type PersistentVolumeClaimResize struct{ objects authz.Objects }

// Validate implements Validator.
func (p *PersistentVolumeClaimResize) Validate(ctx context.Context, r *Request) error {
	claim, ok := r.Object.(*corev1.PersistentVolumeClaim)
	if !ok || r.Verb != Update || r.Subresource != "" {
		return nil
	}
	old, ok := r.Old.(*corev1.PersistentVolumeClaim)
	if !ok {
		return nil
	}
	was, is := old.Spec.Resources.Requests[corev1.ResourceStorage], claim.Spec.Resources.Requests[corev1.ResourceStorage]
	if is.Cmp(was) <= 0 {
		return nil
	}
	if old.Status.Phase != corev1.ClaimBound {
		return r.forbidden("Only bound persistent volume claims can be expanded")
	}
	expandable, err := p.expandable(ctx, old)
	if err != nil {
		return err
	}
	if !expandable {
		return r.forbidden("only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize")
	}
	return nil
}

// expandable reports whether the class of a claim allows expansion.
func (p *PersistentVolumeClaimResize) expandable(ctx context.Context, claim *corev1.PersistentVolumeClaim) (bool, error) {
	name := claim.Annotations[corev1.BetaStorageClassAnnotation]
	if name == "" && claim.Spec.StorageClassName != nil {
		name = *claim.Spec.StorageClassName
	}
	if name == "" {
		return false, nil
	}
	class, err := get[*storagev1.StorageClass](ctx, p.objects, storageClassesResource, "", name, false)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("looking for the storage class %s: %w", name, err)
	}
	return class.AllowVolumeExpansion != nil && *class.AllowVolumeExpansion, nil
}
