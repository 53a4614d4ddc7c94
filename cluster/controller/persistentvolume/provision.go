package persistentvolume

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/reference"
	"k8s.io/component-helpers/storage/volume"
	"k8s.io/utils/ptr"

	"wheelhouse/cluster/api/podfacts"
	"wheelhouse/cluster/controller/loop"
)

const (
	// Provisioner is the provisioner of storage classes whose volumes are created here:
	// directories on the disk of the node of the claim's first pod.
	Provisioner = "wheelhouse.dev/host-path"
	// VolumesDir is their parent directory. The kubelet removes the volumes (cluster/kubelet).
	VolumesDir = "/srv/volumes"
)

// dataFinalizer keeps a provisioned volume until its data is removed.
const dataFinalizer = volume.PVDeletionProtectionFinalizer

// unmatched handles a claim that no existing volume fits: it waits for its pod, provisions a
// volume, or records what is missing.
func (c *Controller) unmatched(ctx context.Context, claim *v1.PersistentVolumeClaim, volumes []*v1.PersistentVolume) error {
	if !volume.PersistentVolumeClaimHasClass(claim) {
		class, err := c.defaultClass()
		if err != nil {
			return err
		}
		if class != nil {
			return c.setDefaultClass(ctx, claim, class, volumes)
		}
	}
	name := volume.GetPersistentVolumeClaimClass(claim)
	if name == "" {
		c.Recorder.Event(claim, v1.EventTypeNormal, "FailedBinding",
			"no persistent volumes available for this claim and no storage class is set"+mismatches(claim, volumes))
		return c.claimPhase(ctx, claim, v1.ClaimPending, nil)
	}
	class, err := c.classes.Get(name)
	if apierrors.IsNotFound(err) {
		c.Recorder.Eventf(claim, v1.EventTypeWarning, "ProvisioningFailed", "storageclass.storage.k8s.io %q not found%s", name, mismatches(claim, volumes))
		return c.claimPhase(ctx, claim, v1.ClaimPending, nil)
	}
	if err != nil {
		return err
	}
	if delayed(class) && !volume.IsDelayBindingProvisioning(claim) {
		c.recordWaiting(claim)
		return c.claimPhase(ctx, claim, v1.ClaimPending, nil)
	}
	switch class.Provisioner {
	case Provisioner:
		return c.provision(ctx, claim, class)
	case volume.NotSupportedProvisioner:
		c.Recorder.Eventf(claim, v1.EventTypeWarning, "ProvisioningFailed",
			"storage class %q makes no volumes, and no persistent volume of it is available for this claim%s", name, mismatches(claim, volumes))
		return c.claimPhase(ctx, claim, v1.ClaimPending, nil)
	}
	return c.awaitExternal(ctx, claim, class)
}

func delayed(class *storagev1.StorageClass) bool {
	return class.VolumeBindingMode != nil && *class.VolumeBindingMode == storagev1.VolumeBindingWaitForFirstConsumer
}

// defaultClass returns the class for claims that name none: of several the newest.
func (c *Controller) defaultClass() (*storagev1.StorageClass, error) {
	all, err := c.classes.List(labels.Everything())
	if err != nil {
		return nil, fmt.Errorf("list storage classes: %w", err)
	}
	var newest *storagev1.StorageClass
	for _, class := range all {
		marked := class.Annotations["storageclass.kubernetes.io/is-default-class"] == "true" ||
			class.Annotations["storageclass.beta.kubernetes.io/is-default-class"] == "true"
		if marked && (newest == nil || newest.CreationTimestamp.Before(&class.CreationTimestamp)) {
			newest = class
		}
	}
	return newest, nil
}

// manualVolumeDelay is how long a claim without a class waits for a manually created volume,
// even if its pod exists already: the files of a directory are applied in the order of their
// names. Creation times are whole seconds.
const manualVolumeDelay = 2 * time.Second

