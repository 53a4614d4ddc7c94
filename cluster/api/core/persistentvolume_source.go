package core

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"wheelhouse/cluster/api/podrules"
	"wheelhouse/cluster/api/rules"
)

// validatePersistentSource validates the source of the volume of a name, in upstream's order of the sources.
func validatePersistentSource(v *corev1.PersistentVolumeSpec, name string) field.ErrorList {
	p := rules.SpecPath
	s := podrules.Sources{P: p}
	if s.Has("hostPath", v.HostPath != nil) {
		s.Add(podrules.ValidateHostPathVolumeSource(v.HostPath, p.Child("hostPath")))
	}
	if s.Has("gcePersistentDisk", v.GCEPersistentDisk != nil) {
		s.Add(podrules.ValidateGCEPersistentDisk(v.GCEPersistentDisk, p.Child("persistentDisk")))
	}
	if s.Has("awsElasticBlockStore", v.AWSElasticBlockStore != nil) {
		s.Add(podrules.ValidateAWSElasticBlockStore(v.AWSElasticBlockStore, p.Child("awsElasticBlockStore")))
	}
	persistentNetworkDisk(v, name, &s)
	if s.Has("fc", v.FC != nil) {
		s.Add(podrules.ValidateFCVolumeSource(v.FC, p.Child("fc")))
	}
	if v.FlexVolume != nil { // upstream does not count the others before it
		s.N++
		s.Add(podrules.ValidateFlexVolume(v.FlexVolume.Driver, v.FlexVolume.Options, p.Child("flexVolume")))
	}
	persistentCloudDisk(v, &s)
	if s.Has("local", v.Local != nil) {
		s.Need(v.Local.Path, "local", "path")
		s.Add(podrules.ValidatePathNoBacksteps(v.Local.Path, p.Child("local", "path")))
		if v.NodeAffinity == nil {
			s.Errs = append(s.Errs, field.Required(p.Child("nodeAffinity"), "Local volume requires node affinity"))
		}
	}
	if s.Has("storageos", v.StorageOS != nil) {
		s.Add(podrules.ValidateStorageOS(v.StorageOS.VolumeName, v.StorageOS.VolumeNamespace, p.Child("storageos")))
		if ref := v.StorageOS.SecretRef; ref != nil {
			s.Need(ref.Name, "storageos", "secretRef", "name")
			s.Need(ref.Namespace, "storageos", "secretRef", "namespace")
		}
	}
	if s.Has("csi", v.CSI != nil) {
		s.Add(validateCSIPersistentSource(v.CSI, p.Child("csi")))
	}
	if s.N == 0 {
		s.Errs = append(s.Errs, field.Required(p, "must specify a volume type"))
	}
	return s.Errs
}

func persistentNetworkDisk(v *corev1.PersistentVolumeSpec, name string, s *podrules.Sources) {
	if s.Has("glusterfs", v.Glusterfs != nil) {
		s.Need(v.Glusterfs.EndpointsName, "glusterfs", "endpoints")
		s.Need(v.Glusterfs.Path, "glusterfs", "path")
		if namespace := v.Glusterfs.EndpointsNamespace; namespace != nil {
			at := s.P.Child("glusterfs", "endpointsNamespace")
			if *namespace == "" {
				s.Errs = append(s.Errs, field.Invalid(at, *namespace, "if the endpointnamespace is set, it must be a valid namespace name"))
			} else {
				s.Add(rules.Invalid(at, *namespace, validation.IsDNS1123Label(*namespace)))
			}
		}
	}
	if s.Has("flocker", v.Flocker != nil) {
		s.Add(podrules.ValidateFlockerVolumeSource(v.Flocker, s.P.Child("flocker")))
	}
	if s.Has("nfs", v.NFS != nil) {
		s.Add(podrules.ValidateNFSVolumeSource(v.NFS, s.P.Child("nfs")))
	}
	s.Source("rbd", v.RBD != nil, "monitors", strings.Join(podrules.Deref(v.RBD).CephMonitors, ","), "image", podrules.Deref(v.RBD).RBDImage)
	if s.Has("quobyte", v.Quobyte != nil) {
		s.Add(podrules.ValidateQuobyteVolumeSource(v.Quobyte, s.P.Child("quobyte")))
	}
	s.Source("cephfs", v.CephFS != nil, "monitors", strings.Join(podrules.Deref(v.CephFS).Monitors, ","))
	if s.Has("iscsi", v.ISCSI != nil) {
		s.Add(validatePersistentISCSI(v.ISCSI, name, s.P.Child("iscsi")))
	}
	if s.Has("cinder", v.Cinder != nil) {
		s.Need(v.Cinder.VolumeID, "cinder", "volumeID")
		if ref := v.Cinder.SecretRef; ref != nil {
			s.Need(ref.Name, "cinder", "secretRef", "name")
			s.Need(ref.Namespace, "cinder", "secretRef", "namespace")
		}
	}
}

