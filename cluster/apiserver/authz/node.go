package authz

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/selection"

	"wheelhouse/cluster/api/core"
	"wheelhouse/cluster/api/podfacts"
)

var (
	pods    = schema.GroupResource{Resource: "pods"}
	volumes = schema.GroupResource{Resource: "persistentvolumes"}
)

// nodeRules is what every kubelet may do with all objects, beyond what authorizeNode decides
// object by object; as upstream's system:node role. NodeRestriction restricts the writes to
// the node's own.
var nodeRules = ruleSet(
	verbs("create").on("authentication.k8s.io", "tokenreviews"),
	verbs("create").on("authorization.k8s.io", "subjectaccessreviews", "localsubjectaccessreviews"),
	verbs("get", "list", "watch").on("", "services"),
	verbs("create", "get", "list", "watch").on("", "nodes"),
	verbs("update", "patch").on("", "nodes", "nodes/status"),
	verbs("get", "list", "watch", "create", "delete").on("", "pods"),
	verbs("update", "patch").on("", "pods/status"),
	verbs("create").on("", "pods/eviction"),
	verbs("create", "update", "patch").on("", "events"),
	verbs("create", "update", "patch").on("events.k8s.io", "events"),
	verbs("get").on("", "endpoints"),
	verbs("create", "get", "list", "watch").on("certificates.k8s.io", "certificatesigningrequests"),
	verbs("get", "list", "watch").on("storage.k8s.io", "csidrivers"),
	verbs("get", "list", "watch").on("node.k8s.io", "runtimeclasses"),
)

type verbList []string

func verbs(v ...string) verbList { return v }

func (v verbList) on(group string, resources ...string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{Verbs: v, APIGroups: []string{group}, Resources: resources}
}

func ruleSet(rules ...rbacv1.PolicyRule) []rule { return newRole(rules).rules }

// NodeRules returns the rules of the role system:node.
func NodeRules() []rbacv1.PolicyRule { return (&role{rules: nodeRules}).plain() }

// authorizeNode is upstream's node authorizer: a kubelet reads the secrets,
// configmaps, claims and volumes that pods bound to it reference, requests tokens of
// their accounts, and renews its own lease. The reason is set only for those.
func (a *Authorizer) authorizeNode(ctx context.Context, node string, at *Attributes) (bool, string, error) {
	if !at.ResourceRequest {
		return false, "", nil
	}
	switch at.Group + "/" + at.Resource {
	case "/secrets", "/configmaps":
		if at.Subresource != "" || !slices.Contains([]string{"get", "list", "watch"}, at.Verb) {
			return false, "can only read resources of this type", nil
		}
		return a.related(ctx, node, at)
	case "/persistentvolumeclaims", "/persistentvolumes":
		if at.Verb != "get" || at.Subresource != "" {
			return false, "can only get individual resources of this type", nil
		}
		return a.related(ctx, node, at)
	case "/serviceaccounts":
		if at.Verb != "create" || at.Subresource != "token" {
			return false, "can only create tokens for individual service accounts", nil
		}
		return a.related(ctx, node, at)
	case "/nodes":
		return ownNode(node, at)
	case "/pods":
		return a.nodesPods(ctx, node, at)
	case "coordination.k8s.io/leases":
		return ownLease(node, at)
	}
	return nodeAllows(at), "", nil
}

// ownNode allows a kubelet to read its own Node only. NodeRestriction restricts the writes.
func ownNode(node string, at *Attributes) (bool, string, error) {
	switch {
	case !slices.Contains([]string{"get", "list", "watch"}, at.Verb) || at.Subresource != "":
		return nodeAllows(at), "", nil
	case at.Name == node:
		return true, "", nil
	case at.Name == "":
		return false, fmt.Sprintf("node '%s' cannot read all nodes, only its own Node object", node), nil
	}
	return false, fmt.Sprintf("node '%s' cannot read '%s', only its own Node object", node, at.Name), nil
}

// nodesPods allows a kubelet to read the pods that are bound to it. NodeRestriction restricts
// the writes.
func (a *Authorizer) nodesPods(ctx context.Context, node string, at *Attributes) (bool, string, error) {
	switch {
	case at.Subresource != "":
		return nodeAllows(at), "", nil
	case at.Verb == "get":
		return a.related(ctx, node, at)
	case at.Verb != "list" && at.Verb != "watch":
		return nodeAllows(at), "", nil
	}
	for _, f := range at.FieldSelector {
		if f.Field == "spec.nodeName" && f.Operator == selection.Equals && f.Value == node {
			return true, "", nil
		}
	}
	if at.Name != "" {
		return a.related(ctx, node, at)
	}
	return false, "can only list/watch pods with spec.nodeName field selector", nil
}

