package podrules

import (
	"strings"

	"github.com/distribution/reference"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"wheelhouse/cluster/api/rules"
)

const (
	defaultMode               = int32(0o644)
	defaultTokenExpiration    = int64(3600)
	defaultGracePeriodSeconds = int64(corev1.DefaultTerminationGracePeriodSeconds)
)

// DefaultPod sets the defaults of a pod. Those that pod templates do not have are set here alone, so that stored
// templates do not change when they do.
func DefaultPod(p *corev1.Pod) {
	s := &p.Spec
	DefaultPodSpec(s)
	if *s.TerminationGracePeriodSeconds < 0 {
		*s.TerminationGracePeriodSeconds = 1 // as upstream: validation once allowed negative values
	}
	rules.SetDefaultPtr(&s.EnableServiceLinks, corev1.DefaultEnableServiceLinks)
	for i := range s.Containers {
		defaultRequestsFromLimits(&s.Containers[i].Resources)
	}
	for i := range s.InitContainers {
		defaultRequestsFromLimits(&s.InitContainers[i].Resources)
	}
	if s.Resources != nil {
		defaultRequestsFromLimits(s.Resources)
	}
	if s.HostNetwork {
		defaultHostNetworkPorts(s.Containers)
		defaultHostNetworkPorts(s.InitContainers)
	}
}

// defaultRequestsFromLimits sets the request of each resource that has a limit and no request.
func defaultRequestsFromLimits(r *corev1.ResourceRequirements) {
	if len(r.Limits) == 0 {
		return
	}
	if r.Requests == nil {
		r.Requests = make(corev1.ResourceList, len(r.Limits))
	}
	for n, q := range r.Limits {
		if _, ok := r.Requests[n]; !ok {
			r.Requests[n] = q.DeepCopy()
		}
	}
}

func defaultHostNetworkPorts(containers []corev1.Container) {
	for i := range containers {
		for k := range containers[i].Ports {
			port := &containers[i].Ports[k]
			rules.SetDefault(&port.HostPort, port.ContainerPort)
		}
	}
}

// DefaultPodSpec sets the documented defaults of a pod or template.
func DefaultPodSpec(s *corev1.PodSpec) {
	rules.SetDefault(&s.RestartPolicy, corev1.RestartPolicyAlways)
	rules.SetDefault(&s.DNSPolicy, corev1.DNSClusterFirst)
	rules.SetDefault(&s.SchedulerName, corev1.DefaultSchedulerName)
	if s.SecurityContext == nil {
		s.SecurityContext = &corev1.PodSecurityContext{}
	}
	rules.SetDefaultPtr(&s.TerminationGracePeriodSeconds, defaultGracePeriodSeconds)
	// serviceAccount is the deprecated alias of serviceAccountName.
	rules.SetDefault(&s.ServiceAccountName, s.DeprecatedServiceAccount)
	s.DeprecatedServiceAccount = s.ServiceAccountName

	for i := range s.Volumes {
		defaultVolume(&s.Volumes[i].VolumeSource)
	}
	for i := range s.InitContainers {
		defaultContainer(&s.InitContainers[i])
	}
	for i := range s.Containers {
		defaultContainer(&s.Containers[i])
	}
	for i := range s.EphemeralContainers {
		c := corev1.Container(s.EphemeralContainers[i].EphemeralContainerCommon)
		defaultContainer(&c)
		s.EphemeralContainers[i].EphemeralContainerCommon = corev1.EphemeralContainerCommon(c)
	}
	roundUpToMilli(s.Overhead)
	if s.Resources != nil {
		roundUpToMilli(s.Resources.Limits)
		roundUpToMilli(s.Resources.Requests)
	}
}

func defaultContainer(c *corev1.Container) {
	if c.ImagePullPolicy == "" {
		c.ImagePullPolicy = corev1.PullIfNotPresent
		if hasLatestTag(c.Image) {
			c.ImagePullPolicy = corev1.PullAlways
		}
	}
	rules.SetDefault(&c.TerminationMessagePath, corev1.TerminationMessagePathDefault)
	rules.SetDefault(&c.TerminationMessagePolicy, corev1.TerminationMessageReadFile)
	for i := range c.Ports {
		rules.SetDefault(&c.Ports[i].Protocol, corev1.ProtocolTCP)
	}
	for i := range c.Env {
		if from := c.Env[i].ValueFrom; from != nil {
			if from.FieldRef != nil {
				rules.SetDefault(&from.FieldRef.APIVersion, "v1")
			}
			if from.FileKeyRef != nil {
				rules.SetDefaultPtr(&from.FileKeyRef.Optional, false)
			}
		}
	}
	roundUpToMilli(c.Resources.Limits)
	roundUpToMilli(c.Resources.Requests)
	defaultProbe(c.LivenessProbe)
	defaultProbe(c.ReadinessProbe)
	defaultProbe(c.StartupProbe)
	if l := c.Lifecycle; l != nil {
		if l.PostStart != nil {
			defaultHTTPGet(l.PostStart.HTTPGet)
		}
		if l.PreStop != nil {
			defaultHTTPGet(l.PreStop.HTTPGet)
		}
	}
}

