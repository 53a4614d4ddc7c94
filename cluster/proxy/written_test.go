package proxy

import (
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"wheelhouse/cluster/journal"
)

// The journal has each change of a service's rules once, when it is written, and no other service's.
func TestRecordWritten(t *testing.T) {
	port, name := int32(8080), "http"
	service := func(name, ip string) *v1.Service {
		return &v1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, UID: types.UID(name)}, Spec: v1.ServiceSpec{
			Type: v1.ServiceTypeClusterIP, ClusterIP: ip, ClusterIPs: []string{ip}, Ports: []v1.ServicePort{{Name: "http", Protocol: v1.ProtocolTCP, Port: 80}},
		}}
	}
	slice := func(ips ...string) []*discovery.EndpointSlice {
		s := &discovery.EndpointSlice{AddressType: discovery.AddressTypeIPv4, Ports: []discovery.EndpointPort{{Name: &name, Port: &port}}}
		for _, ip := range ips {
			s.Endpoints = append(s.Endpoints, discovery.Endpoint{Addresses: []string{ip}})
		}
		return []*discovery.EndpointSlice{s}
	}
	web, other := types.NamespacedName{Namespace: "default", Name: "web"}, types.NamespacedName{Namespace: "default", Name: "other"}
	p := &Proxy{cfg: Config{NodeName: "n1", Journal: journal.New()}}
	rules := &compiler{node: Node{Name: "n1"}}
	s := Snapshot{Services: []*v1.Service{service("web", "10.247.0.9"), service("other", "10.247.0.8")}, Slices: map[types.NamespacedName][]*discovery.EndpointSlice{other: slice("10.246.1.9")}}
	step := func(write bool, endpoints ...string) {
		s.Slices[web] = slice(endpoints...)
		rules.rules(s)
		if write {
			p.recordWritten(time.Now(), rules)
		}
	}
	step(true)
	step(true, "10.246.1.2", "10.246.1.3")
	step(true, "10.246.1.3", "10.246.1.2") // the same rules
	step(false, "10.246.1.2")              // was not written
	step(true, "10.246.1.2")
	step(true, "10.246.1.2", "10.246.1.3", "10.246.1.4", "10.246.1.5", "10.246.1.6", "10.246.1.7")
	var got []string
	for _, e := range p.cfg.Journal.Of("web") {
		if e.Component != "kube-proxy" || e.Time.IsZero() {
			t.Errorf("%+v", e)
		}
		got = append(got, e.Step)
	}
	want := []string{
		"rules written on node n1, from 10.247.0.9:80 to no endpoint",
		"rules written on node n1, from 10.247.0.9:80 to 10.246.1.2:8080, 10.246.1.3:8080",
		"rules written on node n1, from 10.247.0.9:80 to 10.246.1.2:8080",
		"rules written on node n1, from 10.247.0.9:80 to 10.246.1.2:8080, 10.246.1.3:8080, 10.246.1.4:8080, 10.246.1.5:8080, 2 more",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("recorded:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if n := len(p.cfg.Journal.Of("other")); n != 1 {
		t.Errorf("%d entries of a service that did not change", n)
	}
}
