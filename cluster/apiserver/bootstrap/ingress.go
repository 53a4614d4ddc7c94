package bootstrap

import (
	"context"
	"fmt"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/cluster/client"
)

// ingressClasses creates the default class, where this server serves it. A user who needs another default changes its
// annotation, which stays.
func (b *Bootstrap) ingressClasses(ctx context.Context, w *writer) error {
	if !b.Ingress.served() {
		return nil
	}
	c := b.Client.NetworkingV1().IngressClasses()
	have, err := c.List(ctx, list)
	if err != nil {
		return fmt.Errorf("listing ingress classes: %w", err)
	}
	wanted := func() []*networkingv1.IngressClass {
		return []*networkingv1.IngressClass{{
			ObjectMeta: metav1.ObjectMeta{Name: client.IngressClass, Annotations: map[string]string{networkingv1.AnnotationIsDefaultIngressClass: "true"}},
			Spec:       networkingv1.IngressClassSpec{Controller: client.IngressController},
		}}
	}
	return ensure(ctx, w, "ingress class", have.Items, wanted, func(string) writes[networkingv1.IngressClass] { return c }, nil)
}

// ingress returns the Service whose endpoints are the masters that serve Ingresses. Pods reach them by it, the status of
// Ingresses has their addresses, and the proxy keeps their ports from other Services.
func (b *Bootstrap) ingress(ctx context.Context) error {
	if !b.Ingress.served() {
		return nil
	}
	addresses := []netip.Addr{b.Ingress.Address}
	if b.Ingress.Address == b.Address { // all masters that live serve them
		live, err := b.servers(ctx)
		if err != nil {
			return err
		}
		addresses = live.API
	}
	f := &fixed{
		namespace: metav1.NamespaceSystem, name: client.IngressService,
		labels:    map[string]string{"k8s-app": client.IngressService},
		addresses: addresses,
	}
	for _, p := range []struct {
		name         string
		port, target uint16
	}{{"http", 80, b.Ingress.HTTP}, {"https", 443, b.Ingress.HTTPS}} {
		if p.target != 0 {
			f.ports = append(f.ports, corev1.ServicePort{Name: p.name, Protocol: corev1.ProtocolTCP, Port: int32(p.port)})
			f.targets = append(f.targets, corev1.EndpointPort{Name: p.name, Protocol: corev1.ProtocolTCP, Port: int32(p.target)})
		}
	}
	return b.fixed(ctx, f)
}
