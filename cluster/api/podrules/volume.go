package podrules

import (
	"fmt"
	"path"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"wheelhouse/cluster/api/rules"
)

// validateVolumes validates the volumes and records the valid ones by name for the mounts.
func (c *podSpecValidator) validateVolumes(volumes []corev1.Volume, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	c.volumes = make(map[string]*corev1.VolumeSource, len(volumes))
	created := map[string]bool{} // claims of ephemeral volumes
	if c.meta != nil && c.meta.Name != "" {
		for i := range volumes {
			if volumes[i].Ephemeral != nil {
				created[c.meta.Name+"-"+volumes[i].Name] = true
			}
		}
	}
	for i := range volumes {
		v, at := &volumes[i], p.Index(i)
		bad := c.validateVolumeSource(v, at)
		bad = append(bad, rules.RequiredValue(v.Name, at.Child("name"), validation.IsDNS1123Label)...)
		if c.volumes[v.Name] != nil {
			bad = append(bad, field.Duplicate(at.Child("name"), v.Name))
		}
		if len(bad) == 0 {
			c.volumes[v.Name] = &v.VolumeSource
		}
		errs = append(errs, bad...)
		if claim := v.PersistentVolumeClaim; claim != nil && created[claim.ClaimName] {
			errs = append(errs, field.Invalid(at.Child("persistentVolumeClaim", "claimName"), claim.ClaimName,
				"must not reference a PVC that gets created for an ephemeral volume"))
		}
	}
	return errs
}

// Sources validates the sources of one volume: there must be exactly one.
type Sources struct {
	N    int
	P    *field.Path
	Errs field.ErrorList
}

// Has reports whether the source is set and is the first one.
func (s *Sources) Has(name string, set bool) bool {
	if !set {
		return false
	}
	if s.N++; s.N > 1 {
		s.Errs = append(s.Errs, field.Forbidden(s.P.Child(name), "may not specify more than 1 volume type"))
		return false
	}
	return true
}

// Need adds an error if a required field is empty.
func (s *Sources) Need(v string, path ...string) {
	if v == "" {
		s.Errs = append(s.Errs, field.Required(s.P.Child(path[0], path[1:]...), ""))
	}
}

// NeedSecret requires the name of a secret that is referenced.
func (s *Sources) NeedSecret(ref *corev1.LocalObjectReference, source string) {
	if ref != nil {
		s.Need(ref.Name, source, "secretRef", "name")
	}
}

// Source counts a source that is set and requires its fields, given as names and values.
func (s *Sources) Source(name string, set bool, fields ...string) {
	if s.Has(name, set) {
		for i := 0; i < len(fields); i += 2 {
			s.Need(fields[i+1], name, fields[i])
		}
	}
}

// Deref returns the value of a source, zero if it is not set.
func Deref[T any](source *T) (v T) {
	if source != nil {
		v = *source
	}
	return v
}

// Add adds errors.
func (s *Sources) Add(errs field.ErrorList) { s.Errs = append(s.Errs, errs...) }

