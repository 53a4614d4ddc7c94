package podrules

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"wheelhouse/cluster/api/podfacts"
	"wheelhouse/cluster/api/rules"
)

// validateContainers validates all containers, which share one set of names, and their host ports.
func (c *podSpecValidator) validateContainers(p *field.Path) field.ErrorList {
	var errs field.ErrorList
	s := c.spec
	at := p.Child("containers")
	if len(s.Containers) == 0 {
		errs = append(errs, field.Required(at, ""))
	}
	hostPorts := map[string]bool{}
	for i := range s.Containers {
		ctr, path := &s.Containers[i], at.Index(i)
		errs = append(errs, c.validateContainerName(ctr.Name, path.Child("name"))...)
		errs = append(errs, c.validateContainer(ctr, path)...)
		errs = append(errs, validateLifecycleAndProbes(ctr, s, path)...)
		errs = append(errs, validateContainerRestartPolicy(ctr, path)...)
		errs = append(errs, validateHostPorts(ctr.Ports, hostPorts, s.HostNetwork, path.Child("ports"))...)
	}
	at = p.Child("initContainers")
	for i := range s.InitContainers {
		ctr, path := &s.InitContainers[i], at.Index(i)
		errs = append(errs, c.validateContainerName(ctr.Name, path.Child("name"))...)
		errs = append(errs, c.validateContainer(ctr, path)...)
		errs = append(errs, validateContainerRestartPolicy(ctr, path)...)
		if podfacts.Sidecar(ctr) {
			if len(ctr.RestartPolicyRules) > 0 {
				errs = append(errs, field.Forbidden(path.Child("restartPolicyRules"), "restartPolicyRules are not allowed for init containers with restart policy Always"))
			}
			errs = append(errs, validateLifecycleAndProbes(ctr, s, path)...)
			errs = append(errs, validateHostPorts(ctr.Ports, hostPorts, s.HostNetwork, path.Child("ports"))...)
		} else {
			errs = append(errs, forbidLifecycleAndProbes(ctr, path)...)
			errs = append(errs, validateInitResizePolicy(ctr.ResizePolicy, path.Child("resizePolicy"))...)
			// Init containers run one after the other, so their host ports do not conflict.
			errs = append(errs, validateHostPorts(ctr.Ports, map[string]bool{}, s.HostNetwork, path.Child("ports"))...)
		}
	}
	at = p.Child("ephemeralContainers")
	for i := range s.EphemeralContainers {
		errs = append(errs, c.validateEphemeralContainer(&s.EphemeralContainers[i], at.Index(i))...)
	}
	return errs
}

func (c *podSpecValidator) validateContainerName(name string, p *field.Path) field.ErrorList {
	if name == "" {
		return field.ErrorList{field.Required(p, "")}
	}
	errs := rules.Invalid(p, name, validation.IsDNS1123Label(name))
	if c.names[name] {
		errs = append(errs, field.Duplicate(p, name))
	}
	c.names[name] = true
	return errs
}

func (c *podSpecValidator) validateContainer(ctr *corev1.Container, p *field.Path) field.ErrorList {
	errs := c.validateImage(ctr.Image, p.Child("image"))
	if ctr.TerminationMessagePolicy == "" {
		errs = append(errs, field.Required(p.Child("terminationMessagePolicy"), ""))
	} else {
		errs = append(errs, rules.OneOf(ctr.TerminationMessagePolicy, p.Child("terminationMessagePolicy"),
			corev1.TerminationMessageFallbackToLogsOnError, corev1.TerminationMessageReadFile)...)
	}
	if len(ctr.Ports) > 0 {
		errs = append(errs, validateContainerPorts(ctr.Ports, p.Child("ports"))...)
	}
	if len(ctr.Env) > 0 {
		errs = append(errs, c.validateEnv(ctr.Env, p.Child("env"))...)
	}
	if len(ctr.EnvFrom) > 0 {
		errs = append(errs, validateEnvFrom(ctr.EnvFrom, p.Child("envFrom"))...)
	}
	if len(ctr.VolumeMounts) > 0 {
		errs = append(errs, c.validateVolumeMounts(ctr, p.Child("volumeMounts"))...)
	}
	if len(ctr.VolumeDevices) > 0 {
		errs = append(errs, c.validateVolumeDevices(ctr, p.Child("volumeDevices"))...)
	}
	errs = append(errs, rules.RequiredOneOf(ctr.ImagePullPolicy, p.Child("imagePullPolicy"), pullPolicies...)...)
	if len(ctr.Resources.Limits)+len(ctr.Resources.Requests)+len(ctr.Resources.Claims) > 0 {
		errs = append(errs, ValidateResourceRequirements(&ctr.Resources, c.spec.ResourceClaims, p.Child("resources"))...)
	}
	errs = append(errs, validateResizePolicy(ctr.ResizePolicy, c.spec, p.Child("resizePolicy"))...)
	return append(errs, c.validateSecurityContext(ctr.SecurityContext, p.Child("securityContext"))...)
}

