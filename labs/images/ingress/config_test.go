package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func ingress(name string, age time.Duration, rules ...networkingv1.IngressRule) *networkingv1.Ingress {
	return &networkingv1.Ingress{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, CreationTimestamp: metav1.NewTime(time.Unix(1e9, 0).Add(-age))},
		Spec:       networkingv1.IngressSpec{Rules: rules},
	}
}

func rule(host, path string, kind networkingv1.PathType, service string) networkingv1.IngressRule {
	return networkingv1.IngressRule{Host: host, IngressRuleValue: networkingv1.IngressRuleValue{HTTP: &networkingv1.HTTPIngressRuleValue{
		Paths: []networkingv1.HTTPIngressPath{{Path: path, PathType: &kind, Backend: to(service)}},
	}}}
}

func to(service string) networkingv1.IngressBackend {
	return networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{Name: service, Port: networkingv1.ServiceBackendPort{Number: 80}}}
}

func services() map[string]*corev1.Service {
	web := &corev1.Service{Spec: corev1.ServiceSpec{ClusterIP: "10.0.0.1", Ports: []corev1.ServicePort{{Name: "http", Port: 80}}}}
	other := &corev1.Service{Spec: corev1.ServiceSpec{ClusterIP: "10.0.0.2", Ports: []corev1.ServicePort{{Port: 80}}}}
	headless := &corev1.Service{Spec: corev1.ServiceSpec{ClusterIP: "None", Ports: []corev1.ServicePort{{Port: 80}}}}
	return map[string]*corev1.Service{"ns/web": web, "ns/other": other, "ns/headless": headless}
}

// squeezed is a line per location, without what is the same everywhere.
func squeezed(text string) string {
	text = strings.ReplaceAll(strings.Join(strings.Fields(text), " "), "} ", "}\n")
	return text
}

func TestRender(t *testing.T) {
	byName := ingress("named", 0)
	byName.Spec.DefaultBackend = &networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{Name: "web", Port: networkingv1.ServiceBackendPort{Name: "http"}}}
	cases := []struct {
		name      string
		ingresses []*networkingv1.Ingress
		want      []string
		never     []string
	}{
		{"none", nil, []string{"listen 80 default_server; server_name _; location / { return 404; }"}, nil},
		{
			"a prefix",
			[]*networkingv1.Ingress{ingress("a", 0, rule("", "/foo/", networkingv1.PathTypePrefix, "web"))},
			[]string{"location = /foo { # ns/a proxy_pass http://10.0.0.1:80; }", "location /foo/ { # ns/a proxy_pass http://10.0.0.1:80; }", "location / { return 404; }"},
			nil,
		},
		{
			"an exact path before a prefix",
			[]*networkingv1.Ingress{ingress("a", time.Hour, rule("", "/foo", networkingv1.PathTypePrefix, "web")), ingress("b", 0, rule("", "/foo", networkingv1.PathTypeExact, "other"))},
			[]string{"location = /foo { # ns/b proxy_pass http://10.0.0.2:80; }", "location /foo/ { # ns/a"},
			[]string{"location = /foo { # ns/a"},
		},
		{
			"hosts",
			[]*networkingv1.Ingress{ingress("a", 0, rule("a.example", "/", networkingv1.PathTypePrefix, "web"))},
			[]string{"listen 80; server_name a.example; location / { # ns/a proxy_pass http://10.0.0.1:80; }"},
			nil,
		},
		{
			"the older one has it",
			[]*networkingv1.Ingress{ingress("young", 0, rule("h", "/", networkingv1.PathTypePrefix, "web")), ingress("old", time.Hour, rule("h", "/", networkingv1.PathTypePrefix, "other"))},
			[]string{"# ns/old"},
			[]string{"ns/young"},
		},
		{"no such service", []*networkingv1.Ingress{ingress("a", 0, rule("h", "/", networkingv1.PathTypePrefix, "nosuch"))}, []string{"location / { # ns/a return 503; }"}, nil},
		{"a service without address", []*networkingv1.Ingress{ingress("a", 0, rule("h", "/", networkingv1.PathTypePrefix, "headless"))}, []string{"return 503"}, nil},
		{"a port by name, for what no rule names", []*networkingv1.Ingress{byName}, []string{"server_name _; location / { # ns/named proxy_pass http://10.0.0.1:80; }"}, nil},
		{"a path that would be more than one", []*networkingv1.Ingress{ingress("a", 0, rule("h", "/ { } evil", networkingv1.PathTypePrefix, "web"))}, nil, []string{"evil"}},
	}
	for _, c := range cases {
		got := squeezed(render(slices.Clone(c.ingresses), services()))
		for _, want := range c.want {
			if !strings.Contains(strings.ReplaceAll(got, "\n", " "), want) {
				t.Errorf("%s: no %q in\n%s", c.name, want, got)
			}
		}
		for _, never := range c.never {
			if strings.Contains(got, never) {
				t.Errorf("%s: %q in\n%s", c.name, never, got)
			}
		}
	}
}
