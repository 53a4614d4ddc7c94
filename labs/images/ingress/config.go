package main

import (
	"cmp"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
)

// route is one path of one host, and where requests for it go.
type route struct {
	path    string
	exact   bool
	backend string // address and port; empty: there is no such service
	from    string // the Ingress, for a person who reads the file
}

// plain is what a path may consist of. Others could say more to nginx than a path.
var plain = regexp.MustCompile(`^/[A-Za-z0-9/_.~%+@:=-]*$`)

// render is nginx's settings for the Ingresses. Of two that claim the same path of the same
// host, the older one has it.
func render(ingresses []*networkingv1.Ingress, services map[string]*corev1.Service) string {
	hosts := map[string][]route{"": nil}
	byAge(ingresses)
	for _, ing := range ingresses {
		from := ing.Namespace + "/" + ing.Name
		for _, rule := range ing.Spec.Rules {
			if rule.HTTP == nil {
				continue
			}
			for _, p := range rule.HTTP.Paths {
				r := route{path: cmp.Or(p.Path, "/"), from: from, backend: backend(ing.Namespace, &p.Backend, services)}
				r.exact = p.PathType != nil && *p.PathType == networkingv1.PathTypeExact
				hosts[rule.Host] = add(hosts[rule.Host], r)
			}
		}
		if ing.Spec.DefaultBackend != nil {
			hosts[""] = add(hosts[""], route{path: "/", from: from, backend: backend(ing.Namespace, ing.Spec.DefaultBackend, services)})
		}
	}
	var names []string
	for name := range hosts {
		names = append(names, name)
	}
	slices.Sort(names)
	var b strings.Builder
	b.WriteString("proxy_set_header Host $http_host;\nproxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;\nproxy_set_header X-Forwarded-Proto $scheme;\n")
	for _, name := range names {
		server(&b, name, hosts[name])
	}
	return b.String()
}

func byAge(ingresses []*networkingv1.Ingress) {
	slices.SortFunc(ingresses, func(a, b *networkingv1.Ingress) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
}

func add(routes []route, r route) []route {
	taken := func(other route) bool { return other.path == r.path && other.exact == r.exact }
	if !plain.MatchString(r.path) || slices.ContainsFunc(routes, taken) {
		return routes
	}
	return append(routes, r)
}

// backend is the address of a service's port, by number or by name.
func backend(namespace string, b *networkingv1.IngressBackend, services map[string]*corev1.Service) string {
	if b.Service == nil {
		return ""
	}
	s := services[namespace+"/"+b.Service.Name]
	if s == nil || net.ParseIP(s.Spec.ClusterIP) == nil {
		return ""
	}
	for _, p := range s.Spec.Ports {
		if b.Service.Port.Number == p.Port || b.Service.Port.Name != "" && b.Service.Port.Name == p.Name {
			return net.JoinHostPort(s.Spec.ClusterIP, strconv.Itoa(int(p.Port)))
		}
	}
	return ""
}

func server(b *strings.Builder, host string, routes []route) {
	listen, name := "80", host
	if host == "" {
		listen, name = "80 default_server", "_"
	}
	fmt.Fprintf(b, "server {\n    listen %s;\n    server_name %s;\n", listen, name)
	written := map[string]bool{}
	// Exact ones first: a prefix without its last slash is written as one, too.
	for _, exact := range []bool{true, false} {
		for _, r := range routes {
			if r.exact == exact {
				for _, match := range matches(r) {
					location(b, written, match, r)
				}
			}
		}
	}
	if !written["/"] {
		b.WriteString("    location / {\n        return 404;\n    }\n")
	}
	b.WriteString("}\n")
}

// matches returns nginx's location for a path. A prefix counts in whole parts: /a is for /a
// and /a/b, not for /ab.
func matches(r route) []string {
	if r.exact {
		return []string{"= " + r.path}
	}
	stem := strings.TrimRight(r.path, "/")
	if stem == "" {
		return []string{"/"}
	}
	return []string{"= " + stem, stem + "/"}
}

func location(b *strings.Builder, written map[string]bool, match string, r route) {
	if written[match] {
		return
	}
	written[match] = true
	target := "return 503"
	if r.backend != "" {
		target = "proxy_pass http://" + r.backend
	}
	fmt.Fprintf(b, "    location %s { # %s\n        %s;\n    }\n", match, r.from, target)
}
