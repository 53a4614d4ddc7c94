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
	exists := names(have.Items, func(s *storagev1.StorageClass) string { return s.Name })
	wanted := standardClass()
	return w.each(1, func(int) error {
		if exists[wanted.Name] != nil {
			return nil
		}
		_, err := c.Create(ctx, wanted, metav1.CreateOptions{})
		return done(err, "storage class", wanted.Name)
	})
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