// setDefaultClass sets the default class of a claim that names none, as late as possible: a
// manually created volume without a class has precedence. So a class that waits for the
// first consumer is not set before there is one.
func (c *Controller) setDefaultClass(ctx context.Context, claim *v1.PersistentVolumeClaim, class *storagev1.StorageClass, volumes []*v1.PersistentVolume) error {
	wait := time.Until(claim.CreationTimestamp.Add(manualVolumeDelay))
	switch {
	case delayed(class) && len(c.users(claim)) == 0:
		c.recordWaiting(claim)
		return c.claimPhase(ctx, claim, v1.ClaimPending, nil)
	case becomesAvailable(claim, volumes):
		return nil // the volume's event enqueues the claim
	case wait > 0:
		c.AddAfter(item{claim.Namespace, claim.Name}, wait)
		return nil
	}
	next := claim.DeepCopy()
	next.Spec.StorageClassName = &class.Name
	if _, err := c.Client.CoreV1().PersistentVolumeClaims(claim.Namespace).Update(ctx, next, metav1.UpdateOptions{}); err != nil {
		return fmt.Errorf("set the default storage class: %w", err)
	}
	return nil
}

// becomesAvailable reports whether a volume fits that was just created and is not available yet.
func becomesAvailable(claim *v1.PersistentVolumeClaim, volumes []*v1.PersistentVolume) bool {
	return slices.ContainsFunc(volumes, func(pv *v1.PersistentVolume) bool {
		fresh := pv.Status.Phase == "" || pv.Status.Phase == v1.VolumePending
		return fresh && pv.Spec.ClaimRef == nil && pv.DeletionTimestamp == nil && unfit(claim, pv) == nil
	})
}

// recordWaiting records what a claim waits for.
func (c *Controller) recordWaiting(claim *v1.PersistentVolumeClaim) {
	users := c.users(claim)
	if len(users) == 0 {
		c.Recorder.Event(claim, v1.EventTypeNormal, "WaitForFirstConsumer", "waiting for first consumer to be created before binding")
		return
	}
	c.Recorder.Eventf(claim, v1.EventTypeNormal, "WaitForPodScheduled", "waiting for pod %s to be scheduled", strings.Join(users, ","))
}

// users returns the names of the active pods with the claim among their volumes.
func (c *Controller) users(claim *v1.PersistentVolumeClaim) []string {
	var out []string
	for _, p := range loop.All(c.Log, c.pods.Pods(claim.Namespace).List) {
		if podfacts.Active(p) && names(p, claim) {
			out = append(out, p.Name)
		}
	}
	slices.Sort(out)
	return out
}

// awaitExternal leaves the claim to a provisioner that runs elsewhere.
func (c *Controller) awaitExternal(ctx context.Context, claim *v1.PersistentVolumeClaim, class *storagev1.StorageClass) error {
	if claim.Annotations[volume.AnnStorageProvisioner] != class.Provisioner {
		next := claim.DeepCopy()
		metav1.SetMetaDataAnnotation(&next.ObjectMeta, volume.AnnStorageProvisioner, class.Provisioner)
		metav1.SetMetaDataAnnotation(&next.ObjectMeta, volume.AnnBetaStorageProvisioner, class.Provisioner)
		_, err := c.Client.CoreV1().PersistentVolumeClaims(claim.Namespace).Update(ctx, next, metav1.UpdateOptions{})
		if err != nil {
			return fmt.Errorf("name the provisioner: %w", err)
		}
		return nil // the claim's event enqueues it
	}
	c.Recorder.Eventf(claim, v1.EventTypeNormal, "ExternalProvisioning",
		"Waiting for a volume to be created either by the external provisioner '%s' or manually by the system administrator. "+
			"If volume creation is delayed, please verify that the provisioner is running and correctly registered.", class.Provisioner)
	return c.claimPhase(ctx, claim, v1.ClaimPending, nil)
}

