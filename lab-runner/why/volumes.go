package why

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"wheelhouse/lab-runner/near"
)

// claims is the hop of the PersistentVolumeClaims that a pod names: the scheduler waits for them.
func (c *chain) claims(p *corev1.Pod) {
	for _, v := range p.Spec.Volumes {
		if c.over() {
			return
		}
		name := ""
		switch {
		case v.PersistentVolumeClaim != nil:
			name = v.PersistentVolumeClaim.ClaimName
		case v.Ephemeral != nil:
			name = p.Name + "-" + v.Name
		default:
			continue
		}
		if text := c.f.Unread["persistentvolumeclaims"]; text != "" {
			c.unknown("claim", "the claims could not be read: %s", text)
			return
		}
		claim := find(c.f.Claims, name)
		switch {
		case claim == nil:
			c.missing("claim", "Claim", "PersistentVolumeClaim", name, names(c.f.Claims), p, fmt.Sprintf("volume %s uses the claim %s, which does not exist", v.Name, name))
		case claim.DeletionTimestamp != nil && p.Spec.NodeName == "":
			c.broken(cause{
				hop: "claim", reason: "ClaimDeleted", text: "claim " + name + " is being deleted, so no new pod may use it",
				do: "Wait until the claim is gone (" + c.kubectl("get pvc %s", name) + "), then create it again.",
			})
		case claim.Status.Phase == corev1.ClaimBound:
			c.fine("claim", "claim %s is bound to volume %s", name, claim.Spec.VolumeName)
		case c.waitsForPod(claim):
			// The scheduler chooses the node first.
		default:
			c.claim(claim)
		}
	}
}

// missing is a name that a pod's manifest has and the namespace does not: a ConfigMap, a Secret, a claim, an account.
func (c *chain) missing(hop, short, kind, name string, have []string, p *corev1.Pod, text string) {
	w := cause{hop: hop, reason: short + "Missing", text: text, missing: &Ref{kind, c.f.Namespace, name}}
	if other := near.Name(name, have); other != "" {
		w.text += "; there is a " + kind + " " + other
		w.do = fmt.Sprintf("Correct the name to %s: %s", other, c.edit(p))
	} else {
		w.do = fmt.Sprintf("Create the %s %s in namespace %s.", kind, name, c.f.Namespace)
		if first, all := c.f.elsewhere(kind, name); first != "" {
			w.text += "; there is one in " + all + ", but a pod uses those of its own namespace"
			w.do = fmt.Sprintf("Create the %s %s in namespace %s, too: apply its manifest with -n %s", kind, name, c.f.Namespace, c.f.Namespace)
		}
	}
	if e := c.f.podEventWith(p, name, "FailedMount", "FailedScheduling", "Failed"); e != nil {
		w.details = []string{quote(e)}
	}
	c.broken(w)
}

// source is a ConfigMap or a Secret that a pod reads.
type source struct {
	kind, name, use string
	key             string // "" for all of it
	optional        bool
}

func isTrue(b *bool) bool { return b != nil && *b }

// mounted are the sources of a pod's volumes.
func mounted(p *corev1.Pod) []source {
	var out []source
	add := func(kind, volume, name string, items []corev1.KeyToPath, optional *bool) {
		use := "volume " + volume
		out = append(out, source{kind: kind, name: name, use: use, optional: isTrue(optional)})
		for _, i := range items {
			out = append(out, source{kind: kind, name: name, use: use, key: i.Key, optional: isTrue(optional)})
		}
	}
	for _, v := range p.Spec.Volumes {
		switch {
		case v.ConfigMap != nil:
			add("ConfigMap", v.Name, v.ConfigMap.Name, v.ConfigMap.Items, v.ConfigMap.Optional)
		case v.Secret != nil:
			add("Secret", v.Name, v.Secret.SecretName, v.Secret.Items, v.Secret.Optional)
		case v.Projected != nil:
			for _, s := range v.Projected.Sources {
				if s.ConfigMap != nil {
					add("ConfigMap", v.Name, s.ConfigMap.Name, s.ConfigMap.Items, s.ConfigMap.Optional)
				}
				if s.Secret != nil {
					add("Secret", v.Name, s.Secret.Name, s.Secret.Items, s.Secret.Optional)
				}
			}
		}
	}
	return out
}

// variables are the sources of a container's environment.
func variables(ct *corev1.Container) []source {
	var out []source
	for _, e := range ct.EnvFrom {
		if e.ConfigMapRef != nil {
			out = append(out, source{kind: "ConfigMap", name: e.ConfigMapRef.Name, use: "envFrom of container " + ct.Name, optional: isTrue(e.ConfigMapRef.Optional)})
		}
		if e.SecretRef != nil {
			out = append(out, source{kind: "Secret", name: e.SecretRef.Name, use: "envFrom of container " + ct.Name, optional: isTrue(e.SecretRef.Optional)})
		}
	}
	for _, e := range ct.Env {
		if e.ValueFrom == nil {
			continue
		}
		use := "variable " + e.Name + " of container " + ct.Name
		if r := e.ValueFrom.ConfigMapKeyRef; r != nil {
			out = append(out, source{kind: "ConfigMap", name: r.Name, use: use, key: r.Key, optional: isTrue(r.Optional)})
		}
		if r := e.ValueFrom.SecretKeyRef; r != nil {
			out = append(out, source{kind: "Secret", name: r.Name, use: use, key: r.Key, optional: isTrue(r.Optional)})
		}
	}
	return out
}

