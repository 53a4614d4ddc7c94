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

// WarningsForTemplate returns the warnings about an object with a pod template.
func WarningsForTemplate(t *corev1.PodTemplateSpec) []string {
	var w Warnings
	w.Template(t, rules.SpecPath.Child("template"))
	return w
}

// Template adds the warnings about a template at p.
func (w *Warnings) Template(t *corev1.PodTemplateSpec, p *field.Path) {
	w.pods(t.Annotations, &t.Spec, p)
}

// Deprecated labels of nodes and annotations of pods, with the texts of their warnings.
var (
	deprecatedNodeLabels = map[string]string{
		"beta.kubernetes.io/arch":                  `deprecated since v1.14; use "kubernetes.io/arch" instead`,
		"beta.kubernetes.io/os":                    `deprecated since v1.14; use "kubernetes.io/os" instead`,
		"failure-domain.beta.kubernetes.io/region": `deprecated since v1.17; use "topology.kubernetes.io/region" instead`,
		"failure-domain.beta.kubernetes.io/zone":   `deprecated since v1.17; use "topology.kubernetes.io/zone" instead`,
		"beta.kubernetes.io/instance-type":         `deprecated since v1.17; use "node.kubernetes.io/instance-type" instead`,
	}
	deprecatedAnnotations = map[string]string{
		"scheduler.alpha.kubernetes.io/critical-pod":  `non-functional in v1.16+; use the "priorityClassName" field instead`,
		"security.alpha.kubernetes.io/sysctls":        `non-functional in v1.11+; use the "sysctls" field instead`,
		"security.alpha.kubernetes.io/unsafe-sysctls": `non-functional in v1.11+; use the "sysctls" field instead`,
		"seccomp.security.alpha.kubernetes.io/pod":    `non-functional in v1.27+; use the "seccompProfile" field instead`,
	}
)

// pods adds the warnings about a pod, or about the template at p. For a pod p is nil.
func (w *Warnings) pods(annotations map[string]string, s *corev1.PodSpec, p *field.Path) {
	at := p.Child("spec")
	for _, label := range slices.Sorted(maps.Keys(s.NodeSelector)) {
		if message := deprecatedNodeLabels[label]; message != "" {
			w.Add(at.Child("nodeSelector").Key(label), "%s", message)
		}
	}
	for i, c := range s.TopologySpreadConstraints {
		if message := deprecatedNodeLabels[c.TopologyKey]; message != "" {
			w.Add(at.Child("topologySpreadConstraints").Index(i).Child("topologyKey"), "%s is %s", c.TopologyKey, message)
		}
		if c.LabelSelector == nil {
			w.Add(at.Child("topologySpreadConstraints").Index(i).Child("labelSelector"), "a null labelSelector results in matching no pod")
		}
	}
	for _, a := range slices.Sorted(maps.Keys(deprecatedAnnotations)) {
		if _, has := annotations[a]; has {
			w.Add(p.Child("metadata", "annotations").Key(a), "%s", deprecatedAnnotations[a])
		}
	}
	w.volumes(s.Volumes, at.Child("volumes"))
	w.duplicates(s, at)
	ports := map[string][]portWithPath{}
	for i := range s.InitContainers {
		w.container(&s.InitContainers[i], at.Child("initContainers").Index(i), ports)
	}
	for i := range s.Containers {
		w.container(&s.Containers[i], at.Child("containers").Index(i), ports)
	}
	if g := s.TerminationGracePeriodSeconds; g != nil && *g < 0 {
		w.Add(at.Child("terminationGracePeriodSeconds"), "must be >= 0; negative values are invalid and will be treated as 1")
	}
}

func (w *Warnings) volumes(volumes []corev1.Volume, p *field.Path) {
	const gone22, gone31 = "deprecated in v1.22, non-functional in v1.25+", "deprecated in v1.28, non-functional in v1.31+"
	for i, v := range volumes {
		for _, old := range []struct {
			name  string
			there bool
			text  string
		}{
			{"photonPersistentDisk", v.PhotonPersistentDisk != nil, "deprecated in v1.11, non-functional in v1.16+"},
			{"gitRepo", v.GitRepo != nil, "deprecated in v1.11"},
			{"scaleIO", v.ScaleIO != nil, "deprecated in v1.16, non-functional in v1.22+"},
			{"flocker", v.Flocker != nil, gone22},
			{"storageOS", v.StorageOS != nil, gone22},
			{"quobyte", v.Quobyte != nil, gone22},
			{"glusterfs", v.Glusterfs != nil, "deprecated in v1.25, non-functional in v1.26+"},
			{"cephfs", v.CephFS != nil, gone31},
			{"rbd", v.RBD != nil, gone31},
		} {
			if old.there {
				w.Add(p.Index(i).Child(old.name), "%s", old.text)
			}
		}
	}
}

// duplicates adds warnings about keys that are set twice, of which a merge keeps one.
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
}

// portWithPath is a port and the path of its field.
type portWithPath struct {
	corev1.ContainerPort
	at *field.Path
}

func (w *Warnings) container(c *corev1.Container, p *field.Path, ports map[string][]portWithPath) {
	for _, list := range []struct {
		name string
		of   corev1.ResourceList
	}{{"limits", c.Resources.Limits}, {"requests", c.Resources.Requests}} {
		for _, n := range []corev1.ResourceName{corev1.ResourceMemory, corev1.ResourceEphemeralStorage} {
			if q, has := list.of[n]; has && q.MilliValue()%1000 != 0 {
				w.Add(p.Child("resources", list.name).Key(string(n)), "fractional byte value %q is invalid, must be an integer", q.String())
			}
		}
	}
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
	for i, port := range c.Ports {
		at := p.Child("ports").Index(i)
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
	}
}
