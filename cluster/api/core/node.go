package core

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"sort"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/api/podrules"
	"wheelhouse/cluster/api/rules"
)

var proxyVerbs = []string{"create", "delete", "get", "patch", "update"}

// KubeletRuns reports whether a request for a path of the kubelet's server runs something in a container or
// connects to one. It needs the verb create, whatever the method.
func KubeletRuns(path string) bool {
	switch first, _, _ := strings.Cut(strings.TrimLeft(path, "/"), "/"); first {
	case "exec", "attach", "portForward", "run", "cri":
		return true
	}
	return false
}

// Nodes is the kind Node.
var Nodes = api.Of[corev1.Node, corev1.NodeList](&api.Kind{
	GroupVersionKind: api.GVK("", "v1", "Node"),
	Plural:           "nodes", Singular: "node", Short: []string{"no"},
	HasStatus: true,
	Connect: []api.Subresource{
		{Name: "proxy", Kind: api.GVK("", "v1", "NodeProxyOptions"), Verbs: proxyVerbs},
	},

	Default: rules.Mutate(func(n *corev1.Node) {
		// Allocatable defaults to the capacity.
		if n.Status.Allocatable == nil && n.Status.Capacity != nil {
			n.Status.Allocatable = n.Status.Capacity.DeepCopy()
		}
		if c := n.Spec.PodCIDR; c != "" && (len(n.Spec.PodCIDRs) == 0 || n.Spec.PodCIDRs[0] != c) { // the older field counts
			n.Spec.PodCIDRs = []string{c}
		}
	}),
	// The kubelet takes no configuration from the API: a source is dropped, as upstream.
	PrepareCreate: rules.Mutate(func(n *corev1.Node) { n.Spec.ConfigSource, n.Status.Config = nil, nil }),
	PrepareUpdate: rules.MutateUpdate(func(n, old *corev1.Node) {
		n.Status = old.Status
		if old.Spec.ConfigSource == nil {
			n.Spec.ConfigSource = nil
		}
	}),
	PrepareStatus: rules.MutateUpdate(func(n, old *corev1.Node) { n.Spec = old.Spec }),

	Validate: rules.Typed(validateNode),
	ValidateUpdate: rules.TypedUpdate(func(n, old *corev1.Node) field.ErrorList {
		return append(validateNode(n), validateNodeUpdate(n, old)...)
	}),
	ValidateStatus: rules.TypedUpdate(validateNodeUpdate),

	Warn: rules.Typed(nodeWarnings),

	Columns: []metav1.TableColumnDefinition{
		rules.NameColumn,
		rules.Column("Status", "string", 0, "The status of the node"),
		rules.Column("Roles", "string", 0, "The roles of the node"),
		rules.AgeColumn,
		rules.Column("Version", "string", 0, rules.Doc(corev1.NodeSystemInfo{}, "kubeletVersion")),
		rules.Column("Internal-IP", "string", 1, rules.Doc(corev1.NodeStatus{}, "addresses")),
		rules.Column("External-IP", "string", 1, rules.Doc(corev1.NodeStatus{}, "addresses")),
		rules.Column("OS-Image", "string", 1, rules.Doc(corev1.NodeSystemInfo{}, "osImage")),
		rules.Column("Kernel-Version", "string", 1, rules.Doc(corev1.NodeSystemInfo{}, "kernelVersion")),
		rules.Column("Container-Runtime", "string", 1, rules.Doc(corev1.NodeSystemInfo{}, "containerRuntimeVersion")),
	},
	Row: rules.Typed(func(n *corev1.Node) []any {
		info := &n.Status.NodeInfo
		return []any{
			n.Name, nodeStatus(n), rules.OrNone(strings.Join(nodeRoles(n), ",")), rules.Age(n.CreationTimestamp), info.KubeletVersion,
			nodeAddress(n, corev1.NodeInternalIP), nodeAddress(n, corev1.NodeExternalIP),
			cmp.Or(info.OSImage, "<unknown>"), cmp.Or(info.KernelVersion, "<unknown>"), cmp.Or(info.ContainerRuntimeVersion, "<unknown>"),
		}
	}),
	Fields: rules.Typed(func(n *corev1.Node) fields.Set {
		return fields.Set{"spec.unschedulable": fmt.Sprint(n.Spec.Unschedulable)}
	}),
})

func nodeStatus(n *corev1.Node) string {
	status := "Unknown"
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			status = "Not" + string(corev1.NodeReady)
			if c.Status == corev1.ConditionTrue {
				status = string(corev1.NodeReady)
			}
		}
	}
	if n.Spec.Unschedulable {
		status += ",SchedulingDisabled"
	}
	return status
}

func nodeRoles(n *corev1.Node) []string {
	seen := map[string]bool{}
	for k, v := range n.Labels {
		if role, ok := strings.CutPrefix(k, "node-role.kubernetes.io/"); ok && role != "" {
			seen[role] = true
		} else if k == "kubernetes.io/role" && v != "" {
			seen[v] = true
		}
	}
	roles := make([]string, 0, len(seen))
	for r := range seen {
		roles = append(roles, r)
	}
	sort.Strings(roles)
	return roles
}

