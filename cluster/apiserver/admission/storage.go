package admission

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var storageClassesResource = schema.GroupResource{Group: storagev1.GroupName, Resource: "storageclasses"}

// Finalizers that keep claims and volumes while they are in use.
const (
	claimProtection  = "kubernetes.io/pvc-protection"
	volumeProtection = "kubernetes.io/pv-protection"
)

// storageInUse keeps new claims and volumes from going while something uses them. The
// controller that takes the finalizer away again would add it too, but later.
func (c *Chain) storageInUse(_ context.Context, r *Request) error {
	if r.Verb != Create || r.Subresource != "" {
		return nil
	}
	switch o := r.Object.(type) {
	case *corev1.PersistentVolumeClaim:
		protect(&o.ObjectMeta, claimProtection)
	case *corev1.PersistentVolume:
		protect(&o.ObjectMeta, volumeProtection)
	}
	return nil
}

func protect(m *metav1.ObjectMeta, finalizer string) {
	if !slices.Contains(m.Finalizers, finalizer) {
		m.Finalizers = append(m.Finalizers, finalizer)
	}
}

// claimCanGrow refuses to let a claim ask for more when nothing can give it that.
func (c *Chain) claimCanGrow(ctx context.Context, r *Request) error {
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
	grows, err := c.growing(ctx, old)
	if err != nil {
		return err
	}
	if !grows {
		return r.forbidden("only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize")
	}
	return nil
}

// growing says whether the volumes of the claim's class can grow.
func (c *Chain) growing(ctx context.Context, claim *corev1.PersistentVolumeClaim) (bool, error) {
	name := claim.Annotations[corev1.BetaStorageClassAnnotation]
	if name == "" && claim.Spec.StorageClassName != nil {
		name = *claim.Spec.StorageClassName
	}
	if name == "" {
		return false, nil
	}
	o, err := c.objects.Get(ctx, storageClassesResource, "", name, false)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("looking for the storage class %s: %w", name, err)
	}
	class, ok := o.(*storagev1.StorageClass)
	return ok && class.AllowVolumeExpansion != nil && *class.AllowVolumeExpansion, nil
}

// taintNewNode keeps pods from a node until it has said that it is ready.
func (c *Chain) taintNewNode(_ context.Context, r *Request) error {
	node, ok := r.Object.(*corev1.Node)
	if !ok || r.Verb != Create || !r.is("", "nodes", "") {
		return nil
	}
	notReady := corev1.Taint{Key: corev1.TaintNodeNotReady, Effect: corev1.TaintEffectNoSchedule}
	if !slices.ContainsFunc(node.Spec.Taints, func(t corev1.Taint) bool { return t.MatchTaint(&notReady) }) {
		node.Spec.Taints = append(node.Spec.Taints, notReady)
	}
	return nil
}
