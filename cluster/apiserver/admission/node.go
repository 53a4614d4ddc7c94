package admission

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var podsResource = schema.GroupResource{Resource: "pods"}

// nodeRestriction keeps a kubelet to its own node, the pods bound to it, and
// tokens for them; as upstream's plugin of that name.
func (c *Chain) nodeRestriction(ctx context.Context, r *Request) error {
	if r.User == nil || !r.User.InGroup("system:nodes") {
		return nil
	}
	node, ok := strings.CutPrefix(r.User.Name, "system:node:")
	if !ok || node == "" {
		return r.forbidden("could not determine node from user %q", r.User.Name)
	}
	switch {
	case r.is("", "pods", ""), r.is("", "pods", "status"), r.is("", "pods", "eviction"):
		return c.nodesPod(ctx, node, r)
	case r.is("", "nodes", ""), r.is("", "nodes", "status"):
		return nodesNode(node, r)
	case r.is("", "serviceaccounts", "token"):
		return c.nodesToken(ctx, node, r)
	case r.is(coordinationv1.GroupName, "leases", ""):
		return nodesLease(node, r)
	}
	return nil
}

func (c *Chain) nodesPod(ctx context.Context, node string, r *Request) error {
	switch {
	case r.Subresource == "eviction":
		name := r.Name
		if e, ok := r.Object.(*policyv1.Eviction); ok && name == "" {
			name = e.Name
		}
		return c.ownPod(ctx, node, r, name, "evict pods")
	case r.Subresource == "status":
		old, ok1 := r.Old.(*corev1.Pod)
		pod, ok2 := r.Object.(*corev1.Pod)
		if ok1 && ok2 && !maps.Equal(old.Labels, pod.Labels) {
			return r.forbidden("node %q cannot update labels through pod status", node)
		}
		return c.ownPod(ctx, node, r, r.Name, "update pod status for pods")
	case r.Verb == Delete:
		return c.ownPod(ctx, node, r, r.Name, "delete pods")
	case r.Verb == Create:
		pod, ok := r.Object.(*corev1.Pod)
		if !ok {
			return r.forbidden("unexpected type %T", r.Object)
		}
		return mirrorPod(node, r, pod)
	}
	return r.forbidden("unexpected operation %q, node %q can only create and delete mirror pods", r.Verb, node)
}

func mirrorPod(node string, r *Request, pod *corev1.Pod) error {
	if _, ok := pod.Annotations[corev1.MirrorPodAnnotationKey]; !ok {
		return r.forbidden("pod does not have %q annotation, node %q can only create mirror pods", corev1.MirrorPodAnnotationKey, node)
	}
	if pod.Spec.NodeName != node {
		return r.forbidden("node %q can only create pods with spec.nodeName set to itself", node)
	}
	if pod.Spec.ServiceAccountName != "" {
		return r.forbidden("node %q can not create pods that reference a service account", node)
	}
	for _, v := range pod.Spec.Volumes {
		if v.Secret != nil || v.ConfigMap != nil || v.PersistentVolumeClaim != nil || v.Projected != nil {
			return r.forbidden("node %q can not create pods that reference API objects", node)
		}
	}
	return nil
}

// ownPod refuses what a node wants with a pod that is not bound to it.
func (c *Chain) ownPod(ctx context.Context, node string, r *Request, name, what string) error {
	pod, ok := r.Old.(*corev1.Pod)
	if !ok {
		o, err := c.objects.Get(ctx, podsResource, r.Namespace, name, true)
		if err != nil {
			return err
		}
		if pod, ok = o.(*corev1.Pod); !ok {
			return r.forbidden("unexpected type %T", o)
		}
	}
	if pod.Spec.NodeName != node {
		return r.forbidden("node %q can only %s with spec.nodeName set to itself", node, what)
	}
	return nil
}