// validateVolumeSource validates the source of a volume, in upstream's order of the sources.
func (c *podSpecValidator) validateVolumeSource(v *corev1.Volume, p *field.Path) field.ErrorList {
	s := Sources{P: p}
	if s.Has("emptyDir", v.EmptyDir != nil) && v.EmptyDir.SizeLimit != nil && v.EmptyDir.SizeLimit.Sign() < 0 {
		s.Errs = append(s.Errs, field.Forbidden(p.Child("emptyDir", "sizeLimit"), "SizeLimit field must be a valid resource quantity"))
	}
	if s.Has("hostPath", v.HostPath != nil) {
		s.Add(ValidateHostPathVolumeSource(v.HostPath, p.Child("hostPath")))
	}
	if s.Has("gitRepo", v.GitRepo != nil) {
		s.Need(v.GitRepo.Repository, "gitRepo", "repository")
		s.Add(validateLocalDescendingPath(v.GitRepo.Directory, p.Child("gitRepo", "directory")))
	}
	if s.Has("gcePersistentDisk", v.GCEPersistentDisk != nil) {
		s.Add(ValidateGCEPersistentDisk(v.GCEPersistentDisk, p.Child("persistentDisk")))
	}
	if s.Has("awsElasticBlockStore", v.AWSElasticBlockStore != nil) {
		s.Add(ValidateAWSElasticBlockStore(v.AWSElasticBlockStore, p.Child("awsElasticBlockStore")))
	}
	if s.Has("secret", v.Secret != nil) {
		s.Need(v.Secret.SecretName, "secret", "secretName")
		s.Add(validateFileMode(v.Secret.DefaultMode, p.Child("secret", "defaultMode")))
		s.Add(validateKeyToPaths(v.Secret.Items, p.Child("secret", "items")))
	}
	if s.Has("nfs", v.NFS != nil) {
		s.Add(ValidateNFSVolumeSource(v.NFS, p.Child("nfs")))
	}
	validateNetworkDisk(v, &s)
	if s.Has("downwarAPI", v.DownwardAPI != nil) { // upstream's spelling
		s.Add(validateFileMode(v.DownwardAPI.DefaultMode, p.Child("downwardAPI", "defaultMode")))
		for i := range v.DownwardAPI.Items {
			s.Add(validateDownwardAPIVolumeFile(&v.DownwardAPI.Items[i], p.Child("downwardAPI")))
		}
	}
	if s.Has("fc", v.FC != nil) {
		s.Add(ValidateFCVolumeSource(v.FC, p.Child("fc")))
	}
	if s.Has("flexVolume", v.FlexVolume != nil) {
		s.Add(ValidateFlexVolume(v.FlexVolume.Driver, v.FlexVolume.Options, p.Child("flexVolume")))
	}
	if s.Has("configMap", v.ConfigMap != nil) {
		s.Need(v.ConfigMap.Name, "configMap", "name")
		s.Add(validateFileMode(v.ConfigMap.DefaultMode, p.Child("configMap", "defaultMode")))
		s.Add(validateKeyToPaths(v.ConfigMap.Items, p.Child("configMap", "items")))
	}
	validateCloudDisk(v, &s)
	if s.Has("projected", v.Projected != nil) {
		s.Add(validateFileMode(v.Projected.DefaultMode, p.Child("projected", "defaultMode")))
		s.Add(validateProjectionSources(v.Projected.Sources, p.Child("projected")))
	}
	s.Source("scaleIO", v.ScaleIO != nil, "gateway", Deref(v.ScaleIO).Gateway, "system", Deref(v.ScaleIO).System, "volumeName", Deref(v.ScaleIO).VolumeName)
	if s.Has("csi", v.CSI != nil) {
		s.Add(validateCSIVolumeSource(v.CSI, p.Child("csi")))
	}
	if s.Has("ephemeral", v.Ephemeral != nil) {
		s.Add(c.validateEphemeralVolume(v, p))
	}
	if s.Has("image", v.Image != nil) {
		s.Add(c.validateImageVolume(v.Image, p.Child("image")))
	}
	if s.N == 0 {
		s.Errs = append(s.Errs, field.Required(p, "must specify a volume type"))
	}
	return s.Errs
}

func (c *podSpecValidator) validateImageVolume(v *corev1.ImageVolumeSource, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	if v.Reference == "" && !c.template { // a controller may set it in the pods of a template
		errs = append(errs, field.Required(p.Child("reference"), ""))
	}
	return append(errs, rules.RequiredOneOf(v.PullPolicy, p.Child("pullPolicy"), pullPolicies...)...)
}

