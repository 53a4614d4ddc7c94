//go:build !quick

package proxy_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/cluster/announce"
	"wheelhouse/cluster/api/servicefacts"
	"wheelhouse/cluster/client"
	"wheelhouse/cluster/kubelet/network/nettest"
	"wheelhouse/cluster/wait"
)

// announce starts the node's announcer: machines on the LAN find addresses of the pool by ARP.
func (c *cluster) announce() {
	c.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	factory := client.Informers(c.client)
	a, err := announce.New(announce.Config{
		Informers: factory, NodeName: "minion-1", NodeIP: netip.MustParseAddr(nodeIP), Log: slog.New(slog.NewTextHandler(c.t.Output(), nil)),
	})
	if err != nil {
		c.t.Fatal(err)
	}
	_, err = c.client.CoreV1().Nodes().Create(c.t.Context(), &v1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: "minion-1"},
		Status: v1.NodeStatus{
			Addresses:  []v1.NodeAddress{{Type: v1.NodeInternalIP, Address: nodeIP}},
			Conditions: []v1.NodeCondition{{Type: v1.NodeReady, Status: v1.ConditionTrue}},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		c.t.Fatal(err)
	}
	factory.Start(ctx.Done())
	done := make(chan struct{})
	go func() { defer close(done); _ = a.Run(ctx) }()
	c.t.Cleanup(func() { cancel(); <-done })
}

func (c *cluster) update(svc *v1.Service) {
	c.t.Helper()
	if _, err := c.client.CoreV1().Services("default").Update(c.t.Context(), svc, metav1.UpdateOptions{}); err != nil {
		c.t.Fatal(err)
	}
}

// A machine on the link reaches an address of the pool, which is on no interface and has no node
// port; with policy Local the pod sees its address; ranges refuse it; a terminating pod serves
// it while there is no other; an address in mode Proxy is not the node's.
func TestLoadBalancerAddress(t *testing.T) {
	const vip = "192.168.77.200"
	c := start(t)
	c.announce()
	vipMode, proxyMode := v1.LoadBalancerIPModeVIP, v1.LoadBalancerIPModeProxy
	svc := service("web", "10.247.0.80", func(s *v1.Service) {
		s.Spec.Type = v1.ServiceTypeLoadBalancer
		s.Status.LoadBalancer.Ingress = []v1.LoadBalancerIngress{{IP: vip, IPMode: &vipMode}}
		s.Status.Conditions = []metav1.Condition{{Type: servicefacts.FromPool, Status: metav1.ConditionTrue}}
	})
	endpoints := slice("web", c.pods["a"].ip)
	c.put(svc, endpoints)
	served := func(want string) {
		t.Helper()
		wait.For(t, "an answer with "+want, func() error {
			got, err := nettest.Get(c.outside, vip+":80", 5*second)
			if err == nil && !strings.HasPrefix(got, want) {
				err = fmt.Errorf("%q", got)
			}
			return err
		})
	}
	unserved := func() {
		t.Helper()
		wait.For(t, "no answer", func() error {
			if got, err := nettest.Get(c.outside, vip+":80", second); err == nil {
				return fmt.Errorf("%q", got)
			}
			return nil
		})
	}
	served("a ")
	svc.Spec.ExternalTrafficPolicy = v1.ServiceExternalTrafficPolicyLocal
	c.update(svc)
	served("a 192.168.77.2")
	svc.Spec.LoadBalancerSourceRanges = []string{"192.168.77.3/32"}
	c.update(svc)
	unserved()
	svc.Spec.LoadBalancerSourceRanges = append(svc.Spec.LoadBalancerSourceRanges, "192.168.77.2/32")
	c.update(svc)
	served("a 192.168.77.2")

	no, yes := false, true
	endpoints = slice("web", c.pods["a"].ip, c.pods["b"].ip)
	endpoints.Endpoints[0].Conditions.Ready, endpoints.Endpoints[0].Conditions.Serving, endpoints.Endpoints[0].Conditions.Terminating = &no, &yes, &yes
	c.put(nil, endpoints)
	served("b 192.168.77.2")
	endpoints.Endpoints = endpoints.Endpoints[:1]
	c.put(nil, endpoints)
	served("a 192.168.77.2")

	svc.Status.LoadBalancer.Ingress = []v1.LoadBalancerIngress{{IP: vip, IPMode: &proxyMode}}
	c.update(svc)
	unserved()
}