// validateImage validates an image. It may be empty in a template.
func (c *podSpecValidator) validateImage(image string, p *field.Path) field.ErrorList {
	switch {
	case image == "" && c.template:
		return nil
	case image == "":
		return field.ErrorList{field.Required(p, "")}
	case strings.TrimSpace(image) != image:
		return field.ErrorList{field.Invalid(p, image, "must not have leading or trailing whitespace")}
	}
	return nil
}

// validateLifecycleAndProbes validates the hooks and probes of a container or sidecar.
func validateLifecycleAndProbes(ctr *corev1.Container, s *corev1.PodSpec, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	grace := s.TerminationGracePeriodSeconds
	if ctr.Lifecycle != nil {
		errs = append(errs, validateLifecycle(ctr.Lifecycle, grace, p.Child("lifecycle"))...)
	}
	errs = append(errs, validateLivenessProbe(ctr.LivenessProbe, p.Child("livenessProbe"))...)
	errs = append(errs, validateReadinessProbe(ctr.ReadinessProbe, p.Child("readinessProbe"))...)
	return append(errs, validateLivenessProbe(ctr.StartupProbe, p.Child("startupProbe"))...)
}

func forbidLifecycleAndProbes(ctr *corev1.Container, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	forbid := func(set bool, name string) {
		if set {
			errs = append(errs, field.Forbidden(p.Child(name), "may not be set for init containers without restartPolicy=Always"))
		}
	}
	forbid(ctr.Lifecycle != nil, "lifecycle")
	forbid(ctr.LivenessProbe != nil, "livenessProbe")
	forbid(ctr.ReadinessProbe != nil, "readinessProbe")
	forbid(ctr.StartupProbe != nil, "startupProbe")
	return errs
}

func (c *podSpecValidator) validateEphemeralContainer(e *corev1.EphemeralContainer, p *field.Path) field.ErrorList {
	errs := c.validateContainerName(e.Name, p.Child("name"))
	ctr := corev1.Container(e.EphemeralContainerCommon)
	errs = append(errs, c.validateContainer(&ctr, p)...)
	if e.TargetContainerName != "" {
		found := false
		for i := range c.spec.Containers {
			found = found || c.spec.Containers[i].Name == e.TargetContainerName
		}
		for i := range c.spec.InitContainers {
			found = found || c.spec.InitContainers[i].Name == e.TargetContainerName
		}
		if !found {
			errs = append(errs, field.NotFound(p.Child("targetContainerName"), e.TargetContainerName))
		}
	}
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"ports", len(ctr.Ports) > 0},
		{"livenessProbe", ctr.LivenessProbe != nil},
		{"readinessProbe", ctr.ReadinessProbe != nil},
		{"startupProbe", ctr.StartupProbe != nil},
		{"lifecycle", ctr.Lifecycle != nil},
		{"resources", len(ctr.Resources.Limits)+len(ctr.Resources.Requests) > 0},
	} {
		if f.set {
			errs = append(errs, field.Forbidden(p.Child(f.name), "cannot be set for an Ephemeral Container"))
		}
	}
	return errs
}

