package podrules

import (
	"maps"
	"net"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"wheelhouse/cluster/api/rules"
)

// The functions of this file validate sources that pods and persistent volumes share. The kubelet does not support most: it
// rejects a pod with one, with an event.

func validatePartition(n int32, p *field.Path) field.ErrorList {
	if n < 0 || n > 255 {
		return field.ErrorList{field.Invalid(p.Child("partition"), n, validation.InclusiveRangeError(1, 255))}
	}
	return nil
}

// ValidateGCEPersistentDisk validates a disk.
func ValidateGCEPersistentDisk(d *corev1.GCEPersistentDiskVolumeSource, p *field.Path) field.ErrorList {
	return append(rules.Required(d.PDName, p.Child("pdName")), validatePartition(d.Partition, p)...)
}

// ValidateAWSElasticBlockStore validates a disk.
func ValidateAWSElasticBlockStore(d *corev1.AWSElasticBlockStoreVolumeSource, p *field.Path) field.ErrorList {
	return append(rules.Required(d.VolumeID, p.Child("volumeID")), validatePartition(d.Partition, p)...)
}

const (
	// MaxISCSIName bounds the name of a volume together with its portal, in bytes.
	MaxISCSIName = 64
	// ISCSINameTooLong is the error text for a longer one.
	ISCSINameTooLong = "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is specified."
)

// iscsiNames are the forms of an iSCSI qualified name, by prefix.
var iscsiNames = map[string]*regexp.Regexp{
	"iqn": regexp.MustCompile(`iqn\.\d{4}-\d{2}\.([[:alnum:]-.]+)(:[^,;*&$|\s]+)$`),
	"eui": regexp.MustCompile(`^eui.[[:alnum:]]{16}$`),
	"naa": regexp.MustCompile(`^naa.[[:alnum:]]{32}$`),
}

func validateISCSIName(name, other string, p *field.Path) field.ErrorList {
	for _, prefix := range slices.Sorted(maps.Keys(iscsiNames)) {
		if strings.HasPrefix(name, prefix) {
			if iscsiNames[prefix].MatchString(name) {
				return nil
			}
			return field.ErrorList{field.Invalid(p, name, "must be valid format")}
		}
	}
	return field.ErrorList{field.Invalid(p, name, other)}
}

// ISCSI has what the sources of a pod and of a persistent volume share.
type ISCSI struct {
	IQN           string
	Lun           int32
	CHAP          bool // authentication that needs a secret
	HasSecret     bool
	InitiatorName *string
	BadPrefix     string // the error text for a name of an unknown form
}

// Validate validates all but the portal.
func (s ISCSI) Validate(p *field.Path, secret field.ErrorList) field.ErrorList {
	var errs field.ErrorList
	if s.IQN == "" {
		errs = append(errs, field.Required(p.Child("iqn"), ""))
	} else {
		errs = append(errs, validateISCSIName(s.IQN, s.BadPrefix, p.Child("iqn"))...)
	}
	if s.Lun < 0 || s.Lun > 255 {
		errs = append(errs, field.Invalid(p.Child("lun"), s.Lun, validation.InclusiveRangeError(0, 255)))
	}
	if s.CHAP && !s.HasSecret {
		errs = append(errs, field.Required(p.Child("secretRef"), ""))
	}
	errs = append(errs, secret...)
	if s.InitiatorName != nil {
		errs = append(errs, validateISCSIName(*s.InitiatorName, s.BadPrefix, p.Child("initiatorname"))...)
	}
	return errs
}

func validateISCSIVolumeSource(v *corev1.ISCSIVolumeSource, p *field.Path) field.ErrorList {
	s := ISCSI{
		IQN: v.IQN, Lun: v.Lun, CHAP: v.DiscoveryCHAPAuth || v.SessionCHAPAuth, HasSecret: v.SecretRef != nil,
		InitiatorName: v.InitiatorName, BadPrefix: "must be valid format starting with iqn, eui, or naa",
	}
	return append(rules.Required(v.TargetPortal, p.Child("targetPortal")), s.Validate(p, nil)...)
}

// ValidateFlockerVolumeSource validates a dataset.
func ValidateFlockerVolumeSource(v *corev1.FlockerVolumeSource, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	switch {
	case v.DatasetName == "" && v.DatasetUUID == "":
		errs = append(errs, field.Required(p, "one of datasetName and datasetUUID is required"))
	case v.DatasetName != "" && v.DatasetUUID != "":
		errs = append(errs, field.Invalid(p, "resource", "datasetName and datasetUUID can not be specified simultaneously"))
	}
	if strings.Contains(v.DatasetName, "/") {
		errs = append(errs, field.Invalid(p.Child("datasetName"), v.DatasetName, "must not contain '/'"))
	}
	return errs
}

