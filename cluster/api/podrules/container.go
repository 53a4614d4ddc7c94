package podrules

import (
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"wheelhouse/cluster/api/podfacts"
	"wheelhouse/cluster/api/rules"
)

// validateContainers validates the containers of all lists.
func (c *podSpecValidator) validateContainers(p *field.Path) field.ErrorList {
	s := c.spec
	at, names := p.Child("containers"), map[string]bool{}
	if len(s.Containers) == 0 {
		return append(field.ErrorList{field.Required(at, "")}, c.validateOtherContainers(names, p)...)
	}
	var errs field.ErrorList
	for i := range s.Containers {
		ctr, path := &s.Containers[i], at.Index(i)
		errs = append(errs, c.validateContainer(ctr, path)...)
		errs = append(errs, rules.Unique(names, ctr.Name, path.Child("name"), ctr.Name)...)
		errs = append(errs, validateLifecycleAndProbes(ctr, s, path)...)
		errs = append(errs, validateContainerRestartPolicy(ctr, path)...)
	}
	hostPorts := map[string]bool{}
	for i := range s.Containers {
		errs = append(errs, validateHostPorts(s.Containers[i].Ports, hostPorts, at.Index(i).Child("ports"))...)
	}
	return append(errs, c.validateOtherContainers(names, p)...)
}

// validateOtherContainers validates the init containers and the ephemeral ones. Names has those of the containers.
func (c *podSpecValidator) validateOtherContainers(names map[string]bool, p *field.Path) field.ErrorList {
	errs := c.validateInitContainers(names, p.Child("initContainers"))
	targets := maps.Clone(names)
	for i := range c.spec.EphemeralContainers {
		errs = append(errs, c.validateEphemeralContainer(&c.spec.EphemeralContainers[i], names, targets, p.Child("ephemeralContainers").Index(i))...)
	}
	return errs
}

func (c *podSpecValidator) validateInitContainers(names map[string]bool, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	s := c.spec
	for i := range s.InitContainers {
		ctr, path := &s.InitContainers[i], p.Index(i)
		errs = append(errs, c.validateContainer(ctr, path)...)
		errs = append(errs, validateInitContainerRestartPolicy(ctr, path)...)
		if names[ctr.Name] {
			errs = append(errs, field.Duplicate(path.Child("name"), ctr.Name))
		} else if ctr.Name != "" {
			names[ctr.Name] = true
		}
		// Init containers run one after the other, so their host ports do not conflict. Upstream counts each as the first.
		errs = append(errs, validateHostPorts(ctr.Ports, map[string]bool{}, p.Index(0).Child("ports"))...)
		if podfacts.Sidecar(ctr) {
			errs = append(errs, validateLifecycleAndProbes(ctr, s, path)...)
		} else {
			errs = append(errs, forbidLifecycleAndProbes(ctr, path)...)
			errs = append(errs, validateInitResizePolicy(ctr.ResizePolicy, path.Child("resizePolicy"))...)
		}
	}
	return errs
}

