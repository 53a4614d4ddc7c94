package client

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
)

// TestSharedInformers: a kind has one informer, however it is asked for; its objects have no managedFields; and
// what nobody asks for is not watched.
func TestSharedInformers(t *testing.T) {
	set := fake.NewClientset(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: "default", Name: "p", ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "m"}},
	}})
	stop := make(chan struct{})
	f := Informers(set)
	pods := f.Core().V1().Pods()
	if f.ForResource(corev1.SchemeGroupVersion.WithResource("pods")) != pods.Informer() {
		t.Error("pods have two informers")
	}
	f.Start(stop)
	if synced := f.WaitForCacheSync(stop); len(synced) != 1 {
		t.Errorf("%d informers were started, want 1", len(synced))
	}
	p, err := pods.Lister().Pods("default").Get("p")
	if err != nil || p.ManagedFields != nil {
		t.Errorf("got %+v, %v", p, err)
	}
	f.Core().V1().Nodes().Informer()
	f.Start(stop)
	if synced := f.WaitForCacheSync(stop); len(synced) != 2 {
		t.Errorf("%d informers are started after another one was asked for, want 2", len(synced))
	}
	close(stop)
	f.Shutdown()
}

// TestInformersOf: a list asks for the objects that are selected.
func TestInformersOf(t *testing.T) {
	set := fake.NewClientset()
	f := InformersOf(set, func(o *metav1.ListOptions) { o.FieldSelector = "spec.nodeName=n" })
	f.Core().V1().Pods().Informer()
	stop := make(chan struct{})
	f.Start(stop)
	f.WaitForCacheSync(stop)
	close(stop)
	f.Shutdown()
	lists := 0
	for _, a := range set.Actions() {
		if l, ok := a.(clienttesting.ListAction); ok {
			lists++
			if got := l.GetListRestrictions().Fields.String(); got != "spec.nodeName=n" {
				t.Errorf("a list selects %q", got)
			}
		}
	}
	if lists == 0 {
		t.Error("nothing was listed")
	}
}

// TestForResource: each resource that components read as a whole has an informer of its own.
func TestForResource(t *testing.T) {
	f := Informers(fake.NewClientset())
	for r := range whole {
		if f.ForResource(r) == nil {
			t.Errorf("%s has no informer", r.String())
		}
	}
	if len(f.informers) != len(whole) {
		t.Errorf("%d resources have %d informers", len(whole), len(f.informers))
	}
	if f.ForResource(schema.GroupVersionResource{Version: "v1", Resource: "secrets"}) != nil {
		t.Error("Secrets are kept as a whole")
	}
}