// ValidateQuobyteVolumeSource validates a volume.
func ValidateQuobyteVolumeSource(v *corev1.QuobyteVolumeSource, p *field.Path) field.ErrorList {
	const hostPorts = "must be a host:port pair or multiple pairs separated by commas"
	var errs field.ErrorList
	switch {
	case v.Registry == "":
		errs = append(errs, field.Required(p.Child("registry"), hostPorts))
	case len(v.Tenant) > 64:
		errs = append(errs, field.Required(p.Child("tenant"), "must be a UUID and may not exceed a length of 64 characters"))
	default:
		for pair := range strings.SplitSeq(v.Registry, ",") {
			if _, _, err := net.SplitHostPort(pair); err != nil {
				errs = append(errs, field.Invalid(p.Child("registry"), v.Registry, hostPorts))
			}
		}
	}
	return append(errs, rules.Required(v.Volume, p.Child("volume"))...)
}

// ValidateFCVolumeSource validates a Fibre Channel volume.
func ValidateFCVolumeSource(v *corev1.FCVolumeSource, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	names := p.Child("targetWWNs")
	if len(v.TargetWWNs) == 0 && len(v.WWIDs) == 0 {
		errs = append(errs, field.Required(names, "must specify either targetWWNs or wwids, but not both"))
	}
	if len(v.TargetWWNs) == 0 {
		return errs
	}
	if len(v.WWIDs) > 0 {
		errs = append(errs, field.Invalid(names, v.TargetWWNs, "targetWWNs and wwids can not be specified simultaneously"))
	}
	if v.Lun == nil {
		errs = append(errs, field.Required(p.Child("lun"), "lun is required if targetWWNs is specified"))
	} else if *v.Lun < 0 || *v.Lun > 255 {
		errs = append(errs, field.Invalid(p.Child("lun"), v.Lun, validation.InclusiveRangeError(0, 255)))
	}
	return errs
}

// ValidateFlexVolume validates the driver and its options, of which those of Kubernetes are reserved.
func ValidateFlexVolume(driver string, options map[string]string, p *field.Path) field.ErrorList {
	errs := rules.Required(driver, p.Child("driver"))
	for _, k := range slices.Sorted(maps.Keys(options)) {
		domain, _, _ := strings.Cut(k, "/")
		domain = "." + strings.ToLower(domain)
		if strings.HasSuffix(domain, ".kubernetes.io") || strings.HasSuffix(domain, ".k8s.io") {
			errs = append(errs, field.Invalid(p.Child("options").Key(k), k, "kubernetes.io and k8s.io namespaces are reserved"))
		}
	}
	return errs
}

// ValidateAzureDisk validates a disk.
func ValidateAzureDisk(d *corev1.AzureDiskVolumeSource, p *field.Path) field.ErrorList {
	errs := rules.Required(d.DiskName, p.Child("diskName"))
	errs = append(errs, rules.Required(d.DataDiskURI, p.Child("diskURI"))...)
	errs = append(errs, rules.OptionalOneOf(d.CachingMode, p.Child("cachingMode"),
		corev1.AzureDataDiskCachingNone, corev1.AzureDataDiskCachingReadOnly, corev1.AzureDataDiskCachingReadWrite)...)
	if d.Kind == nil {
		return errs
	}
	errs = append(errs, rules.OneOf(*d.Kind, p.Child("kind"), corev1.AzureDedicatedBlobDisk, corev1.AzureManagedDisk, corev1.AzureSharedBlobDisk)...)
	prefix, form := "https://", "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd"
	if *d.Kind == corev1.AzureManagedDisk {
		prefix, form = "/subscriptions/", "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}"
	}
	if !strings.HasPrefix(d.DataDiskURI, prefix) {
		errs = append(errs, field.NotSupported(p.Child("diskURI"), d.DataDiskURI, []string{form}))
	}
	return errs
}

// ValidateStorageOS validates the names of a volume.
func ValidateStorageOS(volume, namespace string, p *field.Path) field.ErrorList {
	errs := rules.RequiredValue(volume, p.Child("volumeName"), validation.IsDNS1123Label)
	return append(errs, rules.OptionalValue(namespace, p.Child("volumeNamespace"), validation.IsDNS1123Label)...)
}

const maxCSIDriverName = 63

// ValidateCSIDriverName validates the name of a driver, which may have upper case.
func ValidateCSIDriverName(name string, p *field.Path) field.ErrorList {
	if name == "" {
		return field.ErrorList{field.Required(p, "")}
	}
	var errs field.ErrorList
	if len(name) > maxCSIDriverName {
		errs = append(errs, field.TooLong(p, "", maxCSIDriverName))
	}
	return append(errs, rules.Invalid(p, name, validation.IsDNS1123Subdomain(strings.ToLower(name)))...)
}

func validateCSIVolumeSource(v *corev1.CSIVolumeSource, p *field.Path) field.ErrorList {
	errs := ValidateCSIDriverName(v.Driver, p.Child("driver"))
	if ref := v.NodePublishSecretRef; ref != nil {
		if ref.Name == "" {
			return append(errs, field.Required(p.Child("nodePublishSecretRef", "name"), ""))
		}
		errs = append(errs, rules.Invalid(p.Child("name"), ref.Name, rules.DNSSubdomain(ref.Name, false))...)
	}
	return errs
}