// nodeAllows reports whether the rules that hold for all kubelets allow at.
func nodeAllows(at *Attributes) bool {
	return slices.ContainsFunc(nodeRules, func(r rule) bool { return r.allows(at) })
}

func ownLease(node string, at *Attributes) (bool, string, error) {
	switch {
	case !slices.Contains([]string{"get", "create", "update", "patch", "delete"}, at.Verb) || at.Subresource != "":
		return false, "can only get, create, update, patch, or delete a node lease", nil
	case at.Namespace != corev1.NamespaceNodeLease:
		return false, fmt.Sprintf("can only access leases in the %q system namespace", corev1.NamespaceNodeLease), nil
	case at.Verb != "create" && at.Name != node: // a create has its name in the body: NodeRestriction
		return false, "can only access node lease with the same name as the requesting node", nil
	}
	return true, "", nil
}

// related reports whether a pod on node is related to the object that at names. The cache
// decides nearly always; the store is read only before a refusal, for a kubelet that received
// its pod from another API server.
func (a *Authorizer) related(ctx context.Context, node string, at *Attributes) (bool, string, error) {
	switch {
	case at.Namespace == "" && at.Resource != "persistentvolumes":
		// A list of a name would have the objects of all namespaces in it.
		return false, "can only read namespaced object of this type", nil
	case at.Name == "":
		return false, "No Object name found", nil
	}
	for _, fresh := range []bool{false, true} {
		ok, err := a.relation(ctx, node, at, fresh)
		if err != nil || ok {
			return ok, "", err
		}
	}
	return false, fmt.Sprintf("no relationship found between node '%s' and this object", node), nil
}

func (a *Authorizer) relation(ctx context.Context, node string, at *Attributes, fresh bool) (bool, error) {
	namespace, name := at.Namespace, at.Name
	if at.Resource == "persistentvolumes" {
		claim, err := a.claimOf(ctx, name, fresh)
		if err != nil || claim == nil {
			return false, err
		}
		namespace, name = claim.Namespace, claim.Name
	}
	if at.Resource == "pods" {
		o, err := a.objects.Get(ctx, pods, namespace, name, fresh)
		p, ok := o.(*corev1.Pod)
		return ok && p.Spec.NodeName == node, ignoreNotFound(err)
	}
	list, _, err := a.objects.List(ctx, pods, namespace, fresh)
	if err != nil {
		return false, fmt.Errorf("listing the pods of %s: %w", namespace, err)
	}
	for _, o := range list {
		if p, ok := o.(*corev1.Pod); ok && p.Spec.NodeName == node && names(p, at.Resource, name) {
			return true, nil
		}
	}
	return false, nil
}

func ignoreNotFound(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

func (a *Authorizer) claimOf(ctx context.Context, volume string, fresh bool) (*corev1.ObjectReference, error) {
	o, err := a.objects.Get(ctx, volumes, "", volume, fresh)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading volume %s: %w", volume, err)
	}
	pv, ok := o.(*corev1.PersistentVolume)
	if !ok || pv.Spec.ClaimRef == nil {
		return nil, nil
	}
	return pv.Spec.ClaimRef, nil
}

// names reports whether p references the object name of resource, in its namespace. A mirror
// pod references nothing: its kubelet wrote it, and runs it without the API.
func names(p *corev1.Pod, resource, name string) bool {
	if core.IsMirrorPod(p) {
		return false
	}
	switch resource {
	case "serviceaccounts":
		return p.Spec.ServiceAccountName == name
	case "persistentvolumeclaims", "persistentvolumes":
		return slices.ContainsFunc(p.Spec.Volumes, func(v corev1.Volume) bool {
			return v.PersistentVolumeClaim != nil && v.PersistentVolumeClaim.ClaimName == name ||
				v.Ephemeral != nil && p.Name+"-"+v.Name == name
		})
	case "secrets":
		return namesSecret(p, name)
	case "configmaps":
		return namesConfigMap(p, name)
	}
	return false
}

func namesSecret(p *corev1.Pod, name string) bool {
	return !podfacts.VisitSecretNames(p, func(of string) bool { return of != name })
}

func namesConfigMap(p *corev1.Pod, name string) bool {
	return !podfacts.VisitConfigMapNames(p, func(of string) bool { return of != name })
}
