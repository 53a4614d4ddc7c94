package admission

import (
	"context"
	"maps"
	"slices"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"wheelhouse/cluster/api/core"
)

var podsResource = schema.GroupResource{Resource: "pods"}

// nodesPod restricts a kubelet to creating and deleting the mirrors of its static pods, and
// to deleting, evicting and reporting the pods that are bound to it.
func (p *NodeRestriction) nodesPod(ctx context.Context, node string, r *Request) error {
	switch r.Subresource {
	case "":
	case "status":
		return podStatus(node, r)
	case "eviction":
		name := r.Name
		if e, ok := r.Object.(*policyv1.Eviction); ok && name == "" {
			name = e.Name
		}
		if name == "" {
			return r.forbidden("could not determine pod from request data")
		}
		own, err := p.ownPod(ctx, node, r, name)
		if err == nil && !own {
			err = r.forbidden("node %s can only evict pods with spec.nodeName set to itself", node)
		}
		return err
	default:
		return r.forbidden("unexpected pod subresource %q, only 'status' and 'eviction' are allowed", r.Subresource)
	}
	switch r.Verb {
	case Delete:
		own, err := p.ownPod(ctx, node, r, r.Name)
		if err == nil && !own {
			err = r.forbidden("node %q can only delete pods with spec.nodeName set to itself", node)
		}
		return err
	case Create:
		pod, ok := r.Object.(*corev1.Pod)
		if !ok {
			return r.forbidden("unexpected type %T", r.Object)
		}
		return p.mirrorPod(ctx, node, r, pod)
	}
	return r.forbidden("unexpected operation %q, node %q can only create and delete mirror pods", operation(r.Verb), node)
}

// operation returns upstream's name of a verb.
func operation(verb string) string {
	switch verb {
	case Create:
		return "CREATE"
	case Update:
		return "UPDATE"
	case Delete:
		return "DELETE"
	}
	return "CONNECT"
}

// ownPod reports whether a pod is bound to node.
func (p *NodeRestriction) ownPod(ctx context.Context, node string, r *Request, name string) (bool, error) {
	pod, ok := r.Old.(*corev1.Pod)
	if !ok {
		var err error
		if pod, err = get[*corev1.Pod](ctx, p.objects, podsResource, r.Namespace, name, true); err != nil {
			return false, err
		}
	}
	return pod.Spec.NodeName == node, nil
}

func podStatus(node string, r *Request) error {
	old, ok := r.Old.(*corev1.Pod)
	if !ok {
		return r.forbidden("unexpected type %T", r.Old)
	}
	if old.Spec.NodeName != node {
		return r.forbidden("node %q can only update pod status for pods with spec.nodeName set to itself", node)
	}
	pod, ok := r.Object.(*corev1.Pod)
	if !ok {
		return r.forbidden("unexpected type %T", r.Object)
	}
	if !maps.Equal(old.Labels, pod.Labels) {
		return r.forbidden("node %q cannot update labels through pod status", node)
	}
	if !slices.EqualFunc(old.Status.ResourceClaimStatuses, pod.Status.ResourceClaimStatuses, func(a, b corev1.PodResourceClaimStatus) bool {
		return equality.Semantic.DeepEqual(a, b)
	}) {
		return r.forbidden("node %q cannot update resource claim statues", node)
	}
	if !equality.Semantic.DeepEqual(old.Status.ExtendedResourceClaimStatus, pod.Status.ExtendedResourceClaimStatus) {
		return r.forbidden("node %q cannot update extended resource claim status", node)
	}
	return nil
}

// mirrorPod admits only the mirror of a static pod: bound to the node, owned by it, and
// without a reference by which the node could read what is not its own.
func (p *NodeRestriction) mirrorPod(ctx context.Context, node string, r *Request, pod *corev1.Pod) error {
	if !core.IsMirrorPod(pod) {
		return r.forbidden("pod does not have %q annotation, node %q can only create mirror pods", corev1.MirrorPodAnnotationKey, node)
	}
	if pod.Spec.NodeName != node {
		return r.forbidden("node %q can only create pods with spec.nodeName set to itself", node)
	}
	if err := p.ownedByNode(ctx, node, r, pod); err != nil {
		return err
	}
	what, err := core.ObjectReference(pod)
	if err != nil {
		return r.forbidden("unable to determine if pod references API objects: %w", err)
	}
	if what != "" {
		return r.forbidden("node %q can not create pods that reference %s", node, what)
	}
	return nil
}

func (p *NodeRestriction) ownedByNode(ctx context.Context, node string, r *Request, pod *corev1.Pod) error {
	if len(pod.OwnerReferences) > 1 {
		return r.forbidden("node %q can only create pods with a single owner reference set to itself", node)
	}
	if len(pod.OwnerReferences) == 0 {
		return r.forbidden("node %q can only create pods with an owner reference set to itself", node)
	}
	owner := &pod.OwnerReferences[0]
	if owner.APIVersion != "v1" || owner.Kind != "Node" || owner.Name != node {
		return r.forbidden("node %q can only create pods with an owner reference set to itself", node)
	}
	if owner.Controller == nil || !*owner.Controller {
		return r.forbidden("node %q can only create pods with a controller owner reference set to itself", node)
	}
	if owner.BlockOwnerDeletion != nil && *owner.BlockOwnerDeletion {
		return r.forbidden("node %q must not set blockOwnerDeletion on an owner reference", node)
	}
	have, err := p.objects.Get(ctx, nodesResource, "", node, true)
	if apierrors.IsNotFound(err) {
		return err
	}
	if err != nil {
		return r.forbidden("error looking up node %s to verify uid: %w", node, err)
	}
	if owner.UID != have.GetUID() {
		return r.forbidden("node %s UID mismatch: expected %s got %s", node, owner.UID, have.GetUID())
	}
	return nil
}

// nodesToken restricts a node to tokens of the accounts of its pods, bound to those pods.
func (p *NodeRestriction) nodesToken(ctx context.Context, node string, r *Request) error {
	if r.Verb != Create || r.Subresource != "token" {
		return nil
	}
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
	pod, err := get[*corev1.Pod](ctx, p.objects, podsResource, r.Namespace, b.Name, true)
	if err != nil {
		return err
	}
	if pod.UID != b.UID {
		return r.forbidden("the UID in the bound object reference (%s) does not match the UID in record. "+
			"The object might have been deleted and then recreated", b.UID)
	}
	if pod.Spec.NodeName != node {
		return r.forbidden("node requested token bound to a pod scheduled on a different node")
	}
	return nil
}
