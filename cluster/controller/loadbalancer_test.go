package controller_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"wheelhouse/cluster/api/servicefacts"
	"wheelhouse/cluster/controller"
	"wheelhouse/cluster/controller/loadbalancer"
	"wheelhouse/cluster/wait"
)

func withPool(t testing.TB, list ...string) func(*controller.Config) {
	t.Helper()
	pool, err := loadbalancer.ParsePool(list)
	if err != nil {
		t.Fatal(err)
	}
	return func(c *controller.Config) { c.LoadBalancers = pool }
}

func (c *testCluster) balancer(name string, edit ...func(*v1.Service)) *v1.Service {
	c.t.Helper()
	svc := &v1.Service{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1.ServiceSpec{Type: v1.ServiceTypeLoadBalancer, Ports: []v1.ServicePort{{Port: 80}}}}
	for _, e := range edit {
		e(svc)
	}
	svc, err := c.CoreV1().Services("default").Create(c.t.Context(), svc, metav1.CreateOptions{})
	c.must(err)
	return svc
}

// expectBalancer waits until a service has the addresses, "" for none.
func (c *testCluster) expectBalancer(name, want string) *v1.Service {
	c.t.Helper()
	var svc *v1.Service
	wait.For(c.t, fmt.Sprintf("service %s with address %q", name, want), func() (err error) {
		if svc, err = c.CoreV1().Services("default").Get(c.t.Context(), name, metav1.GetOptions{}); err != nil {
			return err
		}
		var has []string
		for _, in := range svc.Status.LoadBalancer.Ingress {
			has = append(has, in.IP)
		}
		if got := strings.Join(has, ","); got != want {
			return fmt.Errorf("it has %q", got)
		}
		return nil
	})
	return svc
}

func (c *testCluster) expectEvents(object string, want ...string) {
	c.t.Helper()
	wait.For(c.t, "events of "+object, func() error {
		list, err := c.CoreV1().Events("default").List(c.t.Context(), metav1.ListOptions{FieldSelector: "involvedObject.name=" + object})
		if err != nil {
			return err
		}
		var got []string
		for _, e := range list.Items {
			got = append(got, fmt.Sprintf("%s %s: %s (%s)", e.Type, e.Reason, e.Message, e.Source.Component))
		}
		for _, w := range want {
			if !slices.Contains(got, w) {
				return fmt.Errorf("no %q among %q", w, got)
			}
		}
		return nil
	})
}

func TestLoadBalancerPool(t *testing.T) {
	t.Parallel()
	c := startCluster(t, withPool(t, "192.0.2.8-192.0.2.10"))
	// A node has the pool's first address.
	node := c.node("n1")
	node.Status.Addresses = []v1.NodeAddress{{Type: v1.NodeInternalIP, Address: "192.0.2.8"}}
	_, err := c.CoreV1().Nodes().UpdateStatus(t.Context(), node, metav1.UpdateOptions{})
	c.must(err)
	wait.For(t, "the node's address", func() error {
		n, err := c.controls.Informers.Core().V1().Nodes().Lister().Get("n1")
		if err != nil || len(n.Status.Addresses) == 0 {
			return errors.New("not in the cache")
		}
		return nil
	})
	c.balancer("a")
	a := c.expectBalancer("a", "192.0.2.9")
	if !slices.Contains(a.Finalizers, "service.kubernetes.io/load-balancer-cleanup") || *a.Status.LoadBalancer.Ingress[0].IPMode != v1.LoadBalancerIPModeVIP {
		t.Errorf("finalizers %q, status %+v", a.Finalizers, a.Status)
	}
	c.expectEvents("a", "Normal EnsuringLoadBalancer: Ensuring load balancer (service-controller)", "Normal EnsuredLoadBalancer: Ensured load balancer (service-controller)")
	c.balancer("b")
	c.expectBalancer("b", "192.0.2.10")
	// The pool is exhausted, and says so once. An address is free when a service changes its type.
	c.balancer("c")
	c.expectEvents("c", "Warning SyncLoadBalancerFailed: Error syncing load balancer: failed to ensure load balancer: no address of the pool 192.0.2.8-192.0.2.10 is free: "+
		"delete a service of type LoadBalancer, or give the server more with --load-balancer-pool (service-controller)")
	_, err = c.CoreV1().Services("default").Patch(t.Context(), "a", types.MergePatchType, []byte(`{"spec":{"type":"ClusterIP"}}`), metav1.PatchOptions{})
	c.must(err)
	c.expectBalancer("c", "192.0.2.9")
	a = c.expectBalancer("a", "")
	wait.For(t, "no trace of the load balancer", func() (err error) {
		if a, err = c.CoreV1().Services("default").Get(t.Context(), "a", metav1.GetOptions{}); err == nil && len(a.Finalizers)+len(a.Status.Conditions) > 0 {
			err = fmt.Errorf("%q %+v", a.Finalizers, a.Status)
		}
		return err
	})
	// A deleted service goes, and its address with it.
	c.must(c.CoreV1().Services("default").Delete(t.Context(), "b", metav1.DeleteOptions{}))
	c.balancer("d")
	c.expectBalancer("d", "192.0.2.10")
}

