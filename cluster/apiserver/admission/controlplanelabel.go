package admission

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"wheelhouse/cluster/apiserver/authz"
)

// roleControlPlane is the label of nodes on which the API server runs. NodeRestriction
// keeps kubelets from it.
const roleControlPlane = "node-role.kubernetes.io/control-plane"

var endpointsResource = schema.GroupResource{Resource: "endpoints"}

// ControlPlaneLabel labels nodes that have an address of the API server: one of the Service
// kubernetes.
type ControlPlaneLabel struct{ objects authz.Objects }

// Admit implements Mutator.
func (p *ControlPlaneLabel) Admit(ctx context.Context, r *Request) error {
	node, ok := r.Object.(*corev1.Node)
	if !ok || (r.Verb != Create && r.Verb != Update) {
		return nil
	}
	if _, ok := node.Labels[roleControlPlane]; ok || len(node.Status.Addresses) == 0 {
		return nil
	}
	servers, err := get[*corev1.Endpoints](ctx, p.objects, endpointsResource, metav1.NamespaceDefault, "kubernetes", false)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking for the addresses of the API server: %w", err)
	}
	if serves(servers, node) {
		metav1.SetMetaDataLabel(&node.ObjectMeta, roleControlPlane, "")
		r.changed("ControlPlaneLabel")
	}
	return nil
}

func serves(servers *corev1.Endpoints, node *corev1.Node) bool {
	for _, subset := range servers.Subsets {
		for _, a := range subset.Addresses {
			if slices.ContainsFunc(node.Status.Addresses, func(n corev1.NodeAddress) bool { return n.Address == a.IP }) {
				return true
			}
		}
	}
	return false
}
