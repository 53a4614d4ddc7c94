package api

import (
	"path"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// checkVolumes also remembers the volumes by name, for the mounts.
func (c *podChecker) checkVolumes(volumes []corev1.Volume, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	c.volumes = make(map[string]*corev1.VolumeSource, len(volumes))
	for i := range volumes {
		v, at := &volumes[i], p.Index(i)
		errs = append(errs, checkVolumeSource(&v.VolumeSource, at)...)
		if v.Image != nil && v.Image.Reference == "" && !c.template { // what makes pods of a template may fill it in
			errs = append(errs, field.Required(at.Child("image", "reference"), ""))
		}
		var bad field.ErrorList
		if v.Name == "" {
			bad = field.ErrorList{field.Required(at.Child("name"), "")}
		} else {
			bad = invalid(at.Child("name"), v.Name, validation.IsDNS1123Label(v.Name))
			if c.volumes[v.Name] != nil {
				bad = append(bad, field.Duplicate(at.Child("name"), v.Name))
			}
		}
		errs = append(errs, bad...)
		// A bad source is one error, not another one for every mount of it.
		if len(bad) == 0 {
			c.volumes[v.Name] = &v.VolumeSource
		}
	}
	return errs
}

// sources counts the sources of one volume: there must be exactly one.
type sources struct {
	n    int
	p    *field.Path
	errs field.ErrorList
}

// has reports that the source is there and is the first.
func (s *sources) has(name string, set bool) bool {
	if !set {
		return false
	}
	if s.n++; s.n > 1 {
		s.errs = append(s.errs, field.Forbidden(s.p.Child(name), "may not specify more than 1 volume type"))
		return false
	}
	return true
}

func (s *sources) need(v string, path ...string) {
	if v == "" {
		s.errs = append(s.errs, field.Required(s.p.Child(path[0], path[1:]...), ""))
	}
}

func (s *sources) add(errs field.ErrorList) { s.errs = append(s.errs, errs...) }

func checkVolumeSource(v *corev1.VolumeSource, p *field.Path) field.ErrorList {
	s := sources{p: p}
	if s.has("emptyDir", v.EmptyDir != nil) && v.EmptyDir.SizeLimit != nil && v.EmptyDir.SizeLimit.Sign() < 0 {
		s.errs = append(s.errs, field.Forbidden(p.Child("emptyDir", "sizeLimit"), "SizeLimit field must be a valid resource quantity"))
	}
	if s.has("hostPath", v.HostPath != nil) {
		s.add(checkHostPath(v.HostPath, p.Child("hostPath")))
	}
	if s.has("gitRepo", v.GitRepo != nil) {
		s.need(v.GitRepo.Repository, "gitRepo", "repository")
		s.add(checkLocalPath(v.GitRepo.Directory, p.Child("gitRepo", "directory")))
	}
	if s.has("secret", v.Secret != nil) {
		s.need(v.Secret.SecretName, "secret", "secretName")
		s.add(checkMode(v.Secret.DefaultMode, p.Child("secret", "defaultMode")))
		s.add(checkItems(v.Secret.Items, p.Child("secret", "items")))
	}
	if s.has("configMap", v.ConfigMap != nil) {
		s.need(v.ConfigMap.Name, "configMap", "name")
		s.add(checkMode(v.ConfigMap.DefaultMode, p.Child("configMap", "defaultMode")))
		s.add(checkItems(v.ConfigMap.Items, p.Child("configMap", "items")))
	}
	if s.has("nfs", v.NFS != nil) {
		s.add(checkNFS(v.NFS, p.Child("nfs")))
	}
	if s.has("persistentVolumeClaim", v.PersistentVolumeClaim != nil) {
		s.need(v.PersistentVolumeClaim.ClaimName, "persistentVolumeClaim", "claimName")
	}
	if s.has("downwardAPI", v.DownwardAPI != nil) {
		s.add(checkMode(v.DownwardAPI.DefaultMode, p.Child("downwardAPI", "defaultMode")))
		for i := range v.DownwardAPI.Items {
			s.add(checkDownwardFile(&v.DownwardAPI.Items[i], p.Child("downwardAPI")))
		}
	}
	if s.has("projected", v.Projected != nil) {
		s.add(checkMode(v.Projected.DefaultMode, p.Child("projected", "defaultMode")))
		s.add(checkProjected(v.Projected.Sources, p.Child("projected", "sources")))
	}
	if s.has("ephemeral", v.Ephemeral != nil) {
		if t := v.Ephemeral.VolumeClaimTemplate; t == nil {
			s.errs = append(s.errs, field.Required(p.Child("ephemeral", "volumeClaimTemplate"), ""))
		} else {
			s.add(checkClaimSpec(&t.Spec, p.Child("ephemeral", "volumeClaimTemplate", "spec")))
		}
	}
	checkForeignSource(v, &s)
	if s.n == 0 {
		s.errs = append(s.errs, field.Required(p, "must specify a volume type"))
	}
	return s.errs
}

// checkForeignSource looks at the sources that a kubelet of ours refuses with an event:
// they are well-formed or not all the same.
func checkForeignSource(v *corev1.VolumeSource, s *sources) {
	if s.has("gcePersistentDisk", v.GCEPersistentDisk != nil) {
		s.need(v.GCEPersistentDisk.PDName, "gcePersistentDisk", "pdName")
	}
	if s.has("awsElasticBlockStore", v.AWSElasticBlockStore != nil) {
		s.need(v.AWSElasticBlockStore.VolumeID, "awsElasticBlockStore", "volumeID")
	}
	if s.has("iscsi", v.ISCSI != nil) {
		s.need(v.ISCSI.TargetPortal, "iscsi", "targetPortal")
		s.need(v.ISCSI.IQN, "iscsi", "iqn")
	}
	if s.has("glusterfs", v.Glusterfs != nil) {
		s.need(v.Glusterfs.EndpointsName, "glusterfs", "endpoints")
		s.need(v.Glusterfs.Path, "glusterfs", "path")
	}
	if s.has("rbd", v.RBD != nil) {
		s.need(strings.Join(v.RBD.CephMonitors, ","), "rbd", "monitors")
		s.need(v.RBD.RBDImage, "rbd", "image")
	}
	if s.has("cephfs", v.CephFS != nil) {
		s.need(strings.Join(v.CephFS.Monitors, ","), "cephfs", "monitors")
	}
	if s.has("cinder", v.Cinder != nil) {
		s.need(v.Cinder.VolumeID, "cinder", "volumeID")
	}
	if s.has("flexVolume", v.FlexVolume != nil) {
		s.need(v.FlexVolume.Driver, "flexVolume", "driver")
	}
	if s.has("azureFile", v.AzureFile != nil) {
		s.need(v.AzureFile.SecretName, "azureFile", "secretName")
		s.need(v.AzureFile.ShareName, "azureFile", "shareName")
	}
	if s.has("azureDisk", v.AzureDisk != nil) {
		s.need(v.AzureDisk.DiskName, "azureDisk", "diskName")
		s.need(v.AzureDisk.DataDiskURI, "azureDisk", "diskURI")
	}
	if s.has("vsphereVolume", v.VsphereVolume != nil) {
		s.need(v.VsphereVolume.VolumePath, "vsphereVolume", "volumePath")
	}
	if s.has("csi", v.CSI != nil) {
		s.need(v.CSI.Driver, "csi", "driver")
	}
	if s.has("image", v.Image != nil) {
		s.add(requiredOneOf(v.Image.PullPolicy, s.p.Child("image", "pullPolicy"), pullPolicies...))
	}
	s.has("fc", v.FC != nil)
	s.has("flocker", v.Flocker != nil)
	s.has("quobyte", v.Quobyte != nil)
	s.has("photonPersistentDisk", v.PhotonPersistentDisk != nil)
	s.has("portworxVolume", v.PortworxVolume != nil)
	s.has("scaleIO", v.ScaleIO != nil)
	s.has("storageos", v.StorageOS != nil)
}

var hostPathTypes = []corev1.HostPathType{
	corev1.HostPathUnset, corev1.HostPathBlockDev, corev1.HostPathCharDev, corev1.HostPathDirectory,
	corev1.HostPathDirectoryOrCreate, corev1.HostPathFile, corev1.HostPathFileOrCreate, corev1.HostPathSocket,
}

func checkHostPath(h *corev1.HostPathVolumeSource, p *field.Path) field.ErrorList {
	if h.Path == "" {
		return field.ErrorList{field.Required(p.Child("path"), "")}
	}
	errs := checkNoBackstep(h.Path, p.Child("path"))
	if h.Type != nil {
		errs = append(errs, oneOf(*h.Type, p.Child("type"), hostPathTypes...)...)
	}
	return errs
}

func checkNFS(n *corev1.NFSVolumeSource, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	if n.Server == "" {
		errs = append(errs, field.Required(p.Child("server"), ""))
	}
	if n.Path == "" {
		errs = append(errs, field.Required(p.Child("path"), ""))
	}
	if !path.IsAbs(n.Path) {
		errs = append(errs, field.Invalid(p.Child("path"), n.Path, "must be an absolute path"))
	}
	return errs
}

func checkMode(mode *int32, p *field.Path) field.ErrorList {
	if mode == nil || (*mode >= 0 && *mode <= 0o777) {
		return nil
	}
	return field.ErrorList{field.Invalid(p, *mode, "must be a number between 0 and 0777 (octal), both inclusive")}
}

func checkItems(items []corev1.KeyToPath, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i := range items {
		item, at := &items[i], p.Index(i)
		if item.Key == "" {
			errs = append(errs, field.Required(at.Child("key"), ""))
		}
		errs = append(errs, checkFilePath(item.Path, at.Child("path"))...)
		errs = append(errs, checkMode(item.Mode, at.Child("mode"))...)
	}
	return errs
}

// checkFilePath: a file of a volume is named by a path inside of it, and the names that
// begin with two dots are the kubelet's.
func checkFilePath(v string, p *field.Path) field.ErrorList {
	if v == "" {
		return field.ErrorList{field.Required(p, "")}
	}
	errs := checkLocalPath(v, p)
	if strings.HasPrefix(v, "..") && !strings.HasPrefix(v, "../") {
		errs = append(errs, field.Invalid(p, v, "must not start with '..'"))
	}
	return errs
}

func checkLocalPath(v string, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	if path.IsAbs(v) {
		errs = append(errs, field.Invalid(p, v, "must be a relative path"))
	}
	return append(errs, checkNoBackstep(v, p)...)
}

func checkNoBackstep(v string, p *field.Path) field.ErrorList {
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

func checkDownwardFile(f *corev1.DownwardAPIVolumeFile, p *field.Path) field.ErrorList {
	errs := checkFilePath(f.Path, p.Child("path"))
	switch {
	case f.FieldRef != nil:
		errs = append(errs, checkFieldRef(f.FieldRef, volumeFields, p.Child("fieldRef"))...)
		if f.ResourceFieldRef != nil {
			errs = append(errs, field.Invalid(p, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously"))
		}
	case f.ResourceFieldRef != nil:
		errs = append(errs, checkResourceFieldRef(f.ResourceFieldRef, true, p.Child("resourceFieldRef"))...)
	default:
		errs = append(errs, field.Required(p, "one of fieldRef and resourceFieldRef is required"))
	}
	return append(errs, checkMode(f.Mode, p.Child("mode"))...)
}

func checkProjected(list []corev1.VolumeProjection, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	paths := map[string]bool{}
	file := func(name string, at *field.Path, what string) {
		if name != "" && paths[name] {
			errs = append(errs, field.Invalid(at, what, "conflicting duplicate paths"))
		}
		paths[name] = true
	}
	for i := range list {
		v, s := &list[i], sources{p: p.Index(i)}
		if s.has("secret", v.Secret != nil) {
			s.need(v.Secret.Name, "secret", "name")
			s.add(checkItems(v.Secret.Items, s.p.Child("secret", "items")))
			for _, item := range v.Secret.Items {
				file(item.Path, s.p.Child("secret"), v.Secret.Name)
			}
		}
		if s.has("configMap", v.ConfigMap != nil) {
			s.need(v.ConfigMap.Name, "configMap", "name")
			s.add(checkItems(v.ConfigMap.Items, s.p.Child("configMap", "items")))
			for _, item := range v.ConfigMap.Items {
				file(item.Path, s.p.Child("configMap"), v.ConfigMap.Name)
			}
		}
		if s.has("downwardAPI", v.DownwardAPI != nil) {
			for k := range v.DownwardAPI.Items {
				s.add(checkDownwardFile(&v.DownwardAPI.Items[k], s.p.Child("downwardAPI")))
				file(v.DownwardAPI.Items[k].Path, s.p.Child("downwardAPI"), v.DownwardAPI.Items[k].Path)
			}
		}
		if s.has("serviceAccountToken", v.ServiceAccountToken != nil) {
			s.add(checkTokenProjection(v.ServiceAccountToken, s.p.Child("serviceAccountToken")))
			file(v.ServiceAccountToken.Path, s.p.Child("serviceAccountToken"), v.ServiceAccountToken.Path)
		}
		if s.has("clusterTrustBundle", v.ClusterTrustBundle != nil) {
			s.add(checkFilePath(v.ClusterTrustBundle.Path, s.p.Child("clusterTrustBundle", "path")))
		}
		s.has("podCertificate", v.PodCertificate != nil)
		if s.n == 0 {
			s.errs = append(s.errs, field.Required(s.p, "must specify a volume type"))
		}
		errs = append(errs, s.errs...)
	}
	return errs
}

func checkTokenProjection(t *corev1.ServiceAccountTokenProjection, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	if e := t.ExpirationSeconds; e != nil {
		if *e < 10*60 {
			errs = append(errs, field.Invalid(p.Child("expirationSeconds"), *e, "may not specify a duration less than 10 minutes"))
		}
		if *e > 1<<32 {
			errs = append(errs, field.Invalid(p.Child("expirationSeconds"), *e, "may not specify a duration larger than 2^32 seconds"))
		}
	}
	return append(errs, checkFilePath(t.Path, p.Child("path"))...)
}
