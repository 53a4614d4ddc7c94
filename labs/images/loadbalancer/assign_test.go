package main

import (
	"fmt"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func node(ip string, status corev1.ConditionStatus, labels map[string]string) *corev1.Node {
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: ip, Labels: labels},
		Status: corev1.NodeStatus{
			Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: status}},
			Addresses:  []corev1.NodeAddress{{Type: corev1.NodeHostName, Address: "x"}, {Type: corev1.NodeInternalIP, Address: ip}},
		},
	}
}

func service(name string, age time.Duration, kind corev1.ServiceType, ports ...int32) *corev1.Service {
	s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, CreationTimestamp: metav1.NewTime(time.Unix(1e9, 0).Add(-age))}, Spec: corev1.ServiceSpec{Type: kind}}
	for _, p := range ports {
		s.Spec.Ports = append(s.Spec.Ports, corev1.ServicePort{Protocol: corev1.ProtocolTCP, Port: p})
	}
	return s
}

func TestAssign(t *testing.T) {
	nodes := []*corev1.Node{
		node("192.168.1.103", corev1.ConditionTrue, nil), node("192.168.1.102", corev1.ConditionTrue, nil), node("192.168.1.104", corev1.ConditionUnknown, nil),
		node("192.168.1.105", corev1.ConditionTrue, map[string]string{corev1.LabelNodeExcludeBalancers: ""}),
	}
	other := service("of-another-class", 0, corev1.ServiceTypeLoadBalancer, 90)
	class := "metallb"
	other.Spec.LoadBalancerClass = &class
	pooled := service("of-the-pool", 0, corev1.ServiceTypeLoadBalancer, 93)
	pooled.Status.Conditions = []metav1.Condition{{Type: "wheelhouse.dev/AddressFromPool", Status: metav1.ConditionTrue}}
	was := service("was-a-balancer", 0, corev1.ServiceTypeClusterIP, 91)
	was.Status.LoadBalancer.Ingress = ready(nodes)
	settled := service("settled", 0, corev1.ServiceTypeLoadBalancer, 92)
	settled.Status.LoadBalancer.Ingress = ready(nodes)
	list := []*corev1.Service{
		service("second", time.Minute, corev1.ServiceTypeLoadBalancer, 80, 443), service("first", time.Hour, corev1.ServiceTypeLoadBalancer, 80),
		service("ssh", time.Hour, corev1.ServiceTypeLoadBalancer, 22), service("plain", 0, corev1.ServiceTypeNodePort, 81), other, pooled, was, settled,
	}
	var got []string
	for _, a := range Assign(list, nodes) {
		line := a.Name
		for _, in := range a.Ingress {
			line += " " + in.IP
		}
		got = append(got, line)
	}
	want := []string{"first 192.168.1.102 192.168.1.103", "was-a-balancer"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	// Without the older service the younger one gets the port.
	if got := Assign(list[:1], nodes); len(got) != 1 || got[0].Name != "second" {
		t.Errorf("%v", fmt.Sprint(got))
	}
}