// validateEphemeralVolume validates the template of the claim and the claim's name, which begins with the pod's.
func (c *podSpecValidator) validateEphemeralVolume(v *corev1.Volume, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	at := p.Child("ephemeral", "volumeClaimTemplate")
	if t := v.Ephemeral.VolumeClaimTemplate; t == nil {
		errs = append(errs, field.Required(at, ""))
	} else {
		errs = append(errs, validateTemplateObjectMeta(&t.ObjectMeta, at.Child("metadata"))...)
		errs = append(errs, ValidatePersistentVolumeClaimSpec(&t.Spec, false, at.Child("spec"))...)
	}
	if c.meta == nil || c.meta.Name == "" || v.Name == "" {
		return errs
	}
	claim := c.meta.Name + "-" + v.Name
	for _, message := range rules.DNSSubdomain(claim, false) {
		errs = append(errs, field.Invalid(p.Child("name"), v.Name, fmt.Sprintf("PVC name %q: %v", claim, message)))
	}
	return errs
}

// validateNetworkDisk validates sources of the cluster's network, most of which the kubelet does not support: it rejects such a pod
// with an event.
func validateNetworkDisk(v *corev1.Volume, s *Sources) {
	if s.Has("iscsi", v.ISCSI != nil) {
		s.Add(validateISCSIVolumeSource(v.ISCSI, s.P.Child("iscsi")))
	}
	if v.ISCSI != nil && v.ISCSI.InitiatorName != nil && len(v.Name+":"+v.ISCSI.TargetPortal) > MaxISCSIName {
		s.Add(field.ErrorList{field.Invalid(s.P.Child("name"), v.Name, ISCSINameTooLong)})
	}
	s.Source("glusterfs", v.Glusterfs != nil, "endpoints", Deref(v.Glusterfs).EndpointsName, "path", Deref(v.Glusterfs).Path)
	if s.Has("flocker", v.Flocker != nil) {
		s.Add(ValidateFlockerVolumeSource(v.Flocker, s.P.Child("flocker")))
	}
	s.Source("persistentVolumeClaim", v.PersistentVolumeClaim != nil, "claimName", Deref(v.PersistentVolumeClaim).ClaimName)
	s.Source("rbd", v.RBD != nil, "monitors", strings.Join(Deref(v.RBD).CephMonitors, ","), "image", Deref(v.RBD).RBDImage)
	if s.Has("cinder", v.Cinder != nil) {
		s.Need(v.Cinder.VolumeID, "cinder", "volumeID")
		s.NeedSecret(v.Cinder.SecretRef, "cinder")
	}
	if s.Has("cephFS", v.CephFS != nil) { // as upstream, only this error names it so
		s.Need(strings.Join(v.CephFS.Monitors, ","), "cephfs", "monitors")
	}
	if s.Has("quobyte", v.Quobyte != nil) {
		s.Add(ValidateQuobyteVolumeSource(v.Quobyte, s.P.Child("quobyte")))
	}
}

func validateCloudDisk(v *corev1.Volume, s *Sources) {
	s.Source("azureFile", v.AzureFile != nil, "secretName", Deref(v.AzureFile).SecretName, "shareName", Deref(v.AzureFile).ShareName)
	s.Source("vsphereVolume", v.VsphereVolume != nil, "volumePath", Deref(v.VsphereVolume).VolumePath)
	s.Source("photonPersistentDisk", v.PhotonPersistentDisk != nil, "pdID", Deref(v.PhotonPersistentDisk).PdID)
	s.Source("portworxVolume", v.PortworxVolume != nil, "volumeID", Deref(v.PortworxVolume).VolumeID)
	if s.Has("azureDisk", v.AzureDisk != nil) {
		s.Add(ValidateAzureDisk(v.AzureDisk, s.P.Child("azureDisk")))
	}
	if s.Has("storageos", v.StorageOS != nil) {
		s.Add(ValidateStorageOS(v.StorageOS.VolumeName, v.StorageOS.VolumeNamespace, s.P.Child("storageos")))
		s.NeedSecret(v.StorageOS.SecretRef, "storageos")
	}
}

var hostPathTypes = []corev1.HostPathType{
	corev1.HostPathUnset, corev1.HostPathBlockDev, corev1.HostPathCharDev, corev1.HostPathDirectory,
	corev1.HostPathDirectoryOrCreate, corev1.HostPathFile, corev1.HostPathFileOrCreate, corev1.HostPathSocket,
}

