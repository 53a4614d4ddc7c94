package core

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
)

// IsMirrorPod reports whether a pod represents a static pod of a kubelet.
func IsMirrorPod(pod *corev1.Pod) bool {
	_, ok := pod.Annotations[corev1.MirrorPodAnnotationKey]
	return ok
}

// ObjectReference returns the resource of an API object that a pod refers to, with the texts of upstream's
// HasAPIObjectReference, or "". A kubelet that runs such a pod needs the object. An unknown volume is an error,
// as it may be such a reference.
func ObjectReference(pod *corev1.Pod) (string, error) {
	switch {
	case pod.Spec.ServiceAccountName != "":
		return "serviceaccounts", nil
	case hasSecretReference(pod):
		return "secrets", nil
	case hasConfigMapReference(pod):
		return "configmaps", nil
	case len(pod.Spec.ResourceClaims) > 0:
		return "resourceclaims", nil
	}
	for i := range pod.Spec.Volumes {
		if what, err := volumeReference(&pod.Spec.Volumes[i]); what != "" || err != nil {
			return what, err
		}
	}
	return "", nil
}

func volumeReference(v *corev1.Volume) (string, error) {
	switch {
	case v.ConfigMap != nil:
		return "configmaps (via configmap volumes)", nil
	case v.Secret != nil:
		return "secrets (via secret volumes)", nil
	case v.CSI != nil:
		return "csidrivers (via CSI volumes)", nil
	case v.Glusterfs != nil:
		return "endpoints (via glusterFS volumes)", nil
	case v.PersistentVolumeClaim != nil:
		return "persistentvolumeclaims", nil
	case v.Ephemeral != nil:
		return "persistentvolumeclaims (via ephemeral volumes)", nil
	case v.AzureFile != nil:
		return "secrets (via azureFile volumes)", nil
	case v.Projected != nil:
		for i := range v.Projected.Sources {
			if what, err := projectedReference(v.Name, &v.Projected.Sources[i]); what != "" || err != nil {
				return what, err
			}
		}
		return "", nil
	case v.AWSElasticBlockStore != nil, v.AzureDisk != nil, v.CephFS != nil, v.Cinder != nil, v.DownwardAPI != nil, v.EmptyDir != nil,
		v.FC != nil, v.FlexVolume != nil, v.Flocker != nil, v.GCEPersistentDisk != nil, v.GitRepo != nil, v.HostPath != nil, v.Image != nil,
		v.ISCSI != nil, v.NFS != nil, v.PhotonPersistentDisk != nil, v.PortworxVolume != nil, v.Quobyte != nil, v.RBD != nil,
		v.ScaleIO != nil, v.StorageOS != nil, v.VsphereVolume != nil:
		return "", nil
	}
	return "", fmt.Errorf("unknown volume type for volume %q", v.Name)
}

func projectedReference(volume string, s *corev1.VolumeProjection) (string, error) {
	switch {
	case s.ConfigMap != nil:
		return "configmaps (via projected volumes)", nil
	case s.Secret != nil:
		return "secrets (via projected volumes)", nil
	case s.ServiceAccountToken != nil:
		return "serviceaccounts (via projected volumes)", nil
	case s.ClusterTrustBundle != nil:
		return "clustertrustbundles", nil
	case s.PodCertificate != nil:
		return "podcertificates", nil
	case s.DownwardAPI != nil:
		return "", nil
	}
	return "", fmt.Errorf("unknown source for projected volume %q", volume)
}

func hasSecretReference(pod *corev1.Pod) bool {
	return !VisitSecretNames(pod, func(string) bool { return false })
}

func hasConfigMapReference(pod *corev1.Pod) bool {
	return !VisitConfigMapNames(pod, func(string) bool { return false })
}