// validateContainer validates what all containers have.
func (c *podSpecValidator) validateContainer(ctr *corev1.Container, p *field.Path) field.ErrorList {
	errs := rules.RequiredValue(ctr.Name, p.Child("name"), validation.IsDNS1123Label)
	errs = append(errs, rules.Required(ctr.Image, p.Child("image"))...)
	errs = append(errs, rules.RequiredOneOf(ctr.TerminationMessagePolicy, p.Child("terminationMessagePolicy"),
		corev1.TerminationMessageReadFile, corev1.TerminationMessageFallbackToLogsOnError)...)
	if len(ctr.Ports) > 0 {
		errs = append(errs, validateContainerPorts(ctr.Ports, p.Child("ports"))...)
	}
	if len(ctr.Env) > 0 {
		errs = append(errs, validateEnv(ctr.Env, p.Child("env"))...)
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
		errs = append(errs, ValidateResourceRequirements(&ctr.Resources, c.claimNames, p.Child("resources"))...)
	}
	errs = append(errs, validateResizePolicy(ctr.ResizePolicy, c.spec, p.Child("resizePolicy"))...)
	return append(errs, c.validateSecurityContext(ctr.SecurityContext, p.Child("securityContext"))...)
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

func (c *podSpecValidator) validateEphemeralContainer(e *corev1.EphemeralContainer, names, targets map[string]bool, p *field.Path) field.ErrorList {
	ctr := corev1.Container(e.EphemeralContainerCommon)
	errs := c.validateContainer(&ctr, p)
	errs = append(errs, validateImageIsTrimmed(ctr.Image, p.Child("image"))...)
	errs = append(errs, rules.Unique(names, e.Name, p.Child("name"), e.Name)...)
	if e.TargetContainerName != "" && !targets[e.TargetContainerName] {
		errs = append(errs, field.NotFound(p.Child("targetContainerName"), e.TargetContainerName))
	}
	const unset = "cannot be set for an Ephemeral Container"
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"ports", len(ctr.Ports) > 0},
		{"resources", len(ctr.Resources.Limits)+len(ctr.Resources.Requests)+len(ctr.Resources.Claims) > 0},
		{"resizePolicy", len(ctr.ResizePolicy) > 0},
		{"restartPolicy", ctr.RestartPolicy != nil},
		{"restartPolicyRules", len(ctr.RestartPolicyRules) > 0},
		{"livenessProbe", ctr.LivenessProbe != nil},
		{"readinessProbe", ctr.ReadinessProbe != nil},
		{"startupProbe", ctr.StartupProbe != nil},
		{"lifecycle", ctr.Lifecycle != nil},
	} {
		if f.set {
			errs = append(errs, field.Forbidden(p.Child(f.name), unset))
		}
	}
	for i := range ctr.VolumeMounts {
		at := p.Child("volumeMounts").Index(i)
		if ctr.VolumeMounts[i].SubPath != "" {
			errs = append(errs, field.Forbidden(at.Child("subPath"), unset))
		}
		if ctr.VolumeMounts[i].SubPathExpr != "" {
			errs = append(errs, field.Forbidden(at.Child("subPathExpr"), unset))
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
		errs = append(errs, rules.RequiredOneOf(port.Protocol, at.Child("protocol"), rules.Protocols...)...)
	}
	return errs
}

// validateHostPorts reports conflicts of host ports.
func validateHostPorts(ports []corev1.ContainerPort, used map[string]bool, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i := range ports {
		port := &ports[i]
		if port.HostPort == 0 {
			continue
		}
		key := fmt.Sprintf("%s/%s/%d", port.Protocol, port.HostIP, port.HostPort)
		errs = append(errs, rules.Unique(used, key, p.Index(i).Child("hostPort"), key)...)
	}
	return errs
}

// validateHostNetworkPorts reports host ports that differ from the container ports, with hostNetwork. A template may
// leave them out.
func (c *podSpecValidator) validateHostNetworkPorts(p *field.Path) field.ErrorList {
	if !c.spec.HostNetwork {
		return nil
	}
	var errs field.ErrorList
	for i := range c.spec.Containers {
		for k, port := range c.spec.Containers[i].Ports {
			if (!c.template || port.HostPort != 0) && port.HostPort != port.ContainerPort {
				errs = append(errs, field.Invalid(p.Index(i).Child("ports").Index(k).Child("hostPort"), port.HostPort,
					"must match `containerPort` when `hostNetwork` is true"))
			}
		}
	}
	return errs
}

