package podrules

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"wheelhouse/cluster/api/rules"
)

// Warnings collects warnings, each with the path of its field.
type Warnings []string

// Add adds a warning about the field p.
func (w *Warnings) Add(p *field.Path, format string, args ...any) {
	*w = append(*w, p.String()+": "+fmt.Sprintf(format, args...))
}

// Name adds a warning about a name that is no valid hostname.
func (w *Warnings) Name(name, where string) {
	if bad := validation.IsDNS1123Label(name); len(bad) > 0 {
		w.Add(rules.MetadataPath.Child("name"), "this is used in %s, which can result in surprising behavior; a DNS label is recommended: %v", where, bad)
	}
}

// PodNames describes what the names of workloads are used for, in a warning about the name.
const PodNames = "Pod names and hostnames"

// WarningsForPod returns the warnings about a pod.
func WarningsForPod(p *corev1.Pod) []string {
	var w Warnings
	w.Name(p.Name, "the Pod's hostname")
	w.pods(p.Annotations, &p.Spec, nil)
	return w
}

// WarningsForNamedTemplate returns the warnings about an object whose name is a prefix of its pods' names.
func WarningsForNamedTemplate(name string, t *corev1.PodTemplateSpec) []string {
	var w Warnings
	w.Name(name, PodNames)
	w.Template(t, rules.SpecPath.Child("template"))
	return w
}

// WarningsForTemplate returns the warnings about an object with a pod template at p.
func WarningsForTemplate(t *corev1.PodTemplateSpec, p *field.Path) []string {
	var w Warnings
	w.Template(t, p)
	return w
}

// Template adds the warnings about a template at p.
func (w *Warnings) Template(t *corev1.PodTemplateSpec, p *field.Path) {
	w.pods(t.Annotations, &t.Spec, p)
}

// Deprecated labels of nodes and annotations of pods, with the texts of their warnings.
var (
	deprecatedNodeLabels = map[string]string{
		"beta.kubernetes.io/arch":                       `deprecated since v1.14; use "kubernetes.io/arch" instead`,
		"beta.kubernetes.io/os":                         `deprecated since v1.14; use "kubernetes.io/os" instead`,
		"failure-domain.beta.kubernetes.io/region":      `deprecated since v1.17; use "topology.kubernetes.io/region" instead`,
		"failure-domain.beta.kubernetes.io/zone":        `deprecated since v1.17; use "topology.kubernetes.io/zone" instead`,
		"beta.kubernetes.io/instance-type":              `deprecated since v1.17; use "node.kubernetes.io/instance-type" instead`,
		"app.kubernetes.io/created-by":                  `deprecated since v1.9`,
		"scheduler.alpha.kubernetes.io/preferAvoidPods": `deprecated since v1.22; use Taints and Tolerations instead`,
		"node-role.kubernetes.io/master":                `use "node-role.kubernetes.io/control-plane" instead`,
	}
	deprecatedAnnotations = map[string]string{
		"scheduler.alpha.kubernetes.io/critical-pod":  `non-functional in v1.16+; use the "priorityClassName" field instead`,
		"security.alpha.kubernetes.io/sysctls":        `non-functional in v1.11+; use the "sysctls" field instead`,
		"security.alpha.kubernetes.io/unsafe-sysctls": `non-functional in v1.11+; use the "sysctls" field instead`,
	}
)

// Addresses adds warnings about addresses in an old notation.
func (w *Warnings) Addresses(ips []string, p *field.Path) {
	for i, ip := range ips {
		*w = append(*w, validation.GetWarningsForIP(p.Index(i), ip)...)
	}
}

// NodeLabels adds warnings about deprecated labels of nodes in a selector at p.
func (w *Warnings) NodeLabels(labels map[string]string, at func(label string) *field.Path) {
	for _, label := range slices.Sorted(maps.Keys(labels)) {
		if message := deprecatedNodeLabels[label]; message != "" {
			w.Add(at(label), "%s", message)
		}
	}
}

// NodeLabel adds a warning about a deprecated label of nodes, without its name.
func (w *Warnings) NodeLabel(label string, p *field.Path) {
	if message := deprecatedNodeLabels[label]; message != "" {
		w.Add(p, "%s", message)
	}
}

// NodeSelectorTerms adds warnings about terms that select nodes.
func (w *Warnings) NodeSelectorTerms(s *corev1.NodeSelector, p *field.Path) {
	if s == nil {
		return
	}
	for i := range s.NodeSelectorTerms {
		w.nodeSelectorTerm(&s.NodeSelectorTerms[i], false, p.Child("nodeSelectorTerms").Index(i))
	}
}