// hasLatestTag reports whether an image has the tag latest, which is the default without tag and digest. What is no
// reference of an image has no tag.
func hasLatestTag(image string) bool {
	name, _, digest := strings.Cut(image, "@")
	colon := strings.LastIndexByte(name, ':')
	latest := colon >= 0 && name[colon+1:] == "latest"
	if colon < 0 || strings.Contains(name[colon:], "/") { // a colon before a slash is a port
		latest = !digest && name != ""
	}
	if !latest {
		return false
	}
	_, err := reference.ParseNormalizedNamed(image)
	return err == nil
}

// roundUpToMilli rounds amounts up to thousandths, the finest unit of cpu.
func roundUpToMilli(l corev1.ResourceList) {
	for n, q := range l {
		if q.RoundUp(resource.Milli) {
			continue
		}
		l[n] = q
	}
}

func defaultProbe(p *corev1.Probe) {
	if p == nil {
		return
	}
	rules.SetDefault(&p.TimeoutSeconds, 1)
	rules.SetDefault(&p.PeriodSeconds, 10)
	rules.SetDefault(&p.SuccessThreshold, 1)
	rules.SetDefault(&p.FailureThreshold, 3)
	defaultHTTPGet(p.HTTPGet)
	if p.GRPC != nil {
		rules.SetDefaultPtr(&p.GRPC.Service, "")
	}
}

func defaultHTTPGet(h *corev1.HTTPGetAction) {
	if h == nil {
		return
	}
	rules.SetDefault(&h.Path, "/")
	rules.SetDefault(&h.Scheme, corev1.URISchemeHTTP)
}

// defaultVolume sets the defaults of a volume. Without a source it is an emptyDir.
func defaultVolume(v *corev1.VolumeSource) {
	if *v == (corev1.VolumeSource{}) {
		v.EmptyDir = &corev1.EmptyDirVolumeSource{}
		return
	}
	switch {
	case v.HostPath != nil:
		rules.SetDefaultPtr(&v.HostPath.Type, corev1.HostPathUnset)
	case v.Secret != nil:
		rules.SetDefaultPtr(&v.Secret.DefaultMode, defaultMode)
	case v.ConfigMap != nil:
		rules.SetDefaultPtr(&v.ConfigMap.DefaultMode, defaultMode)
	case v.DownwardAPI != nil:
		rules.SetDefaultPtr(&v.DownwardAPI.DefaultMode, defaultMode)
		defaultDownwardAPIFiles(v.DownwardAPI.Items)
	case v.Projected != nil:
		rules.SetDefaultPtr(&v.Projected.DefaultMode, defaultMode)
		for i := range v.Projected.Sources {
			s := &v.Projected.Sources[i]
			if s.DownwardAPI != nil {
				defaultDownwardAPIFiles(s.DownwardAPI.Items)
			}
			if s.ServiceAccountToken != nil {
				rules.SetDefaultPtr(&s.ServiceAccountToken.ExpirationSeconds, defaultTokenExpiration)
			}
		}
	case v.ISCSI != nil:
		rules.SetDefault(&v.ISCSI.ISCSIInterface, "default")
	case v.RBD != nil:
		rules.SetDefault(&v.RBD.RBDPool, "rbd")
		rules.SetDefault(&v.RBD.RadosUser, "admin")
		rules.SetDefault(&v.RBD.Keyring, "/etc/ceph/keyring")
	case v.Ephemeral != nil && v.Ephemeral.VolumeClaimTemplate != nil:
		rules.SetDefaultPtr(&v.Ephemeral.VolumeClaimTemplate.Spec.VolumeMode, corev1.PersistentVolumeFilesystem)
	case v.Image != nil && v.Image.PullPolicy == "":
		v.Image.PullPolicy = corev1.PullIfNotPresent
		if hasLatestTag(v.Image.Reference) {
			v.Image.PullPolicy = corev1.PullAlways
		}
	}
}

func defaultDownwardAPIFiles(items []corev1.DownwardAPIVolumeFile) {
	for i := range items {
		if items[i].FieldRef != nil {
			rules.SetDefault(&items[i].FieldRef.APIVersion, "v1")
		}
	}
}