func nodeAddress(n *corev1.Node, t corev1.NodeAddressType) string {
	for _, a := range n.Status.Addresses {
		if a.Type == t {
			return a.Address
		}
	}
	return "<none>"
}

func validateNode(n *corev1.Node) field.ErrorList {
	errs := rules.ValidateObjectMeta(&n.ObjectMeta, false, rules.DNSSubdomain)
	errs = append(errs, validateNodeTaints(n.Spec.Taints, rules.MetadataPath.Child("taints"))...)
	p := rules.SpecPath.Child("podCIDRs")
	for i, c := range n.Spec.PodCIDRs {
		errs = append(errs, validation.IsValidCIDRForLegacyField(p.Index(i), c, true, nil)...)
	}
	switch {
	case len(n.Spec.PodCIDRs) > 2:
		errs = append(errs, field.Invalid(p, n.Spec.PodCIDRs, "may specify no more than one CIDR for each IP family"))
	case len(n.Spec.PodCIDRs) == 2 && sameFamily(n.Spec.PodCIDRs[0], n.Spec.PodCIDRs[1]):
		errs = append(errs, field.Invalid(p, n.Spec.PodCIDRs, "may specify no more than one CIDR for each IP family"))
	}
	return append(errs, validateNodeResources(n)...)
}

func sameFamily(a, b string) bool {
	x, errX := netip.ParsePrefix(a)
	y, errY := netip.ParsePrefix(b)
	return errX == nil && errY == nil && x.Addr().Is4() == y.Addr().Is4()
}

func validateNodeResources(n *corev1.Node) field.ErrorList {
	errs := podrules.ValidateResourceList(n.Status.Capacity, rules.StatusPath.Child("capacity"))
	return append(errs, podrules.ValidateResourceList(n.Status.Allocatable, rules.StatusPath.Child("allocatable"))...)
}

// validateNodeUpdate validates an update. podCIDRs and providerID can be set once,
// externalID cannot be changed.
func validateNodeUpdate(n, old *corev1.Node) field.ErrorList {
	errs := rules.ValidateObjectMetaUpdate(&n.ObjectMeta, &old.ObjectMeta)
	errs = append(errs, validateNodeResources(n)...)
	errs = append(errs, validateNodeAddresses(n.Status.Addresses)...)
	if len(old.Spec.PodCIDRs) > 0 && !slices.Equal(n.Spec.PodCIDRs, old.Spec.PodCIDRs) {
		errs = append(errs, field.Forbidden(rules.SpecPath.Child("podCIDRs"), "node updates may not change podCIDR except from \"\" to valid"))
	}
	if old.Spec.ProviderID != "" && n.Spec.ProviderID != old.Spec.ProviderID {
		errs = append(errs, field.Forbidden(rules.SpecPath.Child("providerID"), "node updates may not change providerID except from \"\" to valid"))
	}
	errs = append(errs, validateNodeTaints(n.Spec.Taints, rules.MetadataPath.Child("taints"))...)
	if n.Spec.DoNotUseExternalID != old.Spec.DoNotUseExternalID {
		errs = append(errs, field.Forbidden(rules.SpecPath.Child("externalID"), "may not be updated"))
	}
	if !rules.Equal(n.Spec.ConfigSource, old.Spec.ConfigSource) && n.Spec.ConfigSource != nil {
		errs = append(errs, field.Forbidden(rules.SpecPath.Child("configSource"), "configSource may not be set"))
	}
	return errs
}

func validateNodeAddresses(addresses []corev1.NodeAddress) field.ErrorList {
	var errs field.ErrorList
	seen := make(map[corev1.NodeAddress]bool, len(addresses))
	for i, a := range addresses {
		errs = append(errs, rules.Unique(seen, a, rules.StatusPath.Child("addresses").Index(i), a)...)
	}
	return errs
}

// validateNodeTaints validates taints, at the path that upstream gives them: metadata.taints.
func validateNodeTaints(taints []corev1.Taint, p *field.Path) field.ErrorList {
	var errs field.ErrorList
	type portKey struct{ key, effect string }
	seen := map[portKey]bool{}
	for i, t := range taints {
		at := p.Index(i)
		errs = append(errs, metav1validation.ValidateLabelName(t.Key, at.Child("key"))...)
		errs = append(errs, rules.Invalid(at.Child("value"), t.Value, validation.IsValidLabelValue(t.Value))...)
		errs = append(errs, podrules.ValidateTaintEffect(t.Effect, false, at.Child("effect"))...)
		k := portKey{t.Key, string(t.Effect)}
		if seen[k] {
			d := field.Duplicate(at, t)
			d.Detail = "taints must be unique by key and effect pair"
			errs = append(errs, d)
			continue
		}
		seen[k] = true
	}
	return errs
}
