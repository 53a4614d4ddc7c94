package podfacts

import v1 "k8s.io/api/core/v1"

// VisitSecretNames calls visit with the name of each Secret that a pod refers to directly, until visit returns
// false. It reports whether visit never did. It is upstream's VisitPodSecretNames.
func VisitSecretNames(pod *v1.Pod, visit func(name string) bool) bool {
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
	return visitEnvironment(pod, func(from *v1.EnvFromSource, value *v1.EnvVarSource) bool {
		switch {
		case from != nil && from.SecretRef != nil:
			return named(from.SecretRef.Name)
		case value != nil && value.SecretKeyRef != nil:
			return named(value.SecretKeyRef.Name)
		}
		return true
	})
}

func visitVolumeSecrets(v *v1.VolumeSource, named func(string) bool) bool {
	local := func(r *v1.LocalObjectReference) bool { return r == nil || named(r.Name) }
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
func VisitConfigMapNames(pod *v1.Pod, visit func(name string) bool) bool {
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
	return visitEnvironment(pod, func(from *v1.EnvFromSource, value *v1.EnvVarSource) bool {
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
func visitEnvironment(pod *v1.Pod, visit func(*v1.EnvFromSource, *v1.EnvVarSource) bool) bool {
	return VisitContainers(&pod.Spec, func(c *v1.Container) bool {
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
func VisitContainers(spec *v1.PodSpec, visit func(*v1.Container) bool) bool {
	for _, list := range [][]v1.Container{spec.InitContainers, spec.Containers} {
		for i := range list {
			if !visit(&list[i]) {
				return false
			}
		}
	}
	for i := range spec.EphemeralContainers {
		if !visit((*v1.Container)(&spec.EphemeralContainers[i].EphemeralContainerCommon)) {
			return false
		}
	}
	return true
}