func (c *podSpecValidator) validateVolumeMounts(ctr *corev1.Container, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	paths := make(map[string]bool, len(ctr.VolumeMounts))
	for i := range ctr.VolumeMounts {
		m, at := &ctr.VolumeMounts[i], p.Index(i)
		errs = append(errs, rules.Required(m.Name, at.Child("name"))...)
		if _, ok := c.volumes[m.Name]; !ok {
			errs = append(errs, field.NotFound(at.Child("name"), m.Name))
		}
		errs = append(errs, rules.Required(m.MountPath, at.Child("mountPath"))...)
		if paths[m.MountPath] {
			errs = append(errs, field.Invalid(at.Child("mountPath"), m.MountPath, "must be unique"))
		}
		paths[m.MountPath] = true
		if slices.ContainsFunc(ctr.VolumeDevices, func(d corev1.VolumeDevice) bool { return d.Name == m.Name }) {
			errs = append(errs, field.Invalid(at.Child("name"), m.Name, "must not already exist in volumeDevices"))
		}
		if slices.ContainsFunc(ctr.VolumeDevices, func(d corev1.VolumeDevice) bool { return d.DevicePath == m.MountPath }) {
			errs = append(errs, field.Invalid(at.Child("mountPath"), m.MountPath, "must not already exist as a path in volumeDevices"))
		}
		// The paths of these errors have no index, as upstream's.
		if m.SubPath != "" {
			errs = append(errs, validateLocalDescendingPath(m.SubPath, p.Child("subPath"))...)
		}
		if m.SubPathExpr != "" {
			if m.SubPath != "" {
				errs = append(errs, field.Invalid(at.Child("subPathExpr"), m.SubPathExpr, "subPathExpr and subPath are mutually exclusive"))
			}
			errs = append(errs, validateLocalDescendingPath(m.SubPathExpr, p.Child("subPathExpr"))...)
		}
		errs = append(errs, validateMountPropagation(m, ctr, p)...)
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
	at := p.Child("recursiveReadOnly")
	switch r := ptr.Deref(m.RecursiveReadOnly, corev1.RecursiveReadOnlyDisabled); r {
	case corev1.RecursiveReadOnlyDisabled:
	case corev1.RecursiveReadOnlyEnabled, corev1.RecursiveReadOnlyIfPossible:
		if !m.ReadOnly {
			errs = append(errs, field.Forbidden(at, "may only be specified when readOnly is true"))
		}
		if ptr.Deref(m.MountPropagation, corev1.MountPropagationNone) != corev1.MountPropagationNone {
			errs = append(errs, field.Forbidden(at, "may only be specified when mountPropagation is None or not specified"))
		}
	default:
		errs = append(errs, rules.OneOf(r, at, corev1.RecursiveReadOnlyDisabled, corev1.RecursiveReadOnlyEnabled, corev1.RecursiveReadOnlyIfPossible)...)
	}
	return errs
}

func (c *podSpecValidator) validateVolumeDevices(ctr *corev1.Container, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	paths, names := map[string]bool{}, map[string]bool{}
	for i := range ctr.VolumeDevices {
		d, at := &ctr.VolumeDevices[i], p.Index(i)
		name, path := at.Child("name"), at.Child("devicePath")
		errs = append(errs, rules.Required(d.Name, name)...)
		if names[d.Name] {
			errs = append(errs, field.Invalid(name, d.Name, "must be unique"))
		}
		if source, found := c.volumes[d.Name]; !found {
			errs = append(errs, field.NotFound(name, d.Name))
		} else if source.PersistentVolumeClaim == nil && source.Ephemeral == nil {
			errs = append(errs, field.Invalid(name, d.Name, "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"))
		}
		errs = append(errs, rules.Required(d.DevicePath, path)...)
		if paths[d.DevicePath] {
			errs = append(errs, field.Invalid(path, d.DevicePath, "must be unique"))
		}
		if len(ValidatePathNoBacksteps(d.DevicePath, path)) > 0 {
			errs = append(errs, field.Invalid(path, d.DevicePath, "can not contain backsteps ('..')"))
		} else {
			paths[d.DevicePath] = true
		}
		if slices.ContainsFunc(ctr.VolumeMounts, func(m corev1.VolumeMount) bool { return m.Name == d.Name }) {
			errs = append(errs, field.Invalid(name, d.Name, "must not already exist in volumeMounts"))
		}
		if slices.ContainsFunc(ctr.VolumeMounts, func(m corev1.VolumeMount) bool { return m.MountPath == d.DevicePath }) {
			errs = append(errs, field.Invalid(path, d.DevicePath, "must not already exist as a path in volumeMounts"))
		}
		if d.Name != "" {
			names[d.Name] = true
		}
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
	if !ptr.Deref(s.AllowPrivilegeEscalation, true) {
		errs = append(errs, validateNoPrivilegeEscalation(s, p)...)
	}
	return append(errs, validateAppArmorProfile(s.AppArmorProfile, p.Child("appArmorProfile"))...)
}

func validateNoPrivilegeEscalation(s *corev1.SecurityContext, p *field.Path) field.ErrorList {
	var errs field.ErrorList
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
