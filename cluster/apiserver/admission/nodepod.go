package admission

import (
	"context"
	"fmt"
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

// nodesPod is what a kubelet may do with pods: make and delete the mirrors of its static
// pods, delete, evict and report those that are bound to it.
func (c *Chain) nodesPod(ctx context.Context, node string, r *Request) error {
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
		own, err := c.ownPod(ctx, node, r, name)
		if err == nil && !own {
			err = r.forbidden("node %s can only evict pods with spec.nodeName set to itself", node)
		}
		return err
	default:
		return r.forbidden("unexpected pod subresource %q, only 'status' and 'eviction' are allowed", r.Subresource)
	}
	switch r.Verb {
	case Delete:
		own, err := c.ownPod(ctx, node, r, r.Name)
		if err == nil && !own {
			err = r.forbidden("node %q can only delete pods with spec.nodeName set to itself", node)
		}
		return err
	case Create:
		pod, ok := r.Object.(*corev1.Pod)
		if !ok {
			return r.forbidden("unexpected type %T", r.Object)
		}
		return c.mirrorPod(ctx, node, r, pod)
	}
	return r.forbidden("unexpected operation %q, node %q can only create and delete mirror pods", operation(r.Verb), node)
}

// operation is upstream's word for a verb.
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
func (c *Chain) ownPod(ctx context.Context, node string, r *Request, name string) (bool, error) {
	pod, ok := r.Old.(*corev1.Pod)
	if !ok {
		o, err := c.objects.Get(ctx, podsResource, r.Namespace, name, true)
		if err != nil {
			return false, err
		}
		if pod, ok = o.(*corev1.Pod); !ok {
			return false, fmt.Errorf("pod %s/%s is a %T", r.Namespace, name, o)
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

// mirrorPod takes of a node the mirror of a static pod alone: bound to the node, owned
// by it, and without a reference by which the node could read what is not its own.
func (c *Chain) mirrorPod(ctx context.Context, node string, r *Request, pod *corev1.Pod) error {
	if !core.IsMirrorPod(pod) {
		return r.forbidden("pod does not have %q annotation, node %q can only create mirror pods", corev1.MirrorPodAnnotationKey, node)
	}
	if pod.Spec.NodeName != node {
		return r.forbidden("node %q can only create pods with spec.nodeName set to itself", node)
	}
	if err := c.ownedByNode(ctx, node, r, pod); err != nil {
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

func (c *Chain) ownedByNode(ctx context.Context, node string, r *Request, pod *corev1.Pod) error {
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
	have, err := c.objects.Get(ctx, nodesResource, "", node, true)
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

// nodesToken gives a node tokens of the accounts of its pods, bound to those pods.
func (c *Chain) nodesToken(ctx context.Context, node string, r *Request) error {
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
	o, err := c.objects.Get(ctx, podsResource, r.Namespace, b.Name, true)
	if err != nil {
		return err
	}
	pod, ok := o.(*corev1.Pod)
	if !ok {
		return fmt.Errorf("pod %s/%s is a %T", r.Namespace, b.Name, o)
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
