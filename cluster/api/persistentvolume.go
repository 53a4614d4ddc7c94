package api

import (
	"path"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/diff"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// PersistentVolumes is storage that outlives pods.
var PersistentVolumes = &Kind{
	GroupVersionKind: gvk("", "v1", "PersistentVolume"),
	Plural:           "persistentvolumes", Singular: "persistentvolume", Short: []string{"pv"},
	HasStatus: true,
	New:       func() Object { return &corev1.PersistentVolume{} },
	NewList:   func() runtime.Object { return &corev1.PersistentVolumeList{} },

	Default: do(func(v *corev1.PersistentVolume) {
		setDefault(&v.Status.Phase, corev1.VolumePending)
		setDefault(&v.Spec.PersistentVolumeReclaimPolicy, corev1.PersistentVolumeReclaimRetain)
		setDefaultPtr(&v.Spec.VolumeMode, corev1.PersistentVolumeFilesystem)
		if v.Spec.HostPath != nil {
			setDefaultPtr(&v.Spec.HostPath.Type, corev1.HostPathUnset)
		}
	}),
	PrepareCreate: do(func(v *corev1.PersistentVolume) {
		now := metav1.Now()
		v.Status = corev1.PersistentVolumeStatus{Phase: corev1.VolumePending, LastPhaseTransitionTime: &now}
	}),
	PrepareUpdate: do2(func(v, old *corev1.PersistentVolume) { v.Status = old.Status }),
	PrepareStatus: do2(func(v, old *corev1.PersistentVolume) {
		v.Spec = old.Spec
		// A writer may tell the time of the phase by itself.
		if v.Status.Phase != old.Status.Phase && same(v.Status.LastPhaseTransitionTime, old.Status.LastPhaseTransitionTime) {
			now := metav1.Now()
			v.Status.LastPhaseTransitionTime = &now
		}
	}),

	Validate: as(checkPersistentVolume),
	ValidateUpdate: as2(func(v, old *corev1.PersistentVolume) field.ErrorList {
		errs := append(checkPersistentVolume(v), checkMetaUpdate(&v.ObjectMeta, &old.ObjectMeta)...)
		if !same(v.Spec.PersistentVolumeSource, old.Spec.PersistentVolumeSource) {
			errs = append(errs, field.Forbidden(specPath.Child("persistentvolumesource"),
				"spec.persistentvolumesource is immutable after creation\n"+diff.Diff(old.Spec.PersistentVolumeSource, v.Spec.PersistentVolumeSource)))
		}
		errs = append(errs, immutable(v.Spec.VolumeMode, old.Spec.VolumeMode, specPath.Child("volumeMode"))...)
		if old.Spec.NodeAffinity != nil {
			errs = append(errs, immutable(v.Spec.NodeAffinity, old.Spec.NodeAffinity, specPath.Child("nodeAffinity"))...)
		}
		return errs
	}),
	ValidateStatus: as2(func(v, old *corev1.PersistentVolume) field.ErrorList {
		return checkMetaUpdate(&v.ObjectMeta, &old.ObjectMeta)
	}),

	Columns: []metav1.TableColumnDefinition{
		nameColumn,
		col("Capacity", "string", 0, "How much it holds."),
		col("Access Modes", "string", 0, "How it can be mounted."),
		col("Reclaim Policy", "string", 0, "What becomes of it when its claim is gone."),
		col("Status", "string", 0, "Available, Bound, Released or Failed."),
		col("Claim", "string", 0, "The claim that has it."),
		col("StorageClass", "string", 0, "Its storage class."),
		col("VolumeAttributesClass", "string", 0, "Its attributes class."),
		col("Reason", "string", 0, "Why it failed."),
		ageColumn,
		col("VolumeMode", "string", 1, "Filesystem or Block."),
	},
	Row: as(func(v *corev1.PersistentVolume) []any {
		claim := ""
		if r := v.Spec.ClaimRef; r != nil {
			claim = r.Namespace + "/" + r.Name
		}
		phase := string(v.Status.Phase)
		if v.DeletionTimestamp != nil {
			phase = "Terminating"
		}
		class := v.Spec.StorageClassName
		if c, ok := v.Annotations[corev1.BetaStorageClassAnnotation]; ok {
			class = c
		}
		return []any{
			v.Name, storage(v.Spec.Capacity), accessModes(v.Spec.AccessModes), string(v.Spec.PersistentVolumeReclaimPolicy), phase, claim,
			class, unsetIfNil(v.Spec.VolumeAttributesClassName), v.Status.Reason, age(v.CreationTimestamp), unsetIfNil(v.Spec.VolumeMode),
		}
	}),
	Fields: as(func(v *corev1.PersistentVolume) fields.Set { return fields.Set{"name": v.Name} }),
}

func storage(l corev1.ResourceList) string {
	q := l[corev1.ResourceStorage]
	return q.String()
}

func unsetIfNil[T ~string](s *T) string {
	if s == nil {
		return "<unset>"
	}
	return string(*s)
}

// accessModes is the short form that users know, each mode once.
func accessModes(modes []corev1.PersistentVolumeAccessMode) string {
	var out []string
	for _, m := range []struct {
		mode  corev1.PersistentVolumeAccessMode
		short string
	}{
		{corev1.ReadWriteOnce, "RWO"}, {corev1.ReadOnlyMany, "ROX"}, {corev1.ReadWriteMany, "RWX"}, {corev1.ReadWriteOncePod, "RWOP"},
	} {
		for _, have := range modes {
			if have == m.mode {
				out = append(out, m.short)
				break
			}
		}
	}
	return strings.Join(out, ",")
}

const notPositive = "must be greater than zero"

var (
	knownAccessModes = []corev1.PersistentVolumeAccessMode{corev1.ReadOnlyMany, corev1.ReadWriteMany, corev1.ReadWriteOnce, corev1.ReadWriteOncePod}
	volumeModes      = []corev1.PersistentVolumeMode{corev1.PersistentVolumeBlock, corev1.PersistentVolumeFilesystem}
)

func checkAccessModes(modes []corev1.PersistentVolumeAccessMode, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	alone := false
	for _, m := range modes {
		errs = append(errs, oneOf(m, p, knownAccessModes...)...)
		alone = alone || m == corev1.ReadWriteOncePod
	}
	if alone && len(modes) > 1 {
		errs = append(errs, field.Forbidden(p, "may not use ReadWriteOncePod with other access modes"))
	}
	return errs
}

func checkPersistentVolume(v *corev1.PersistentVolume) field.ErrorList {
	errs := checkMeta(&v.ObjectMeta, false, dnsSubdomain)
	s := &v.Spec
	if len(s.AccessModes) == 0 {
		errs = append(errs, field.Required(specPath.Child("accessModes"), ""))
	}
	errs = append(errs, checkAccessModes(s.AccessModes, specPath.Child("accessModes"))...)
	capacity := specPath.Child("capacity")
	if len(s.Capacity) == 0 {
		errs = append(errs, field.Required(capacity, ""))
	}
	if _, ok := s.Capacity[corev1.ResourceStorage]; !ok || len(s.Capacity) > 1 {
		errs = append(errs, field.NotSupported(capacity, s.Capacity, []string{string(corev1.ResourceStorage)}))
	}
	for n, q := range s.Capacity {
		errs = append(errs, checkQuantity(n, q, capacity.Key(string(n)))...)
		if q.Sign() <= 0 {
			errs = append(errs, field.Invalid(capacity.Key(string(n)), q.String(), notPositive))
		}
	}
	if s.PersistentVolumeReclaimPolicy != "" {
		errs = append(errs, oneOf(s.PersistentVolumeReclaimPolicy, specPath.Child("persistentVolumeReclaimPolicy"),
			corev1.PersistentVolumeReclaimDelete, corev1.PersistentVolumeReclaimRecycle, corev1.PersistentVolumeReclaimRetain)...)
	}
	if s.NodeAffinity != nil {
		if at := specPath.Child("nodeAffinity", "required"); s.NodeAffinity.Required == nil {
			errs = append(errs, field.Required(at, "must specify required node constraints"))
		} else {
			errs = append(errs, checkNodeSelector(s.NodeAffinity.Required, at)...)
		}
	}
	errs = append(errs, checkPersistentSource(s)...)
	if s.HostPath != nil && path.Clean(s.HostPath.Path) == "/" && s.PersistentVolumeReclaimPolicy == corev1.PersistentVolumeReclaimRecycle {
		errs = append(errs, field.Forbidden(specPath.Child("persistentVolumeReclaimPolicy"), "may not be 'recycle' for a hostPath mount of '/'"))
	}
	if s.StorageClassName != "" {
		errs = append(errs, invalid(specPath.Child("storageClassName"), s.StorageClassName, dnsSubdomain(s.StorageClassName, false))...)
	}
	if s.VolumeMode != nil {
		errs = append(errs, oneOf(*s.VolumeMode, specPath.Child("volumeMode"), volumeModes...)...)
	}
	return errs
}

func checkPersistentSource(v *corev1.PersistentVolumeSpec) field.ErrorList {
	s := sources{p: specPath}
	if s.has("hostPath", v.HostPath != nil) {
		s.add(checkHostPath(v.HostPath, specPath.Child("hostPath")))
	}
	if s.has("nfs", v.NFS != nil) {
		s.add(checkNFS(v.NFS, specPath.Child("nfs")))
	}
	if s.has("local", v.Local != nil) {
		s.need(v.Local.Path, "local", "path")
		s.add(checkNoBackstep(v.Local.Path, specPath.Child("local", "path")))
		if v.NodeAffinity == nil {
			s.errs = append(s.errs, field.Required(specPath.Child("nodeAffinity"), "Local volume requires node affinity"))
		}
	}
	if s.has("gcePersistentDisk", v.GCEPersistentDisk != nil) {
		s.need(v.GCEPersistentDisk.PDName, "gcePersistentDisk", "pdName")
	}
	if s.has("awsElasticBlockStore", v.AWSElasticBlockStore != nil) {
		s.need(v.AWSElasticBlockStore.VolumeID, "awsElasticBlockStore", "volumeID")
	}
	if s.has("glusterfs", v.Glusterfs != nil) {
		s.need(v.Glusterfs.EndpointsName, "glusterfs", "endpoints")
		s.need(v.Glusterfs.Path, "glusterfs", "path")
	}
	if s.has("csi", v.CSI != nil) {
		s.need(v.CSI.Driver, "csi", "driver")
		s.need(v.CSI.VolumeHandle, "csi", "volumeHandle")
	}
	s.has("rbd", v.RBD != nil)
	s.has("iscsi", v.ISCSI != nil)
	s.has("cinder", v.Cinder != nil)
	s.has("cephfs", v.CephFS != nil)
	s.has("fc", v.FC != nil)
	s.has("flocker", v.Flocker != nil)
	s.has("flexVolume", v.FlexVolume != nil)
	s.has("azureFile", v.AzureFile != nil)
	s.has("vsphereVolume", v.VsphereVolume != nil)
	s.has("quobyte", v.Quobyte != nil)
	s.has("azureDisk", v.AzureDisk != nil)
	s.has("photonPersistentDisk", v.PhotonPersistentDisk != nil)
	s.has("portworxVolume", v.PortworxVolume != nil)
	s.has("scaleIO", v.ScaleIO != nil)
	s.has("storageos", v.StorageOS != nil)
	if s.n == 0 {
		s.errs = append(s.errs, field.Required(specPath, "must specify a volume type"))
	}
	return s.errs
}
