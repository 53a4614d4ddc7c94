package admission_test

import (
	"testing"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"wheelhouse/cluster/apiserver/admission"
	"wheelhouse/cluster/apiserver/admission/serviceallocator"
)

// An Ingress without a class gets the newest default class, when it is created.
func TestDefaultIngressClass(t *testing.T) {
	o := cluster()
	c := newChain(t, o, serviceallocator.Config{})
	class := func(i *networkingv1.Ingress, verb string) string {
		t.Helper()
		want(t, c.Admit(bg, &admission.Request{Verb: verb, Kind: kind("networking.k8s.io", "ingresses"), Namespace: "a", Name: "i", Object: i, Old: i.DeepCopy()}), "")
		return ptr.Deref(i.Spec.IngressClassName, "")
	}
	plain := func() *networkingv1.Ingress { return &networkingv1.Ingress{ObjectMeta: meta("a", "i")} }
	if got := class(plain(), admission.Create); got != "" {
		t.Errorf("without a default class: %q", got)
	}
	now := time.Now()
	for name, age := range map[string]time.Duration{"old": time.Hour, "new-b": time.Minute, "new-a": time.Minute, "other": 0} {
		m := meta("", name)
		m.CreationTimestamp = metav1.NewTime(now.Add(-age))
		if name != "other" {
			m.Annotations = map[string]string{networkingv1.AnnotationIsDefaultIngressClass: "true"}
		}
		o.Put("networking.k8s.io", "ingressclasses", &networkingv1.IngressClass{ObjectMeta: m})
	}
	if got := class(plain(), admission.Create); got != "new-a" {
		t.Errorf("the newest default class: %q", got)
	}
	if got := class(plain(), admission.Update); got != "" {
		t.Errorf("an update: %q", got)
	}
	named := plain()
	named.Spec.IngressClassName = ptr.To("other")
	if got := class(named, admission.Create); got != "other" {
		t.Errorf("an Ingress with a class: %q", got)
	}
	annotated := plain()
	annotated.Annotations = map[string]string{"kubernetes.io/ingress.class": "mine"}
	if got := class(annotated, admission.Create); got != "" {
		t.Errorf("an Ingress with the annotation: %q", got)
	}
}