func persistentCloudDisk(v *corev1.PersistentVolumeSpec, s *podrules.Sources) {
	if s.Has("azureFile", v.AzureFile != nil) {
		s.Need(v.AzureFile.SecretName, "azureFile", "secretName")
		s.Need(v.AzureFile.ShareName, "azureFile", "shareName")
		if namespace := v.AzureFile.SecretNamespace; namespace != nil {
			s.Need(*namespace, "azureFile", "secretNamespace")
		}
	}
	s.Source("vsphereVolume", v.VsphereVolume != nil, "volumePath", podrules.Deref(v.VsphereVolume).VolumePath)
	s.Source("photonPersistentDisk", v.PhotonPersistentDisk != nil, "pdID", podrules.Deref(v.PhotonPersistentDisk).PdID)
	s.Source("portworxVolume", v.PortworxVolume != nil, "volumeID", podrules.Deref(v.PortworxVolume).VolumeID)
	if s.Has("azureDisk", v.AzureDisk != nil) {
		s.Add(podrules.ValidateAzureDisk(v.AzureDisk, s.P.Child("azureDisk")))
	}
	s.Source("scaleIO", v.ScaleIO != nil, "gateway", podrules.Deref(v.ScaleIO).Gateway,
		"system", podrules.Deref(v.ScaleIO).System, "volumeName", podrules.Deref(v.ScaleIO).VolumeName)
}

func validatePersistentISCSI(v *corev1.ISCSIPersistentVolumeSource, name string, p *field.Path) field.ErrorList {
	errs := rules.Required(v.TargetPortal, p.Child("targetPortal"))
	if v.InitiatorName != nil && len(name+":"+v.TargetPortal) > podrules.MaxISCSIName {
		errs = append(errs, field.Invalid(p.Child("targetportal"), v.TargetPortal, podrules.ISCSINameTooLong))
	}
	var secret field.ErrorList
	if v.SecretRef != nil {
		secret = rules.Required(v.SecretRef.Name, p.Child("secretRef", "name"))
	}
	s := podrules.ISCSI{
		IQN: v.IQN, Lun: v.Lun, CHAP: v.DiscoveryCHAPAuth || v.SessionCHAPAuth, HasSecret: v.SecretRef != nil,
		InitiatorName: v.InitiatorName, BadPrefix: "must be valid format",
	}
	return append(errs, s.Validate(p, secret)...)
}

func validateCSIPersistentSource(v *corev1.CSIPersistentVolumeSource, p *field.Path) field.ErrorList {
	errs := podrules.ValidateCSIDriverName(v.Driver, p.Child("driver"))
	errs = append(errs, rules.Required(v.VolumeHandle, p.Child("volumeHandle"))...)
	for _, ref := range []struct {
		name string
		to   *corev1.SecretReference
	}{
		{"controllerPublishSecretRef", v.ControllerPublishSecretRef},
		{"controllerExpandSecretRef", v.ControllerExpandSecretRef},
		{"nodePublishSecretRef", v.NodePublishSecretRef},
		{"nodeExpandSecretRef", v.NodeExpandSecretRef},
	} {
		if ref.to != nil {
			at := p.Child(ref.name)
			errs = append(errs, rules.RequiredValue(ref.to.Name, at.Child("name"), validation.IsDNS1123Subdomain)...)
			errs = append(errs, rules.RequiredValue(ref.to.Namespace, at.Child("namespace"), validation.IsDNS1123Label)...)
		}
	}
	return errs
}

// Labels of nodes before general availability and their successors.
var stableNodeLabels = map[string]string{
	corev1.LabelFailureDomainBetaZone:   corev1.LabelTopologyZone,
	corev1.LabelFailureDomainBetaRegion: corev1.LabelTopologyRegion,
	"beta.kubernetes.io/os":             corev1.LabelOSStable,
	"beta.kubernetes.io/arch":           corev1.LabelArchStable,
	corev1.LabelInstanceType:            corev1.LabelInstanceTypeStable,
}

// validateNodeAffinityUpdate reports a change of the node affinity, other than from an old label to its successor.
func validateNodeAffinityUpdate(v, old *corev1.VolumeNodeAffinity, p *field.Path) field.ErrorList {
	if v == nil || v.Required == nil || old.Required == nil {
		return rules.Immutable(v, old, p)
	}
	masked := v.DeepCopy()
	for i := range masked.Required.NodeSelectorTerms {
		if i >= len(old.Required.NodeSelectorTerms) {
			break
		}
		now, before := masked.Required.NodeSelectorTerms[i].MatchExpressions, old.Required.NodeSelectorTerms[i].MatchExpressions
		for k := range min(len(now), len(before)) {
			if now[k].Key == stableNodeLabels[before[k].Key] && slices.Equal(now[k].Values, before[k].Values) {
				now[k].Key = before[k].Key
			}
		}
	}
	if rules.Equal(masked, old) {
		return nil
	}
	return field.ErrorList{field.Invalid(p, v, "field is immutable, except for updating from beta label to GA")}
}
