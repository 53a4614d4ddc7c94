package loadbalancer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	ktesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/record"

	"wheelhouse/cluster/api/servicefacts"
	"wheelhouse/cluster/client"
	"wheelhouse/cluster/controller/loop"
)

// life is one process's controller, whose cache shows what was there at its start.
type life struct {
	*Controller
	events *record.FakeRecorder
}

func begin(t *testing.T, set *fake.Clientset, pool string) life {
	t.Helper()
	p, err := ParsePool([]string{pool})
	if err != nil {
		t.Fatal(err)
	}
	shared, events := client.Informers(set), record.NewFakeRecorder(100)
	c, err := New(Config{Shared: loop.Shared{Controller: "service-lb", Client: set, Informers: shared, Recorder: events, Log: slog.New(slog.DiscardHandler)}, Pool: p})
	if err != nil {
		t.Fatal(err)
	}
	for _, svc := range stored(t, set) {
		if err := shared.Core().V1().Services().Informer().GetStore().Add(&svc); err != nil {
			t.Fatal(err)
		}
	}
	return life{c, events}
}

// stored returns what the server has, without a request.
func stored(t *testing.T, set *fake.Clientset) []v1.Service {
	t.Helper()
	list, err := set.Tracker().List(v1.SchemeGroupVersion.WithResource("services"), v1.SchemeGroupVersion.WithKind("Service"), "")
	if err != nil {
		t.Fatal(err)
	}
	return list.(*v1.ServiceList).Items
}

func (l life) said() (list []string) {
	for len(l.events.Events) > 0 {
		list = append(list, <-l.events.Events)
	}
	return list
}

func balancer(name string) *v1.Service {
	return &v1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID(name)},
		Spec:       v1.ServiceSpec{Type: v1.ServiceTypeLoadBalancer, IPFamilies: []v1.IPFamily{v1.IPv4Protocol}},
	}
}

// A process that ends at any of its requests, before or after the server has carried it out, neither
// doubles nor loses an address.
func TestCrashes(t *testing.T) {
	names := []string{"a", "b", "c"}
	for at := range 8 {
		for _, carriedOut := range []bool{false, true} {
			var services []runtime.Object
			for _, n := range names {
				services = append(services, balancer(n))
			}
			set := fake.NewClientset(services...)
			requests, crashed := 0, errors.New("the process ends")
			set.PrependReactor("*", "services", func(a ktesting.Action) (bool, runtime.Object, error) {
				requests++
				if requests-1 != at {
					return false, nil, nil
				}
				if update, ok := a.(ktesting.UpdateAction); ok && carriedOut {
					if err := set.Tracker().Update(a.GetResource(), update.GetObject(), "default"); err != nil {
						t.Fatal(err)
					}
				}
				return true, nil, crashed
			})
			for range 3 { // lives
				l := begin(t, set, "192.0.2.8-192.0.2.10")
				for _, n := range names {
					if err := l.reconcile(context.Background(), "default/"+n); errors.Is(err, crashed) {
						break
					} else if err != nil {
						t.Fatal(err)
					}
				}
			}
			var got []string
			for _, svc := range stored(t, set) {
				got = append(got, texts(servicefacts.PoolAddresses(&svc)))
			}
			if slices.Sort(got); fmt.Sprint(got) != "[192.0.2.10 192.0.2.8 192.0.2.9]" {
				t.Errorf("it ended at request %d, carried out: %v: %v", at, carriedOut, got)
			}
		}
	}
}

// A cache that is behind neither moves a service nor says anything of it.
func TestStaleCache(t *testing.T) {
	set := fake.NewClientset(balancer("a"))
	l := begin(t, set, "192.0.2.8-192.0.2.10")
	for range 2 {
		if err := l.reconcile(t.Context(), "default/a"); err != nil {
			t.Fatal(err)
		}
	}
	if got := strings.Join(l.said(), "; "); got != "Normal EnsuringLoadBalancer Ensuring load balancer; Normal EnsuredLoadBalancer Ensured load balancer" {
		t.Error(got)
	}
}
