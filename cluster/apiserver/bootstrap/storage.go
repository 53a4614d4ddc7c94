package bootstrap

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// storageClasses creates the default class: a directory on the node of the first pod of a
// claim. A user who needs another default changes its annotation, which stays.
func (b *Bootstrap) storageClasses(ctx context.Context, w *writer) error {
	c := b.Client.StorageV1().StorageClasses()
	have, err := c.List(ctx, list)
	if err != nil {
		return fmt.Errorf("listing storage classes: %w", err)
	}
	wanted := func() []*storagev1.StorageClass { return []*storagev1.StorageClass{standardClass()} }
	return ensure(ctx, w, "storage class", have.Items, wanted, func(string) writes[storagev1.StorageClass] { return c }, nil)
}

// standardClass returns the class that is served by cluster/controller/persistentvolume.
func standardClass() *storagev1.StorageClass {
	return &storagev1.StorageClass{
		ObjectMeta:           metav1.ObjectMeta{Name: "standard", Annotations: map[string]string{"storageclass.kubernetes.io/is-default-class": "true"}},
		Provisioner:          "wheelhouse.dev/host-path",
		ReclaimPolicy:        ptr.To(corev1.PersistentVolumeReclaimDelete),
		VolumeBindingMode:    ptr.To(storagev1.VolumeBindingWaitForFirstConsumer),
		AllowVolumeExpansion: ptr.To(true),
	}
}
