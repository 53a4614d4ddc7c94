package admission

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"wheelhouse/cluster/api/podfacts"
	"wheelhouse/cluster/apiserver/authz"
)

// ControlPlaneNodes restricts the nodes of the API server to users who have the right: others
// place no pod there by name, and pods that reach the node itself (its network, ports,
// processes or files) get a required node affinity with which neither the scheduler nor the
// DaemonSet controller chooses such a node. What counts is who writes a template: the
// controllers have the right.
type ControlPlaneNodes struct {
	rights
	objects authz.Objects
}

// Admit implements Mutator.
func (p *ControlPlaneNodes) Admit(ctx context.Context, r *Request) error {
	if b, ok := r.Object.(*corev1.Binding); ok && r.Verb == Create {
		return p.placeable(ctx, r, b.Target.Name)
	}
	if (r.Verb != Create && r.Verb != Update) || r.Subresource == "status" {
		return nil
	}
	spec := podSpecOf(r.Object)
	if spec == nil || (spec.NodeName == "" && !reachesNode(spec)) {
		return nil
	}
	if _, node := nodeOf(r.User); node {
		return nil // NodeRestriction: it creates pods on itself only
	}
	old := podSpecOf(r.Old)
	if _, ok := r.Object.(*corev1.Pod); ok && r.Verb == Update {
		return p.reachesFurther(ctx, r, spec, old)
	}
	if old != nil && equality.Semantic.DeepEqual(old, spec) {
		return nil
	}
	if spec.NodeName != "" && (old == nil || old.NodeName != spec.NodeName) {
		if err := p.placeable(ctx, r, spec.NodeName); err != nil {
			return err
		}
	}
	if !reachesNode(spec) || avoidsControlPlane(spec) {
		return nil
	}
	return p.avoidControlPlane(ctx, r, spec)
}

// placeable refuses to place a pod on a node of the API server.
func (p *ControlPlaneNodes) placeable(ctx context.Context, r *Request, name string) error {
	control, err := p.controlPlaneNode(ctx, name)
	if err != nil || !control {
		return err
	}
	return p.demand(ctx, r, controlPlaneRight, "node %q is part of the control plane: placing pods there needs the verb use on nodes/controlplane", name)
}

func (p *ControlPlaneNodes) controlPlaneNode(ctx context.Context, name string) (bool, error) {
	node, err := get[*corev1.Node](ctx, p.objects, nodesResource, "", name, false)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading node %s: %w", name, err)
	}
	_, control := node.Labels[roleControlPlane]
	return control, nil
}

// reachesFurther checks an update of a pod, to which only ephemeral containers are added: its
// affinity cannot change.
func (p *ControlPlaneNodes) reachesFurther(ctx context.Context, r *Request, spec, old *corev1.PodSpec) error {
	if old == nil || !reachesNode(spec) || reachesNode(old) || avoidsControlPlane(spec) {
		return nil
	}
	if spec.NodeName != "" {
		return p.placeable(ctx, r, spec.NodeName)
	}
	return p.demand(ctx, r, controlPlaneRight, "the pod may come to a node of the control plane: reaching the node needs the verb use on nodes/controlplane")
}

func (p *ControlPlaneNodes) avoidControlPlane(ctx context.Context, r *Request, spec *corev1.PodSpec) error {
	may, err := p.holds(ctx, r, controlPlaneRight)
	if may || err != nil {
		return err
	}
	if r.Kind.Plural == "controllerrevisions" {
		return r.forbidden("pods of the revision may come to a node of the control plane: that needs the verb use on nodes/controlplane")
	}
	if spec.Affinity == nil {
		spec.Affinity = &corev1.Affinity{}
	}
	if spec.Affinity.NodeAffinity == nil {
		spec.Affinity.NodeAffinity = &corev1.NodeAffinity{}
	}
	required := &spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution
	if *required == nil {
		*required = &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{notControlPlane}}}}
		return nil
	}
	for i := range (*required).NodeSelectorTerms {
		// A pod fits a node of any term; an empty term has no node, and stays empty.
		if t := &(*required).NodeSelectorTerms[i]; !empty(t) && !avoids(t) {
			t.MatchExpressions = append(t.MatchExpressions, notControlPlane)
		}
	}
	return nil
}

var notControlPlane = corev1.NodeSelectorRequirement{Key: roleControlPlane, Operator: corev1.NodeSelectorOpDoesNotExist}

func empty(t *corev1.NodeSelectorTerm) bool { return len(t.MatchExpressions)+len(t.MatchFields) == 0 }

func avoids(t *corev1.NodeSelectorTerm) bool {
	return slices.ContainsFunc(t.MatchExpressions, func(q corev1.NodeSelectorRequirement) bool {
		return q.Key == notControlPlane.Key && q.Operator == notControlPlane.Operator
	})
}

func avoidsControlPlane(spec *corev1.PodSpec) bool {
	if spec.Affinity == nil || spec.Affinity.NodeAffinity == nil || spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		return false
	}
	return !slices.ContainsFunc(spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms,
		func(t corev1.NodeSelectorTerm) bool { return !empty(&t) && !avoids(&t) })
}

// wideCapabilities are those with which a container leaves its own namespaces.
var wideCapabilities = []corev1.Capability{"ALL", "SYS_ADMIN", "SYS_MODULE", "SYS_RAWIO", "SYS_PTRACE", "SYS_BOOT", "BPF", "DAC_READ_SEARCH"}

// wide reports whether a capability is one of wideCapabilities, in any spelling that the
// runtime accepts.
func wide(c corev1.Capability) bool {
	name := strings.TrimPrefix(strings.ToUpper(string(c)), "CAP_")
	return slices.Contains(wideCapabilities, corev1.Capability(name))
}

// reachesNode reports whether a pod has access to its node: to the network or a port of it,
// its processes, its files, or the privileges to get them.
func reachesNode(spec *corev1.PodSpec) bool {
	if spec.HostNetwork || spec.HostPID || spec.HostIPC {
		return true
	}
	for i := range spec.Volumes {
		if spec.Volumes[i].HostPath != nil {
			return true
		}
	}
	return !podfacts.VisitContainers(spec, func(c *corev1.Container) bool {
		for i := range c.Ports {
			if c.Ports[i].HostPort != 0 {
				return false
			}
		}
		s := c.SecurityContext
		if s == nil {
			return true
		}
		if s.Privileged != nil && *s.Privileged {
			return false
		}
		return s.Capabilities == nil || !slices.ContainsFunc(s.Capabilities.Add, wide)
	})
}