func (w *Warnings) nodeSelectorTerm(t *corev1.NodeSelectorTerm, checkValues bool, p *field.Path) {
	for i := range t.MatchExpressions {
		r, at := &t.MatchExpressions[i], p.Child("matchExpressions").Index(i)
		if message := deprecatedNodeLabels[r.Key]; message != "" {
			w.Add(at.Child("key"), "%s is %s", r.Key, message)
		}
		for k, v := range r.Values {
			if !checkValues {
				break
			}
			for _, message := range validation.IsValidLabelValue(v) {
				w.Add(at.Child("values").Index(k), "%s is invalid, %s", v, message)
			}
		}
	}
}

// pods adds the warnings about a pod, or about the template at p. For a pod p is nil.
func (w *Warnings) pods(annotations map[string]string, s *corev1.PodSpec, p *field.Path) {
	at := p.Child("spec")
	w.NodeLabels(s.NodeSelector, func(label string) *field.Path { return at.Child("nodeSelector").Key(label) })
	w.nodeAffinity(s.Affinity, at.Child("affinity", "nodeAffinity"))
	for i, c := range s.TopologySpreadConstraints {
		constraint := at.Child("topologySpreadConstraints").Index(i)
		if message := deprecatedNodeLabels[c.TopologyKey]; message != "" {
			w.Add(constraint.Child("topologyKey"), "%s is %s", c.TopologyKey, message)
		}
		if c.LabelSelector == nil {
			w.Add(constraint.Child("labelSelector"), matchesNoPod)
		}
	}
	for _, a := range slices.Sorted(maps.Keys(annotations)) {
		if _, has := deprecatedAnnotations[a]; has {
			w.Add(p.Child("metadata", "annotations").Key(a), "%s", deprecatedAnnotations[a])
		}
	}
	w.volumes(s.Volumes, at.Child("volumes"))
	w.overlappingPaths(s.Volumes)
	w.duplicates(s, at)
	w.fractions(s.Overhead, at.Child("overhead"))
	w.profiles(annotations, s, p)
	eachContainer(s, at, w.container)
	w.ports(s, at)
	if g := s.TerminationGracePeriodSeconds; g != nil && *g < 0 {
		w.Add(at.Child("terminationGracePeriodSeconds"), "must be >= 0; negative values are invalid and will be treated as 1")
	}
	w.podAffinity(s.Affinity, at.Child("affinity"))
	if d := s.DNSConfig; d != nil {
		w.Addresses(d.Nameservers, at.Child("dnsConfig", "nameservers"))
	}
	for i := range s.HostAliases {
		*w = append(*w, validation.GetWarningsForIP(at.Child("hostAliases").Index(i).Child("ip"), s.HostAliases[i].IP)...)
	}
}

const matchesNoPod = "a null labelSelector results in matching no pod"

func (w *Warnings) nodeAffinity(a *corev1.Affinity, p *field.Path) {
	if a == nil || a.NodeAffinity == nil {
		return
	}
	w.NodeSelectorTerms(a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution, p.Child("requiredDuringSchedulingIgnoredDuringExecution"))
	preferred := a.NodeAffinity.PreferredDuringSchedulingIgnoredDuringExecution
	for i := range preferred {
		w.nodeSelectorTerm(&preferred[i].Preference, true, p.Child("preferredDuringSchedulingIgnoredDuringExecution").Index(i).Child("preference"))
	}
}

func (w *Warnings) podAffinity(a *corev1.Affinity, p *field.Path) {
	terms := func(required []corev1.PodAffinityTerm, preferred []corev1.WeightedPodAffinityTerm, p *field.Path) {
		for i := range required {
			if required[i].LabelSelector == nil {
				w.Add(p.Child("requiredDuringSchedulingIgnoredDuringExecution").Index(i).Child("labelSelector"), matchesNoPod)
			}
		}
		for i := range preferred {
			if preferred[i].PodAffinityTerm.LabelSelector == nil {
				w.Add(p.Child("preferredDuringSchedulingIgnoredDuringExecution").Index(i).Child("podAffinityTerm", "labelSelector"), matchesNoPod)
			}
		}
	}
	if a != nil && a.PodAffinity != nil {
		terms(a.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution, a.PodAffinity.PreferredDuringSchedulingIgnoredDuringExecution, p.Child("podAffinity"))
	}
	if a != nil && a.PodAntiAffinity != nil {
		terms(a.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution, a.PodAntiAffinity.PreferredDuringSchedulingIgnoredDuringExecution, p.Child("podAntiAffinity"))
	}
}

