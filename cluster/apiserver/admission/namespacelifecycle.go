package admission

import (
	"context"
	"fmt"
	"slices"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"wheelhouse/cluster/apiserver/authz"
)

var namespaces = schema.GroupResource{Resource: "namespaces"}

// protected are the namespaces that cannot be deleted.
var protected = []string{metav1.NamespaceDefault, metav1.NamespaceSystem, metav1.NamespacePublic}

// NamespaceLifecycle refuses content for a namespace that does not exist or is terminating,
// and the deletion of those that the cluster needs.
type NamespaceLifecycle struct{ objects authz.Objects }

// Admit implements Mutator.
func (p *NamespaceLifecycle) Admit(ctx context.Context, r *Request) error {
	if r.is("namespaces", "") {
		if r.Verb == Delete && slices.Contains(protected, r.Name) {
			return r.forbidden("this namespace may not be deleted")
		}
		return nil
	}
	if r.Namespace == "" || r.Verb == Delete || r.Kind.Group == authorizationv1.GroupName || r.Kind.Plural == "namespaces" {
		return nil
	}
	for _, fresh := range []bool{false, true} {
		o, err := p.objects.Get(ctx, namespaces, "", r.Namespace, fresh)
		if apierrors.IsNotFound(err) {
			if fresh {
				return apierrors.NewNotFound(namespaces, r.Namespace)
			}
			continue
		}
		if err != nil {
			return fmt.Errorf("reading namespace %s: %w", r.Namespace, err)
		}
		ns, ok := o.(*corev1.Namespace)
		if !ok || r.Verb != Create || ns.Status.Phase != corev1.NamespaceTerminating {
			return nil
		}
	}
	return r.terminating()
}

func (r *Request) terminating() error {
	err := r.forbidden("unable to create new content in namespace %s because it is being terminated", r.Namespace)
	err.ErrStatus.Details.Causes = append(err.ErrStatus.Details.Causes, metav1.StatusCause{
		Type:    corev1.NamespaceTerminatingCause,
		Message: fmt.Sprintf("namespace %s is being terminated", r.Namespace),
		Field:   "metadata.namespace",
	})
	return err
}
