package controller_test

import (
	"fmt"
	"testing"

	v1 "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"wheelhouse/cluster/wait"
)

func (c *testCluster) service(name string, selector map[string]string) {
	c.t.Helper()
	_, err := c.CoreV1().Services("default").Create(c.t.Context(), &v1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       v1.ServiceSpec{Selector: selector, Ports: []v1.ServicePort{{Port: 80, TargetPort: intstr.FromInt32(8080)}}},
	}, metav1.CreateOptions{})
	c.must(err)
}

// addresses counts the ready addresses of a service, by Endpoints and by slices.
func (c *testCluster) addresses(name string) (eps, slices, writes int) {
	c.t.Helper()
	if ep, err := c.CoreV1().Endpoints("default").Get(c.t.Context(), name, metav1.GetOptions{}); err == nil {
		for _, s := range ep.Subsets {
			eps += len(s.Addresses)
		}
	}
	list, err := c.DiscoveryV1().EndpointSlices("default").List(c.t.Context(), metav1.ListOptions{LabelSelector: discovery.LabelServiceName + "=" + name})
	c.must(err)
	for _, s := range list.Items {
		writes += int(s.Generation)
		for _, e := range s.Endpoints {
			if *e.Conditions.Ready {
				slices++
			}
		}
	}
	return eps, slices, writes
}

func (c *testCluster) expectAddresses(name string, want int) {
	c.t.Helper()
	wait.For(c.t, fmt.Sprintf("%d addresses", want), func() error {
		eps, slices, _ := c.addresses(name)
		if eps != want || slices != want {
			return fmt.Errorf("%d in endpoints, %d in slices", eps, slices)
		}
		return nil
	})
}

func TestServiceFollowsPods(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	c.node("n1")
	ctx := t.Context()
	// The service is there before its pods.
	c.service("web", map[string]string{"app": "web"})
	wait.For(c.t, "empty endpoints", func() error {
		_, err := c.CoreV1().Endpoints("default").Get(ctx, "web", metav1.GetOptions{})
		if err != nil {
			return err
		}
		return nil
	})
	c.rc("web", 205, "web")
	c.expectAddresses("web", 205)
	if _, _, writes := c.addresses("web"); writes > 100 {
		t.Errorf("205 pods made %d writes of slices", writes)
	}
	_, err := c.CoreV1().ReplicationControllers("default").Patch(ctx, "web", types.MergePatchType, []byte(`{"spec":{"replicas":1}}`), metav1.PatchOptions{})
	c.must(err)
	c.expectAddresses("web", 1)

	// A pod that is not ready leaves.
	p := c.pods("web")[0]
	for i := range p.Status.Conditions {
		if p.Status.Conditions[i].Type == v1.PodReady {
			p.Status.Conditions[i].Status = v1.ConditionFalse
		}
	}
	_, err = c.CoreV1().Pods("default").UpdateStatus(ctx, &p, metav1.UpdateOptions{})
	c.must(err)
	c.expectAddresses("web", 0)

	c.must(c.CoreV1().Services("default").Delete(ctx, "web", metav1.DeleteOptions{}))
	wait.For(c.t, "endpoints gone", func() error {
		eps, err := c.CoreV1().Endpoints("default").List(ctx, metav1.ListOptions{})
		c.must(err)
		slices, err := c.DiscoveryV1().EndpointSlices("default").List(ctx, metav1.ListOptions{})
		c.must(err)
		if len(eps.Items)+len(slices.Items) > 0 {
			return fmt.Errorf("%d endpoints, %d slices", len(eps.Items), len(slices.Items))
		}
		return nil
	})
	if len(c.pods("web")) != 1 {
		t.Error("the pods should stay when their service goes")
	}
}