// duplicates adds warnings about keys that are set twice, of which a merge keeps one, and about secrets without a name.
func (w *Warnings) duplicates(s *corev1.PodSpec, p *field.Path) {
	seen := map[string]bool{}
	for i, a := range s.HostAliases {
		if seen[a.IP] {
			w.Add(p.Child("hostAliases").Index(i).Child("ip"), "duplicate ip %q", a.IP)
		}
		seen[a.IP] = true
	}
	clear(seen)
	for i, r := range s.ImagePullSecrets {
		if seen[r.Name] {
			w.Add(p.Child("imagePullSecrets").Index(i).Child("name"), "duplicate name %q", r.Name)
		}
		seen[r.Name] = true
	}
	for i, r := range s.ImagePullSecrets {
		if r.Name == "" {
			w.Add(p.Child("imagePullSecrets").Index(i).Child("name"), "invalid empty name %q", r.Name)
		}
	}
}

// profiles adds warnings about annotations that have no effect without the field.
func (w *Warnings) profiles(annotations map[string]string, s *corev1.PodSpec, p *field.Path) {
	if len(annotations) == 0 {
		return
	}
	at := p.Child("metadata", "annotations")
	var whole corev1.PodSecurityContext
	if s.SecurityContext != nil {
		whole = *s.SecurityContext
	}
	const seccomp = `non-functional in v1.27+; use the "seccompProfile" field instead`
	if _, has := annotations[corev1.SeccompPodAnnotationKey]; has && whole.SeccompProfile == nil {
		w.Add(at.Key(corev1.SeccompPodAnnotationKey), "%s", seccomp)
	}
	eachContainer(s, p.Child("spec"), func(c *corev1.Container, _ *field.Path) {
		own := c.SecurityContext
		key := corev1.SeccompContainerAnnotationKeyPrefix + c.Name
		if _, has := annotations[key]; has && (own == nil || own.SeccompProfile == nil) {
			w.Add(at.Key(key), "%s", seccomp)
		}
		key = corev1.DeprecatedAppArmorBetaContainerAnnotationKeyPrefix + c.Name
		v, has := annotations[key]
		if !has || p == nil || own != nil && own.AppArmorProfile != nil {
			return // pods get the field of the annotation
		}
		if a := whole.AppArmorProfile; a == nil || len(appArmorProfile(a).match(v, at)) > 0 {
			w.Add(at.Key(key), `deprecated since v1.30; use the "appArmorProfile" field instead`)
		}
	})
}

// fractions adds warnings about parts of bytes.
func (w *Warnings) fractions(list corev1.ResourceList, p *field.Path) {
	for _, n := range []corev1.ResourceName{corev1.ResourceMemory, corev1.ResourceEphemeralStorage} {
		if q, has := list[n]; has && q.MilliValue()%1000 != 0 {
			w.Add(p.Key(string(n)), "fractional byte value %q is invalid, must be an integer", q.String())
		}
	}
}

func (w *Warnings) container(c *corev1.Container, p *field.Path) {
	w.fractions(c.Resources.Limits, p.Child("resources", "limits"))
	w.fractions(c.Resources.Requests, p.Child("resources", "requests"))
	seen := map[string]bool{}
	for i, e := range c.Env {
		// A value with more than $(NAME) extends the previous definition on purpose.
		self := "$(" + e.Name + ")"
		goesOn := e.ValueFrom == nil && e.Value != self && strings.Contains(e.Value, self)
		if seen[e.Name] && !goesOn {
			w.Add(p.Child("env").Index(i), "hides previous definition of %q, which may be dropped when using apply", e.Name)
		}
		seen[e.Name] = true
	}
}

// ports adds warnings about ports of the pod that are the same, or nearly.
func (w *Warnings) ports(s *corev1.PodSpec, p *field.Path) {
	type portWithPath struct {
		corev1.ContainerPort
		at *field.Path
	}
	ports, names := map[string][]portWithPath{}, map[string]*field.Path{}
	var sameNames Warnings
	eachContainer(s, p, func(c *corev1.Container, p *field.Path) {
		for i, port := range c.Ports {
			at := p.Child("ports").Index(i)
			if port.HostIP != "" && port.HostPort == 0 {
				w.Add(at, "hostIP set without hostPort: %+v", port)
			}
			key := fmt.Sprintf("%d/%s", port.ContainerPort, port.Protocol)
			for _, other := range ports[key] {
				switch {
				case port.HostIP == other.HostIP && port.HostPort == other.HostPort:
					w.Add(at, "duplicate port definition with %s", other.at)
				case port.HostPort == 0 || other.HostPort == 0:
					w.Add(at, "overlapping port definition with %s", other.at)
				case port.HostPort == other.HostPort && (port.HostIP == "") != (other.HostIP == ""):
					w.Add(at, "dangerously ambiguous port definition with %s", other.at)
				}
			}
			ports[key] = append(ports[key], portWithPath{port, at})
			if other := names[port.Name]; port.Name != "" && other != nil {
				sameNames.Add(at, "duplicate port name %q with %s, services and probes that select ports by name will use %s", port.Name, other, other)
			} else {
				names[port.Name] = at
			}
		}
	})
	*w = append(*w, sameNames...)
}