func TestLoadBalancerRequests(t *testing.T) {
	t.Parallel()
	c := startCluster(t, withPool(t, "192.0.2.8/29", "2001:db8::8-2001:db8::9"))
	c.balancer("spec", func(s *v1.Service) { s.Spec.LoadBalancerIP = "192.0.2.12" })
	c.expectBalancer("spec", "192.0.2.12")
	c.balancer("annotation", func(s *v1.Service) {
		s.Spec.LoadBalancerIP = "192.0.2.13"
		s.Annotations = map[string]string{servicefacts.AnnotationIPs: "192.0.2.14"}
	})
	c.expectBalancer("annotation", "192.0.2.14")
	class, other := servicefacts.Class, "example.com/metal"
	c.balancer("foreign", func(s *v1.Service) { s.Spec.LoadBalancerClass = &other })
	c.balancer("class", func(s *v1.Service) { s.Spec.LoadBalancerClass = &class })
	c.expectBalancer("class", "192.0.2.8")
	c.expectBalancer("foreign", "")
	// What cannot be is refused, with the reason, until the service asks for something else.
	for name, why := range map[string]string{
		"192.0.2.14":  "address 192.0.2.14 is used by service default/annotation: ask for another one, or for none",
		"192.0.2.99":  "address 192.0.2.99 is not in the pool 192.0.2.8-192.0.2.15, 2001:db8::8-2001:db8::9: ask for one that is, or for none",
		"2001:db8::9": "address 2001:db8::9 is not of a family of the service, which are [IPv4]",
	} {
		service := "r" + strings.NewReplacer(".", "-", ":", "-").Replace(name)
		c.balancer(service, func(s *v1.Service) { s.Annotations = map[string]string{servicefacts.AnnotationIPs: name} })
		c.expectEvents(service, "Warning SyncLoadBalancerFailed: Error syncing load balancer: failed to ensure load balancer: "+why+" (service-controller)")
		c.expectBalancer(service, "")
	}
	// A service that asks for another address moves, and its old one is free.
	_, err := c.CoreV1().Services("default").Patch(t.Context(), "annotation", types.MergePatchType,
		[]byte(`{"metadata":{"annotations":{"`+servicefacts.AnnotationIPs+`":"192.0.2.11"}}}`), metav1.PatchOptions{})
	c.must(err)
	c.expectBalancer("annotation", "192.0.2.11")
	c.expectBalancer("r192-0-2-14", "192.0.2.14")
	c.expectEvents("annotation", "Normal LoadBalancerIP: 192.0.2.14 -> 192.0.2.11 (service-controller)")
}

// Of two services that two processes gave one address the older one keeps it.
func TestLoadBalancerDouble(t *testing.T) {
	t.Parallel()
	c := startCluster(t, withPool(t, "192.0.2.8-192.0.2.10"))
	c.balancer("a")
	c.expectBalancer("a", "192.0.2.8")
	b := c.balancer("b")
	b = c.expectBalancer(b.Name, "192.0.2.9")
	b.Status.LoadBalancer.Ingress[0].IP = "192.0.2.8"
	_, err := c.CoreV1().Services("default").UpdateStatus(t.Context(), b, metav1.UpdateOptions{})
	c.must(err)
	c.expectBalancer("b", "192.0.2.9")
	c.expectBalancer("a", "192.0.2.8")
}

// Without a pool no service is touched, except those that have an address of a former one.
func TestLoadBalancerWithoutPool(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	mode := v1.LoadBalancerIPModeVIP
	give := func(name string, conditions ...metav1.Condition) {
		svc := c.balancer(name)
		svc.Finalizers = []string{servicefacts.CleanupFinalizer}
		svc.Status = v1.ServiceStatus{Conditions: conditions, LoadBalancer: v1.LoadBalancerStatus{Ingress: []v1.LoadBalancerIngress{{IP: "192.0.2.8", IPMode: &mode}}}}
		_, err := c.CoreV1().Services("default").UpdateStatus(context.Background(), svc, metav1.UpdateOptions{})
		c.must(err)
	}
	give("clouds")
	give("former", metav1.Condition{Type: servicefacts.FromPool, Status: metav1.ConditionTrue, Reason: "Allocated", LastTransitionTime: metav1.Now()})
	c.expectBalancer("former", "")
	c.expectBalancer("clouds", "192.0.2.8")
}