// ValidateHostPathVolumeSource validates a hostPath volume.
func ValidateHostPathVolumeSource(h *corev1.HostPathVolumeSource, p *field.Path) field.ErrorList {
	if h.Path == "" {
		return field.ErrorList{field.Required(p.Child("path"), "")}
	}
	errs := ValidatePathNoBacksteps(h.Path, p.Child("path"))
	errs = append(errs, rules.OptionalOneOf(h.Type, p.Child("type"), hostPathTypes...)...)
	return errs
}

// ValidateNFSVolumeSource validates an NFS volume.
func ValidateNFSVolumeSource(n *corev1.NFSVolumeSource, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	errs = append(errs, rules.Required(n.Server, p.Child("server"))...)
	errs = append(errs, rules.Required(n.Path, p.Child("path"))...)
	if !path.IsAbs(n.Path) {
		errs = append(errs, field.Invalid(p.Child("path"), n.Path, "must be an absolute path"))
	}
	return errs
}

func validateFileMode(mode *int32, p *field.Path) field.ErrorList {
	if mode == nil || (*mode >= 0 && *mode <= 0o777) {
		return nil
	}
	return field.ErrorList{field.Invalid(p, *mode, "must be a number between 0 and 0777 (octal), both inclusive")}
}

func validateKeyToPaths(items []corev1.KeyToPath, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i := range items {
		errs = append(errs, validateKeyToPath(&items[i], p.Index(i))...)
	}
	return errs
}

func validateKeyToPath(item *corev1.KeyToPath, p *field.Path) field.ErrorList {
	errs := rules.Required(item.Key, p.Child("key"))
	errs = append(errs, requireLocalNonReservedPath(item.Path, p.Child("path"))...)
	return append(errs, validateFileMode(item.Mode, p.Child("mode"))...)
}

// validateLocalNonReservedPath validates the path of a file in a volume. Names that begin with ".." are reserved
// for the kubelet.
func validateLocalNonReservedPath(v string, p *field.Path) field.ErrorList {
	errs := validateLocalDescendingPath(v, p)
	if strings.HasPrefix(v, "..") && !strings.HasPrefix(v, "../") {
		errs = append(errs, field.Invalid(p, v, "must not start with '..'"))
	}
	return errs
}

func requireLocalNonReservedPath(v string, p *field.Path) field.ErrorList {
	if v == "" {
		return field.ErrorList{field.Required(p, "")}
	}
	return validateLocalNonReservedPath(v, p)
}

func validateLocalDescendingPath(v string, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	if path.IsAbs(v) {
		errs = append(errs, field.Invalid(p, v, "must be a relative path"))
	}
	return append(errs, ValidatePathNoBacksteps(v, p)...)
}

// ValidatePathNoBacksteps reports a path with "..".
func ValidatePathNoBacksteps(v string, p *field.Path) field.ErrorList {
	if !strings.Contains(v, "..") {
		return nil
	}
	for _, part := range strings.Split(v, "/") {
		if part == ".." {
			return field.ErrorList{field.Invalid(p, v, "must not contain '..'")}
		}
	}
	return nil
}

func validateDownwardAPIVolumeFile(f *corev1.DownwardAPIVolumeFile, p *field.Path) field.ErrorList {
	errs := requireLocalNonReservedPath(f.Path, p.Child("path"))
	switch {
	case f.FieldRef != nil:
		errs = append(errs, validateObjectFieldSelector(f.FieldRef, volumeDownwardAPIFields, p.Child("fieldRef"))...)
		if f.ResourceFieldRef != nil {
			errs = append(errs, field.Invalid(p, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously"))
		}
	case f.ResourceFieldRef != nil:
		errs = append(errs, validateContainerResourceFieldSelector(f.ResourceFieldRef, true, p.Child("resourceFieldRef"))...)
	default:
		errs = append(errs, field.Required(p, "one of fieldRef and resourceFieldRef is required"))
	}
	return append(errs, validateFileMode(f.Mode, p.Child("mode"))...)
}
