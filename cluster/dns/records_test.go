package dns

import (
	"fmt"
	"testing"

	"github.com/miekg/dns"
	v1 "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
)

// crowd is a headless service with more endpoints than a message can name.
type crowd []*discovery.EndpointSlice

func (crowd) Namespace(string) bool                                 { return true }
func (c crowd) Slices(string, string) []*discovery.EndpointSlice    { return c }
func (c crowd) At(string) (*v1.Service, []*discovery.EndpointSlice) { return nil, nil }
func (crowd) Service(string, string) *v1.Service {
	s := &v1.Service{Spec: v1.ServiceSpec{ClusterIP: v1.ClusterIPNone, Ports: []v1.ServicePort{{Name: "web", Protocol: v1.ProtocolTCP, Port: 80}}}}
	s.Namespace, s.Name = "default", "crowd"
	return s
}

// TestAnswersAreBounded: a question costs no more than the longest answer.
func TestAnswersAreBounded(t *testing.T) {
	name, port := "web", int32(80)
	var c crowd
	for i := range 20 {
		s := &discovery.EndpointSlice{Ports: []discovery.EndpointPort{{Name: &name, Port: &port}}}
		for n := range 1000 {
			s.Endpoints = append(s.Endpoints, discovery.Endpoint{Addresses: []string{fmt.Sprintf("10.%d.%d.%d", i, n/250, n%250)}})
		}
		c = append(c, s)
	}
	z := &Zone{Domain: "cluster.local.", View: c}
	for question, qtype := range map[string]uint16{
		"crowd.default.svc.cluster.local.":           dns.TypeA,
		"_web._tcp.crowd.default.svc.cluster.local.": dns.TypeSRV,
	} {
		if a := z.Resolve(question, qtype); len(a.Records) != maxRecords {
			t.Errorf("%s: %d records", question, len(a.Records))
		}
	}
	last := "10-19-3-249.crowd.default.svc.cluster.local."
	if a := z.Resolve(last, dns.TypeA); len(a.Records) != 1 {
		t.Errorf("%s: %v", last, a.Records)
	}
}
