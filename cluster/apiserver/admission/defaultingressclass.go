package admission

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	networkingv1 "k8s.io/api/networking/v1"

	"wheelhouse/cluster/apiserver/authz"
)

var ingressClasses = networkingv1.Resource("ingressclasses")

// annotationIngressClass names the class of an Ingress since before the field did.
const annotationIngressClass = "kubernetes.io/ingress.class"

// DefaultIngressClass gives an Ingress without a class the cluster's default one.
type DefaultIngressClass struct{ objects authz.Objects }

// Admit implements Mutator. Of several default classes the newest is taken, then the first by name.
func (p *DefaultIngressClass) Admit(ctx context.Context, r *Request) error {
	ingress, ok := r.Object.(*networkingv1.Ingress)
	if !ok || r.Verb != Create || r.Subresource != "" || ingress.Spec.IngressClassName != nil {
		return nil
	}
	if _, ok := ingress.Annotations[annotationIngressClass]; ok {
		return nil
	}
	all, err := list[*networkingv1.IngressClass](ctx, p.objects, ingressClasses, "", false)
	if err != nil {
		return fmt.Errorf("list ingress classes: %w", err)
	}
	all = slices.DeleteFunc(all, func(c *networkingv1.IngressClass) bool {
		return c.Annotations[networkingv1.AnnotationIsDefaultIngressClass] != "true"
	})
	if len(all) == 0 {
		return nil
	}
	first := slices.MinFunc(all, func(a, b *networkingv1.IngressClass) int {
		return cmp.Or(b.CreationTimestamp.Compare(a.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	name := first.Name
	ingress.Spec.IngressClassName = &name
	r.changed("DefaultIngressClass")
	return nil
}