func validateContainerPorts(ports []corev1.ContainerPort, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	names := map[string]bool{}
	for i := range ports {
		port, at := &ports[i], p.Index(i)
		if port.Name != "" {
			bad := rules.Invalid(at.Child("name"), port.Name, validation.IsValidPortName(port.Name))
			errs = append(errs, bad...)
			if len(bad) == 0 {
				errs = append(errs, rules.Unique(names, port.Name, at.Child("name"), port.Name)...)
			}
		}
		if port.ContainerPort == 0 {
			errs = append(errs, field.Required(at.Child("containerPort"), ""))
		} else {
			errs = append(errs, rules.Invalid(at.Child("containerPort"), int64(port.ContainerPort), validation.IsValidPortNum(int(port.ContainerPort)))...)
		}
		if port.HostPort != 0 {
			errs = append(errs, rules.Invalid(at.Child("hostPort"), int64(port.HostPort), validation.IsValidPortNum(int(port.HostPort)))...)
		}
		if port.HostIP != "" {
			errs = append(errs, validation.IsValidIPForLegacyField(at.Child("hostIP"), port.HostIP, false, nil)...)
		}
		errs = append(errs, rules.RequiredOneOf(port.Protocol, at.Child("protocol"), rules.Protocols...)...)
	}
	return errs
}

// validateHostPorts reports conflicts of host ports. With hostNetwork a container port is a host port.
func validateHostPorts(ports []corev1.ContainerPort, used map[string]bool, hostNetwork bool, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i := range ports {
		port := &ports[i]
		if hostNetwork && port.HostPort != port.ContainerPort {
			errs = append(errs, field.Invalid(p.Index(i).Child("containerPort"), port.ContainerPort, "must match `hostPort` when `hostNetwork` is true"))
		}
		if port.HostPort == 0 {
			continue
		}
		key := fmt.Sprintf("%s/%s/%d", port.Protocol, port.HostIP, port.HostPort)
		errs = append(errs, rules.Unique(used, key, p.Index(i).Child("hostPort"), key)...)
	}
	return errs
}

func (c *podSpecValidator) validateVolumeMounts(ctr *corev1.Container, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	paths := make(map[string]bool, len(ctr.VolumeMounts))
	for i := range ctr.VolumeMounts {
		m, at := &ctr.VolumeMounts[i], p.Index(i)
		errs = append(errs, rules.Required(m.Name, at.Child("name"))...)
		errs = append(errs, rules.Required(m.MountPath, at.Child("mountPath"))...)
		if _, ok := c.volumes[m.Name]; !ok {
			errs = append(errs, field.NotFound(at.Child("name"), m.Name))
		}
		if paths[m.MountPath] {
			errs = append(errs, field.Invalid(at.Child("mountPath"), m.MountPath, "must be unique"))
		}
		paths[m.MountPath] = true
		for k := range ctr.VolumeDevices {
			if ctr.VolumeDevices[k].Name == m.Name {
				errs = append(errs, field.Invalid(at.Child("name"), m.Name, "must not already exist in volumeDevices"))
			}
			if ctr.VolumeDevices[k].DevicePath == m.MountPath {
				errs = append(errs, field.Invalid(at.Child("mountPath"), m.MountPath, "must not already exist as a path in volumeDevices"))
			}
		}
		if m.SubPath != "" {
			errs = append(errs, validateLocalDescendingPath(m.SubPath, at.Child("subPath"))...)
		}
		if m.SubPathExpr != "" {
			if m.SubPath != "" {
				errs = append(errs, field.Invalid(at.Child("subPathExpr"), m.SubPathExpr, "subPathExpr and subPath are mutually exclusive"))
			}
			errs = append(errs, validateLocalDescendingPath(m.SubPathExpr, at.Child("subPathExpr"))...)
		}
		errs = append(errs, validateMountPropagation(m, ctr, at)...)
	}
	return errs
}