// VisitSecretNames calls visit with the name of each Secret that a pod refers to directly, until visit returns
// false. It reports whether visit never did. It is upstream's VisitPodSecretNames.
func VisitSecretNames(pod *corev1.Pod, visit func(name string) bool) bool {
	named := func(name string) bool { return name == "" || visit(name) }
	for _, s := range pod.Spec.ImagePullSecrets {
		if !named(s.Name) {
			return false
		}
	}
	for i := range pod.Spec.Volumes {
		if !visitVolumeSecrets(&pod.Spec.Volumes[i].VolumeSource, named) {
			return false
		}
	}
	return visitEnvironment(pod, func(from *corev1.EnvFromSource, value *corev1.EnvVarSource) bool {
		switch {
		case from != nil && from.SecretRef != nil:
			return named(from.SecretRef.Name)
		case value != nil && value.SecretKeyRef != nil:
			return named(value.SecretKeyRef.Name)
		}
		return true
	})
}

func visitVolumeSecrets(v *corev1.VolumeSource, named func(string) bool) bool {
	local := func(r *corev1.LocalObjectReference) bool { return r == nil || named(r.Name) }
	switch {
	case v.Secret != nil:
		return named(v.Secret.SecretName)
	case v.Projected != nil:
		for _, s := range v.Projected.Sources {
			if s.Secret != nil && !named(s.Secret.Name) {
				return false
			}
		}
	case v.AzureFile != nil:
		return named(v.AzureFile.SecretName)
	case v.CephFS != nil:
		return local(v.CephFS.SecretRef)
	case v.Cinder != nil:
		return local(v.Cinder.SecretRef)
	case v.FlexVolume != nil:
		return local(v.FlexVolume.SecretRef)
	case v.RBD != nil:
		return local(v.RBD.SecretRef)
	case v.ScaleIO != nil:
		return local(v.ScaleIO.SecretRef)
	case v.ISCSI != nil:
		return local(v.ISCSI.SecretRef)
	case v.StorageOS != nil:
		return local(v.StorageOS.SecretRef)
	case v.CSI != nil:
		return local(v.CSI.NodePublishSecretRef)
	}
	return true
}

// VisitConfigMapNames is VisitSecretNames for ConfigMaps.
func VisitConfigMapNames(pod *corev1.Pod, visit func(name string) bool) bool {
	named := func(name string) bool { return name == "" || visit(name) }
	for i := range pod.Spec.Volumes {
		v := &pod.Spec.Volumes[i]
		if v.ConfigMap != nil && !named(v.ConfigMap.Name) {
			return false
		}
		if v.Projected == nil {
			continue
		}
		for _, s := range v.Projected.Sources {
			if s.ConfigMap != nil && !named(s.ConfigMap.Name) {
				return false
			}
		}
	}
	return visitEnvironment(pod, func(from *corev1.EnvFromSource, value *corev1.EnvVarSource) bool {
		switch {
		case from != nil && from.ConfigMapRef != nil:
			return named(from.ConfigMapRef.Name)
		case value != nil && value.ConfigMapKeyRef != nil:
			return named(value.ConfigMapKeyRef.Name)
		}
		return true
	})
}

// visitEnvironment calls visit with each source of environment variables of all containers. One of the arguments
// is nil.
func visitEnvironment(pod *corev1.Pod, visit func(*corev1.EnvFromSource, *corev1.EnvVarSource) bool) bool {
	return VisitContainers(&pod.Spec, func(c *corev1.Container) bool {
		for i := range c.EnvFrom {
			if !visit(&c.EnvFrom[i], nil) {
				return false
			}
		}
		for i := range c.Env {
			if !visit(nil, c.Env[i].ValueFrom) {
				return false
			}
		}
		return true
	})
}

// VisitContainers calls visit with each container of a pod, init and ephemeral containers included, until it
// returns false. It reports whether visit never did.
func VisitContainers(spec *corev1.PodSpec, visit func(*corev1.Container) bool) bool {
	for _, list := range [][]corev1.Container{spec.InitContainers, spec.Containers} {
		for i := range list {
			if !visit(&list[i]) {
				return false
			}
		}
	}
	for i := range spec.EphemeralContainers {
		if !visit((*corev1.Container)(&spec.EphemeralContainers[i].EphemeralContainerCommon)) {
			return false
		}
	}
	return true
}