// provision creates the volume of a claim: the object only, for the kubelet creates the
// directory when the first pod mounts it.
func (c *Controller) provision(ctx context.Context, claim *v1.PersistentVolumeClaim, class *storagev1.StorageClass) error {
	fail := func(format string, args ...any) error {
		c.Recorder.Eventf(claim, v1.EventTypeWarning, "ProvisioningFailed", "failed to provision volume with StorageClass %q: %s", class.Name, fmt.Sprintf(format, args...))
		return c.claimPhase(ctx, claim, v1.ClaimPending, nil)
	}
	if why := unprovisionable(claim, class); why != "" {
		return fail("%s", why)
	}
	node, err := c.nodeFor(claim, class)
	if err != nil {
		return err
	}
	if node == nil && volume.IsDelayBindingProvisioning(claim) {
		gone := claim.Annotations[volume.AnnSelectedNode]
		if err := c.unselect(ctx, claim); err != nil {
			return err
		}
		return fail("node %q not found", gone)
	}
	if node == nil {
		return fail("no node is ready for it")
	}
	pv, err := c.create(ctx, claim, class, node)
	if err != nil {
		return err
	}
	c.Recorder.Eventf(claim, v1.EventTypeNormal, "ProvisioningSucceeded", "Successfully provisioned volume %s on node %s", pv.Name, node.Name)
	return c.bind(ctx, pv, claim)
}

// unprovisionable returns what of a claim or its class a directory of a node cannot be, "" if
// nothing: a volume without it would not be what was asked for.
func unprovisionable(claim *v1.PersistentVolumeClaim, class *storagev1.StorageClass) string {
	switch {
	case claim.Spec.VolumeMode != nil && *claim.Spec.VolumeMode == v1.PersistentVolumeBlock:
		return "a directory of the node cannot be a block device: ask for volumeMode Filesystem"
	case claim.Spec.Selector != nil:
		return "claim Selector is not supported"
	case claim.Spec.DataSource != nil || claim.Spec.DataSourceRef != nil:
		return fmt.Sprintf("plugin %q is not a CSI plugin. Only CSI plugin can provision a claim with a datasource", class.Provisioner)
	case ptr.Deref(claim.Spec.VolumeAttributesClassName, "") != "":
		return fmt.Sprintf("plugin %q has no volume attributes classes", class.Provisioner)
	case len(class.MountOptions) > 0:
		return fmt.Sprintf("Mount options are not supported by the provisioner but StorageClass %q has mount options %v", class.Name, class.MountOptions)
	}
	for _, name := range slices.Sorted(maps.Keys(class.Parameters)) {
		return fmt.Sprintf("invalid option %q for volume plugin %s", name, class.Provisioner)
	}
	return ""
}

func (c *Controller) create(ctx context.Context, claim *v1.PersistentVolumeClaim, class *storagev1.StorageClass, node *v1.Node) (*v1.PersistentVolume, error) {
	ref, err := reference.GetReference(scheme.Scheme, claim)
	if err != nil {
		return nil, fmt.Errorf("provision: %w", err)
	}
	kind := v1.HostPathDirectoryOrCreate
	name := "pvc-" + string(claim.UID)
	pv := &v1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Finalizers: []string{dataFinalizer},
			Annotations: map[string]string{volume.AnnDynamicallyProvisioned: Provisioner},
		},
		Spec: v1.PersistentVolumeSpec{
			Capacity:         v1.ResourceList{v1.ResourceStorage: claim.Spec.Resources.Requests[v1.ResourceStorage]},
			AccessModes:      claim.Spec.AccessModes,
			ClaimRef:         ref,
			StorageClassName: class.Name,
			NodeAffinity:     onlyOn(node),
			PersistentVolumeSource: v1.PersistentVolumeSource{
				HostPath: &v1.HostPathVolumeSource{Path: VolumesDir + "/" + name, Type: &kind},
			},
		},
	}
	if class.ReclaimPolicy != nil {
		pv.Spec.PersistentVolumeReclaimPolicy = *class.ReclaimPolicy
	}
	made, err := c.Client.CoreV1().PersistentVolumes().Create(ctx, pv, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return c.Client.CoreV1().PersistentVolumes().Get(ctx, name, metav1.GetOptions{})
	}
	if err != nil {
		return nil, fmt.Errorf("provision: %w", err)
	}
	return made, nil
}

// unselect removes the selected node, so that the scheduler selects another.
func (c *Controller) unselect(ctx context.Context, claim *v1.PersistentVolumeClaim) error {
	next := claim.DeepCopy()
	delete(next.Annotations, volume.AnnSelectedNode)
	if _, err := c.Client.CoreV1().PersistentVolumeClaims(claim.Namespace).Update(ctx, next, metav1.UpdateOptions{}); err != nil {
		return fmt.Errorf("remove the selected node: %w", err)
	}
	return nil
}
