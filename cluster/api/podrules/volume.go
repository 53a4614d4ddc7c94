package podrules

import (
	"path"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"wheelhouse/cluster/api/rules"
)

// validateVolumes validates the volumes and records them by name for the mounts.
func (c *podSpecValidator) validateVolumes(volumes []corev1.Volume, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	c.volumes = make(map[string]*corev1.VolumeSource, len(volumes))
	for i := range volumes {
		v, at := &volumes[i], p.Index(i)
		errs = append(errs, validateVolumeSource(&v.VolumeSource, at)...)
		if v.Image != nil && v.Image.Reference == "" && !c.template { // a controller may set it in the pods of a template
			errs = append(errs, field.Required(at.Child("image", "reference"), ""))
		}
		var bad field.ErrorList
		if v.Name == "" {
			bad = field.ErrorList{field.Required(at.Child("name"), "")}
		} else {
			bad = rules.Invalid(at.Child("name"), v.Name, validation.IsDNS1123Label(v.Name))
			if c.volumes[v.Name] != nil {
				bad = append(bad, field.Duplicate(at.Child("name"), v.Name))
			}
		}
		errs = append(errs, bad...)
		// A volume with an invalid source counts, so that its mounts are no further errors.
		if len(bad) == 0 {
			c.volumes[v.Name] = &v.VolumeSource
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

func validateVolumeSource(v *corev1.VolumeSource, p *field.Path) field.ErrorList {
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
	if s.Has("secret", v.Secret != nil) {
		s.Need(v.Secret.SecretName, "secret", "secretName")
		s.Add(validateFileMode(v.Secret.DefaultMode, p.Child("secret", "defaultMode")))
		s.Add(validateKeyToPaths(v.Secret.Items, p.Child("secret", "items")))
	}
	if s.Has("configMap", v.ConfigMap != nil) {
		s.Need(v.ConfigMap.Name, "configMap", "name")
		s.Add(validateFileMode(v.ConfigMap.DefaultMode, p.Child("configMap", "defaultMode")))
		s.Add(validateKeyToPaths(v.ConfigMap.Items, p.Child("configMap", "items")))
	}
	if s.Has("nfs", v.NFS != nil) {
		s.Add(ValidateNFSVolumeSource(v.NFS, p.Child("nfs")))
	}
	s.Source("persistentVolumeClaim", v.PersistentVolumeClaim != nil, "claimName", Deref(v.PersistentVolumeClaim).ClaimName)
	if s.Has("downwardAPI", v.DownwardAPI != nil) {
		s.Add(validateFileMode(v.DownwardAPI.DefaultMode, p.Child("downwardAPI", "defaultMode")))
		for i := range v.DownwardAPI.Items {
			s.Add(validateDownwardAPIVolumeFile(&v.DownwardAPI.Items[i], p.Child("downwardAPI")))
		}
	}
	if s.Has("projected", v.Projected != nil) {
		s.Add(validateFileMode(v.Projected.DefaultMode, p.Child("projected", "defaultMode")))
		s.Add(validateProjectionSources(v.Projected.Sources, p.Child("projected", "sources")))
	}
	if s.Has("ephemeral", v.Ephemeral != nil) {
		if t := v.Ephemeral.VolumeClaimTemplate; t == nil {
			s.Errs = append(s.Errs, field.Required(p.Child("ephemeral", "volumeClaimTemplate"), ""))
		} else {
			s.Add(ValidatePersistentVolumeClaimSpec(&t.Spec, p.Child("ephemeral", "volumeClaimTemplate", "spec")))
		}
	}
	validateUnsupportedSource(v, &s)
	if s.N == 0 {
		s.Errs = append(s.Errs, field.Required(p, "must specify a volume type"))
	}
	return s.Errs
}

// validateUnsupportedSource validates the sources that the kubelet does not support. It rejects such a pod with
// an event.
func validateUnsupportedSource(v *corev1.VolumeSource, s *Sources) {
	s.Source("gcePersistentDisk", v.GCEPersistentDisk != nil, "pdName", Deref(v.GCEPersistentDisk).PDName)
	s.Source("awsElasticBlockStore", v.AWSElasticBlockStore != nil, "volumeID", Deref(v.AWSElasticBlockStore).VolumeID)
	s.Source("iscsi", v.ISCSI != nil, "targetPortal", Deref(v.ISCSI).TargetPortal, "iqn", Deref(v.ISCSI).IQN)
	s.Source("glusterfs", v.Glusterfs != nil, "endpoints", Deref(v.Glusterfs).EndpointsName, "path", Deref(v.Glusterfs).Path)
	s.Source("rbd", v.RBD != nil, "monitors", strings.Join(Deref(v.RBD).CephMonitors, ","), "image", Deref(v.RBD).RBDImage)
	s.Source("cephfs", v.CephFS != nil, "monitors", strings.Join(Deref(v.CephFS).Monitors, ","))
	s.Source("cinder", v.Cinder != nil, "volumeID", Deref(v.Cinder).VolumeID)
	s.Source("flexVolume", v.FlexVolume != nil, "driver", Deref(v.FlexVolume).Driver)
	s.Source("azureFile", v.AzureFile != nil, "secretName", Deref(v.AzureFile).SecretName, "shareName", Deref(v.AzureFile).ShareName)
	s.Source("azureDisk", v.AzureDisk != nil, "diskName", Deref(v.AzureDisk).DiskName, "diskURI", Deref(v.AzureDisk).DataDiskURI)
	s.Source("vsphereVolume", v.VsphereVolume != nil, "volumePath", Deref(v.VsphereVolume).VolumePath)
	s.Source("csi", v.CSI != nil, "driver", Deref(v.CSI).Driver)
	if s.Has("image", v.Image != nil) {
		s.Add(rules.RequiredOneOf(v.Image.PullPolicy, s.P.Child("image", "pullPolicy"), pullPolicies...))
	}
	s.Source("fc", v.FC != nil)
	s.Source("flocker", v.Flocker != nil)
	s.Source("quobyte", v.Quobyte != nil)
	s.Source("photonPersistentDisk", v.PhotonPersistentDisk != nil)
	s.Source("portworxVolume", v.PortworxVolume != nil)
	s.Source("scaleIO", v.ScaleIO != nil)
	s.Source("storageos", v.StorageOS != nil)
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
		item, at := &items[i], p.Index(i)
		errs = append(errs, rules.Required(item.Key, at.Child("key"))...)
		errs = append(errs, validateLocalNonReservedPath(item.Path, at.Child("path"))...)
		errs = append(errs, validateFileMode(item.Mode, at.Child("mode"))...)
	}
	return errs
}

// validateLocalNonReservedPath validates the path of a file in a volume. Names that begin with ".." are reserved
// for the kubelet.
func validateLocalNonReservedPath(v string, p *field.Path) field.ErrorList {
	if v == "" {
		return field.ErrorList{field.Required(p, "")}
	}
	errs := validateLocalDescendingPath(v, p)
	if strings.HasPrefix(v, "..") && !strings.HasPrefix(v, "../") {
		errs = append(errs, field.Invalid(p, v, "must not start with '..'"))
	}
	return errs
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
	errs := validateLocalNonReservedPath(f.Path, p.Child("path"))
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

func validateProjectionSources(list []corev1.VolumeProjection, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	paths := map[string]bool{}
	addPath := func(name string, at *field.Path, value string) {
		if name != "" && paths[name] {
			errs = append(errs, field.Invalid(at, value, "conflicting duplicate paths"))
		}
		paths[name] = true
	}
	for i := range list {
		v, s := &list[i], Sources{P: p.Index(i)}
		if s.Has("secret", v.Secret != nil) {
			s.Need(v.Secret.Name, "secret", "name")
			s.Add(validateKeyToPaths(v.Secret.Items, s.P.Child("secret", "items")))
			for _, item := range v.Secret.Items {
				addPath(item.Path, s.P.Child("secret"), v.Secret.Name)
			}
		}
		if s.Has("configMap", v.ConfigMap != nil) {
			s.Need(v.ConfigMap.Name, "configMap", "name")
			s.Add(validateKeyToPaths(v.ConfigMap.Items, s.P.Child("configMap", "items")))
			for _, item := range v.ConfigMap.Items {
				addPath(item.Path, s.P.Child("configMap"), v.ConfigMap.Name)
			}
		}
		if s.Has("downwardAPI", v.DownwardAPI != nil) {
			for k := range v.DownwardAPI.Items {
				s.Add(validateDownwardAPIVolumeFile(&v.DownwardAPI.Items[k], s.P.Child("downwardAPI")))
				addPath(v.DownwardAPI.Items[k].Path, s.P.Child("downwardAPI"), v.DownwardAPI.Items[k].Path)
			}
		}
		if s.Has("serviceAccountToken", v.ServiceAccountToken != nil) {
			s.Add(validateServiceAccountTokenProjection(v.ServiceAccountToken, s.P.Child("serviceAccountToken")))
			addPath(v.ServiceAccountToken.Path, s.P.Child("serviceAccountToken"), v.ServiceAccountToken.Path)
		}
		if s.Has("clusterTrustBundle", v.ClusterTrustBundle != nil) {
			s.Add(validateLocalNonReservedPath(v.ClusterTrustBundle.Path, s.P.Child("clusterTrustBundle", "path")))
		}
		s.Has("podCertificate", v.PodCertificate != nil)
		if s.N == 0 {
			s.Errs = append(s.Errs, field.Required(s.P, "must specify a volume type"))
		}
		errs = append(errs, s.Errs...)
	}
	return errs
}

func validateServiceAccountTokenProjection(t *corev1.ServiceAccountTokenProjection, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	if e := t.ExpirationSeconds; e != nil {
		if *e < 10*60 {
			errs = append(errs, field.Invalid(p.Child("expirationSeconds"), *e, "may not specify a duration less than 10 minutes"))
		}
		if *e > 1<<32 {
			errs = append(errs, field.Invalid(p.Child("expirationSeconds"), *e, "may not specify a duration larger than 2^32 seconds"))
		}
	}
	return append(errs, validateLocalNonReservedPath(t.Path, p.Child("path"))...)
}
