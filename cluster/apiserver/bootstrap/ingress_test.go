package bootstrap_test

import (
	"log/slog"
	"net/netip"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"wheelhouse/cluster/apiserver/apitest"
	"wheelhouse/cluster/apiserver/bootstrap"
)

// Where Ingresses are served there are the default class and a Service; a user's other default stays.
func TestIngress(t *testing.T) {
	cs := kubernetes.NewForConfigOrDie(apitest.Start(t, apitest.WithAdmission(t)))
	ctx := t.Context()
	served := func(i bootstrap.Ingress) {
		t.Helper()
		b, err := bootstrap.New(bootstrap.Config{Client: cs, Ingress: i, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		pass(t, b)
	}
	served(bootstrap.Ingress{})
	if _, err := cs.NetworkingV1().IngressClasses().Get(ctx, "wheelhouse", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Fatalf("without a port: %v", err)
	}
	for _, master := range []string{"10.245.1.9", "10.245.1.2"} { // the server's address changes
		served(bootstrap.Ingress{Address: netip.MustParseAddr(master), HTTP: 80, HTTPS: 8443})
	}
	class, err := cs.NetworkingV1().IngressClasses().Get(ctx, "wheelhouse", metav1.GetOptions{})
	if err != nil || class.Spec.Controller != "wheelhouse.dev/ingress" || class.Annotations[networkingv1.AnnotationIsDefaultIngressClass] != "true" {
		t.Fatalf("the class is %+v, %v", class, err)
	}
	slice, err := cs.DiscoveryV1().EndpointSlices("kube-system").Get(ctx, "ingress", metav1.GetOptions{})
	if err != nil || len(slice.Endpoints) != 1 || slice.Endpoints[0].Addresses[0] != "10.245.1.2" || *slice.Ports[1].Port != 8443 {
		t.Errorf("the endpoints are %+v, %v", slice, err)
	}
	service, err := cs.CoreV1().Services("kube-system").Get(ctx, "ingress", metav1.GetOptions{})
	if err != nil || service.Spec.Ports[1].Port != 443 {
		t.Errorf("the service is %+v, %v", service, err)
	}
	class.Annotations[networkingv1.AnnotationIsDefaultIngressClass] = "false"
	if _, err := cs.NetworkingV1().IngressClasses().Update(ctx, class, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	served(bootstrap.Ingress{Address: netip.MustParseAddr("10.245.1.2"), HTTP: 80, HTTPS: 8443})
	if class, err = cs.NetworkingV1().IngressClasses().Get(ctx, "wheelhouse", metav1.GetOptions{}); err != nil || class.Annotations[networkingv1.AnnotationIsDefaultIngressClass] != "false" {
		t.Errorf("what a user has changed: %+v, %v", class, err)
	}
}