func TestServiceWithoutSelector(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	ctx := t.Context()
	c.service("db", nil)
	ep, err := c.CoreV1().Endpoints("default").Create(ctx, &v1.Endpoints{
		ObjectMeta: metav1.ObjectMeta{Name: "db"},
		Subsets:    []v1.EndpointSubset{{Addresses: []v1.EndpointAddress{{IP: "192.0.2.1"}, {IP: "192.0.2.2"}}, Ports: []v1.EndpointPort{{Port: 5432}}}},
	}, metav1.CreateOptions{})
	c.must(err)
	c.expectAddresses("db", 2)
	ep.Subsets[0].Addresses = ep.Subsets[0].Addresses[:1]
	_, err = c.CoreV1().Endpoints("default").Update(ctx, ep, metav1.UpdateOptions{})
	c.must(err)
	c.expectAddresses("db", 1)
	c.must(c.CoreV1().Endpoints("default").Delete(ctx, "db", metav1.DeleteOptions{}))
	c.expectAddresses("db", 0)
}

// Endpoints that somebody writes under a name that no service has stay, however
// often they change; a service that comes for them takes them along when it goes.
func TestEndpointsWithoutService(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	ctx := t.Context()
	api := c.CoreV1().Endpoints("default")
	_, err := api.Create(ctx, &v1.Endpoints{ObjectMeta: metav1.ObjectMeta{Name: "mine"}}, metav1.CreateOptions{})
	c.must(err)
	c.service("other", map[string]string{"app": "other"})
	for i := range 3 {
		patch := fmt.Appendf(nil, `{"metadata":{"labels":{"change":"%d"}}}`, i)
		_, err := api.Patch(ctx, "mine", types.MergePatchType, patch, metav1.PatchOptions{})
		c.must(err)
		// What the controller answers to a later change comes after its answer to this one.
		_, err = c.CoreV1().Services("default").Patch(ctx, "other", types.MergePatchType, patch, metav1.PatchOptions{})
		c.must(err)
		wait.For(c.t, "the other service's endpoints follow", func() error {
			ep, err := api.Get(ctx, "other", metav1.GetOptions{})
			if err != nil || ep.Labels["change"] != fmt.Sprint(i) {
				return wait.Seen(false, err, ep.Labels)
			}
			return nil
		})
	}
	if _, err := api.Get(ctx, "mine", metav1.GetOptions{}); err != nil {
		t.Errorf("endpoints that belong to no service went: %v", err)
	}
	c.service("mine", nil)
	c.must(c.CoreV1().Services("default").Delete(ctx, "mine", metav1.DeleteOptions{}))
	wait.For(c.t, "endpoints gone with their service", func() error {
		if _, err := api.Get(ctx, "mine", metav1.GetOptions{}); err == nil {
			return wait.Seen(false, "still there")
		}
		return nil
	})
}

// A service that asks for it has its endpoints shared out among the zones as soon as
// the nodes tell enough about theirs.
func TestZonesOfEndpoints(t *testing.T) {
	t.Parallel()
	c := startCluster(t)
	ctx := t.Context()
	for _, name := range []string{"n1", "n2"} {
		c.node(name)
	}
	_, err := c.CoreV1().Services("default").Create(ctx, &v1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Annotations: map[string]string{v1.AnnotationTopologyMode: "Auto"}},
		Spec:       v1.ServiceSpec{Selector: map[string]string{"app": "web"}, Ports: []v1.ServicePort{{Port: 80}}},
	}, metav1.CreateOptions{})
	c.must(err)
	c.rc("web", 4, "web")
	c.expectAddresses("web", 4)
	for name, zone := range map[string]string{"n1": "east", "n2": "west"} {
		patch := fmt.Appendf(nil, `{"metadata":{"labels":{%q:%q}}}`, v1.LabelTopologyZone, zone)
		_, err := c.CoreV1().Nodes().Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{})
		c.must(err)
	}
	wait.For(c.t, "two endpoints for each zone", func() error {
		list, err := c.DiscoveryV1().EndpointSlices("default").List(ctx, metav1.ListOptions{LabelSelector: discovery.LabelServiceName + "=web"})
		c.must(err)
		count := map[string]int{}
		for _, s := range list.Items {
			for _, e := range s.Endpoints {
				if e.Hints != nil {
					count[e.Hints.ForZones[0].Name]++
				}
			}
		}
		if count["east"] != 2 || count["west"] != 2 {
			return wait.Seen(false, count)
		}
		return nil
	})
}
