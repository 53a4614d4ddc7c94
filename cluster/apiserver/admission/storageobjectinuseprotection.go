package admission

import (
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Finalizers that keep claims and volumes while they are in use.
const (
	claimProtection  = "kubernetes.io/pvc-protection"
	volumeProtection = "kubernetes.io/pv-protection"
)

// StorageObjectInUseProtection gives new claims and volumes the finalizer that keeps them while
// they are in use. The controller that removes the finalizer would add it too, but later.
type StorageObjectInUseProtection struct{}

// Admit implements Mutator.
func (StorageObjectInUseProtection) Admit(_ context.Context, r *Request) error {
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
