package admission

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var storageClassesResource = schema.GroupResource{Group: storagev1.GroupName, Resource: "storageclasses"}

// Finalizers that keep claims and volumes while they are in use.
const (
	claimProtection  = "kubernetes.io/pvc-protection"
	volumeProtection = "kubernetes.io/pv-protection"
)

// Annotations that make a class the default, of today and of before.
var defaultClassAnnotations = []string{
	"storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class",
}

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

// defaultStorageClass gives a new claim that names no class the cluster's default. An
// empty name is a choice too: it asks for a volume without a class.
func (c *Chain) defaultStorageClass(ctx context.Context, r *Request) error {
	claim, ok := r.Object.(*corev1.PersistentVolumeClaim)
	if !ok || r.Verb != Create || r.Subresource != "" || claim.Spec.StorageClassName != nil {
		return nil
	}
	if _, ok := claim.Annotations[corev1.BetaStorageClassAnnotation]; ok {
		return nil
	}
	list, _, err := c.objects.List(ctx, storageClassesResource, "", false)
	if err != nil {
		return fmt.Errorf("looking for the default storage class: %w", err)
	}
	var newest *storagev1.StorageClass
	for _, o := range list {
		if s, ok := o.(*storagev1.StorageClass); ok && isDefault(s) && (newest == nil || newest.CreationTimestamp.Before(&s.CreationTimestamp)) {
			newest = s // of two that are as old, the first by name
		}
	}
	if newest != nil {
		name := newest.Name
		claim.Spec.StorageClassName = &name
	}
	return nil
}

func isDefault(s *storagev1.StorageClass) bool {
	return slices.ContainsFunc(defaultClassAnnotations, func(a string) bool { return s.Annotations[a] == "true" })
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