// rootCA is the ConfigMap that a controller creates in each new namespace, a moment after it.
const rootCA = "kube-root-ca.crt"

// sources is the hop that fails on the first source that is missing, or that lacks the key.
func (c *chain) sources(hop string, p *corev1.Pod, list []source) {
	for _, s := range list {
		have, resource := c.f.ConfigMaps, "configmaps"
		if s.kind == "Secret" {
			have, resource = c.f.Secrets, "secrets"
		}
		if s.optional || c.over() || c.f.Unread[resource] != "" || s.name == rootCA && c.f.age(p.CreationTimestamp) < startTime {
			continue
		}
		if !slices.Contains(have, s.name) {
			c.missing(hop, s.kind, s.kind, s.name, have, p, fmt.Sprintf("%s reads the %s %s, which does not exist", s.use, s.kind, s.name))
			return
		}
		keys, known := c.f.Keys[s.kind+" "+s.name]
		if s.key == "" || known && slices.Contains(keys, s.key) || !known && !c.saysNoKey(p, s) {
			continue
		}
		w := cause{hop: hop, reason: s.kind + "KeyMissing", text: fmt.Sprintf("%s reads the key %s, which the %s %s does not have", s.use, s.key, s.kind, s.name)}
		w.do = fmt.Sprintf("Add the key: %s", c.kubectl("edit %s %s", strings.ToLower(s.kind), s.name))
		if other := near.Name(s.key, keys); other != "" {
			w.text += "; it has " + other
			w.do = "Correct the key to " + other + ": " + c.edit(p)
		} else if known {
			w.details = append(w.details, "its keys: "+short(strings.Join(keys, ", "), 200))
		}
		c.broken(w)
	}
}

// saysNoKey reports whether the kubelet says that a source lacks a key: the content of Secrets is not read.
func (c *chain) saysNoKey(p *corev1.Pod, s source) bool {
	said := func(text string) bool {
		return strings.Contains(text, s.key) && (strings.Contains(text, "couldn't find key") || strings.Contains(text, "non-existent"))
	}
	for _, st := range append(slices.Clone(p.Status.InitContainerStatuses), p.Status.ContainerStatuses...) {
		if st.State.Waiting != nil && said(st.State.Waiting.Message) {
			return true
		}
	}
	e := c.f.podEvent(p, "FailedMount")
	return e != nil && said(e.Message)
}

// started reports whether the kubelet has begun with the pod's containers: its volumes are mounted then.
func started(p *corev1.Pod) bool {
	for _, s := range append(slices.Clone(p.Status.InitContainerStatuses), p.Status.ContainerStatuses...) {
		if s.State.Running != nil || s.State.Terminated != nil || s.LastTerminationState.Terminated != nil {
			return true
		}
		if w := s.State.Waiting; w != nil && w.Reason != "ContainerCreating" && w.Reason != "PodInitializing" {
			return true
		}
	}
	return false
}

var hostPath = regexp.MustCompile(`hostPath type check failed: (\S+)`)

// volumes is the hop in which the kubelet mounts the pod's volumes.
func (c *chain) volumes(p *corev1.Pod) {
	if c.over() || p.Spec.NodeName == "" {
		return
	}
	if started(p) {
		if n := len(p.Spec.Volumes); n > 0 {
			c.fine("volumes", "%s mounted", isAre(n, "volume"))
		}
		return
	}
	c.sources("volumes", p, mounted(p))
	e := c.f.podEvent(p, "FailedMount", "FailedAttachVolume", "FailedMapVolume")
	if e == nil || c.over() {
		return
	}
	w := cause{hop: "volumes", reason: "MountFailed", text: "a volume cannot be mounted", do: "Mend what the event says, or remove the volume: " + c.edit(p), details: []string{quote(e)}}
	if m := hostPath.FindStringSubmatch(e.Message); m != nil {
		w.reason, w.text = "HostPathType", "node "+p.Spec.NodeName+" does not have what the hostPath volume asks for at "+m[1]
		w.do = "Use type DirectoryOrCreate, or make " + m[1] + " on node " + p.Spec.NodeName + ": " + c.edit(p)
	}
	if strings.Contains(e.Message, "Multi-Attach") {
		w.reason, w.text, w.do = "VolumeInUse", "the volume is attached to another node, and may be so to one only", "End the pod that uses it on the other node."
	}
	c.broken(w)
}

// sandbox is the hop in which the node gives the pod its network.
func (c *chain) sandbox(p *corev1.Pod) {
	if c.over() || started(p) {
		return
	}
	if e := c.f.podEvent(p, "FailedCreatePodSandBox", "FailedCreatePodContainer"); e != nil {
		c.broken(cause{hop: "sandbox", reason: "SandboxFailed", text: "the node cannot make the pod's sandbox, which has its network", do: "Look at the network plugin and the container runtime of node " + p.Spec.NodeName + ".", details: []string{quote(e)}})
	}
}