func validateMountPropagation(m *corev1.VolumeMount, ctr *corev1.Container, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	if m.MountPropagation != nil {
		at := p.Child("mountPropagation")
		errs = append(errs, rules.OneOf(*m.MountPropagation, at,
			corev1.MountPropagationBidirectional, corev1.MountPropagationHostToContainer, corev1.MountPropagationNone)...)
		privileged := ctr.SecurityContext != nil && ptr.Deref(ctr.SecurityContext.Privileged, false)
		if *m.MountPropagation == corev1.MountPropagationBidirectional && !privileged {
			errs = append(errs, field.Forbidden(at, "Bidirectional mount propagation is available only to privileged containers"))
		}
	}
	if r := m.RecursiveReadOnly; r != nil {
		at := p.Child("recursiveReadOnly")
		errs = append(errs, rules.OneOf(*r, at, corev1.RecursiveReadOnlyDisabled, corev1.RecursiveReadOnlyEnabled, corev1.RecursiveReadOnlyIfPossible)...)
		if *r != corev1.RecursiveReadOnlyDisabled && !m.ReadOnly {
			errs = append(errs, field.Forbidden(at, "may only be specified when readOnly is true"))
		}
	}
	return errs
}

func (c *podSpecValidator) validateVolumeDevices(ctr *corev1.Container, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	paths, names := map[string]bool{}, map[string]bool{}
	for i := range ctr.VolumeDevices {
		d, at := &ctr.VolumeDevices[i], p.Index(i)
		source, found := c.volumes[d.Name]
		switch {
		case d.Name == "":
			errs = append(errs, field.Required(at.Child("name"), ""))
		case !found:
			errs = append(errs, field.NotFound(at.Child("name"), d.Name))
		case source.PersistentVolumeClaim == nil && source.Ephemeral == nil:
			errs = append(errs, field.Invalid(at.Child("name"), d.Name, "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"))
		}
		if names[d.Name] {
			errs = append(errs, field.Invalid(at.Child("name"), d.Name, "must be unique"))
		}
		names[d.Name] = true
		switch {
		case d.DevicePath == "":
			errs = append(errs, field.Required(at.Child("devicePath"), ""))
		case paths[d.DevicePath]:
			errs = append(errs, field.Invalid(at.Child("devicePath"), d.DevicePath, "must be unique"))
		}
		paths[d.DevicePath] = true
		errs = append(errs, ValidatePathNoBacksteps(d.DevicePath, at.Child("devicePath"))...)
	}
	return errs
}

func (c *podSpecValidator) validateSecurityContext(s *corev1.SecurityContext, p *field.Path) field.ErrorList {
	if s == nil {
		return nil
	}
	errs := rules.OptionalPointer(s.RunAsUser, p.Child("runAsUser"), validation.IsValidUserID)
	errs = append(errs, rules.OptionalPointer(s.RunAsGroup, p.Child("runAsGroup"), validation.IsValidGroupID)...)
	if s.ProcMount != nil {
		errs = append(errs, rules.OneOf(*s.ProcMount, p.Child("procMount"), corev1.DefaultProcMount, corev1.UnmaskedProcMount)...)
		if *s.ProcMount == corev1.UnmaskedProcMount && !hasUserNamespace(c.spec) {
			errs = append(errs, field.Invalid(p.Child("procMount"), *s.ProcMount, "`hostUsers` must be false to use `Unmasked`"))
		}
	}
	errs = append(errs, validateSeccompProfile(s.SeccompProfile, p.Child("seccompProfile"))...)
	errs = append(errs, validateAppArmorProfile(s.AppArmorProfile, p.Child("appArmorProfile"))...)
	if s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation {
		return errs
	}
	if ptr.Deref(s.Privileged, false) {
		errs = append(errs, field.Invalid(p, s, "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"))
	}
	if s.Capabilities != nil {
		for _, capability := range s.Capabilities.Add {
			if capability == "CAP_SYS_ADMIN" {
				errs = append(errs, field.Invalid(p, s, "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"))
			}
		}
	}
	return errs
}