func nodesNode(node string, r *Request) error {
	name := r.Name
	obj, _ := r.Object.(*corev1.Node)
	if name == "" && obj != nil {
		name = obj.Name
	}
	if name != node {
		return r.forbidden("node %q is not allowed to modify node %q", node, name)
	}
	if obj == nil {
		return nil
	}
	old, _ := r.Old.(*corev1.Node)
	if r.Verb == Create {
		if bad := reservedLabels(nil, obj.Labels); len(bad) > 0 {
			return r.forbidden("node %q is not allowed to set the following labels: %s", node, strings.Join(bad, ", "))
		}
		if len(obj.OwnerReferences) > 0 {
			return r.forbidden("node %q is not allowed to set ownerReferences", node)
		}
		return nil
	}
	if old == nil {
		return nil
	}
	if bad := reservedLabels(old.Labels, obj.Labels); len(bad) > 0 {
		return r.forbidden("is not allowed to modify labels: %s", strings.Join(bad, ", "))
	}
	if !equality.Semantic.DeepEqual(old.Spec.Taints, obj.Spec.Taints) {
		return r.forbidden("node %q is not allowed to modify taints", node)
	}
	if !equality.Semantic.DeepEqual(old.OwnerReferences, obj.OwnerReferences) {
		return r.forbidden("node %q is not allowed to modify ownerReferences", node)
	}
	return nil
}

// kubeletLabels are those with the project's own domains that a kubelet may set;
// besides everything under kubelet.kubernetes.io/ and node.kubernetes.io/.
var kubeletLabels = []string{
	corev1.LabelHostname, corev1.LabelOSStable, corev1.LabelArchStable,
	corev1.LabelTopologyZone, corev1.LabelTopologyRegion,
	corev1.LabelFailureDomainBetaZone, corev1.LabelFailureDomainBetaRegion,
	corev1.LabelInstanceType, corev1.LabelInstanceTypeStable,
	"beta.kubernetes.io/os", "beta.kubernetes.io/arch",
}

// reservedLabels are the changes between two sets of labels that a kubelet may
// not make.
func reservedLabels(old, now map[string]string) []string {
	var bad []string
	check := func(key string) {
		domain, _, ok := strings.Cut(key, "/")
		if !ok || slices.Contains(kubeletLabels, key) || within(domain, "kubelet.kubernetes.io") || within(domain, "node.kubernetes.io") {
			return
		}
		if within(domain, "kubernetes.io") || within(domain, "k8s.io") {
			bad = append(bad, key)
		}
	}
	for k, v := range now {
		if was, ok := old[k]; !ok || was != v {
			check(k)
		}
	}
	for k := range old {
		if _, ok := now[k]; !ok {
			check(k)
		}
	}
	slices.Sort(bad)
	return bad
}

func within(domain, parent string) bool {
	return domain == parent || strings.HasSuffix(domain, "."+parent)
}

func (c *Chain) nodesToken(ctx context.Context, node string, r *Request) error {
	t, ok := r.Object.(*authenticationv1.TokenRequest)
	if !ok {
		return r.forbidden("unexpected type %T", r.Object)
	}
	b := t.Spec.BoundObjectRef
	if b == nil || b.APIVersion != "v1" || b.Kind != "Pod" || b.Name == "" {
		return r.forbidden("node requested token not bound to a pod")
	}
	if b.UID == "" {
		return r.forbidden("node requested token with a pod binding without a uid")
	}
	o, err := c.objects.Get(ctx, podsResource, r.Namespace, b.Name, true)
	if err != nil {
		return err
	}
	pod, ok := o.(*corev1.Pod)
	if !ok {
		return fmt.Errorf("pod %s/%s is a %T", r.Namespace, b.Name, o)
	}
	if pod.UID != b.UID {
		return r.forbidden("the UID in the bound object reference (%s) does not match the UID in record (%s). "+
			"The object might have been deleted and then recreated", b.UID, pod.UID)
	}
	if pod.Spec.NodeName != node {
		return r.forbidden("node requested token bound to a pod scheduled on a different node")
	}
	return nil
}

func nodesLease(node string, r *Request) error {
	if r.Namespace != corev1.NamespaceNodeLease {
		return r.forbidden("can only access leases in the %q system namespace", corev1.NamespaceNodeLease)
	}
	name := r.Name
	if l, ok := r.Object.(*coordinationv1.Lease); ok && r.Verb == Create {
		name = l.Name
	}
	if name != node {
		return r.forbidden("can only access node lease with the same name as the requesting node")
	}
	return nil
}
