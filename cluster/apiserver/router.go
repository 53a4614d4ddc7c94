package apiserver

import (
	"net/http"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/validate/content"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/api/metrics"
	"wheelhouse/cluster/apiserver/apistatus"
	"wheelhouse/cluster/apiserver/nodeproxy"
)

// handler serves a request that is authorized.
type handler = func(*request) error

// verbs are what can be asked of one route.
type verbs map[string]handler

// route is a form of path below a resource: the resource itself, its objects by name, or
// one of their subresources.
type route struct {
	subresource string
	named       bool
}

// resolve is the handler of a request, nil with the error that says why there is none. It
// and the authorizer read the same info, so that what is allowed is what is done.
func (s *Server) resolve(r *request) (handler, error) {
	i, res := r.Info, r.res
	switch {
	case r.asksForCustomResources():
		return (*request).noCustomResources, nil
	case res == nil || strings.HasPrefix(i.Path, "//"),
		!res.Namespaced && i.Namespace != "",
		res.Namespaced && i.Namespace == "" && i.Named,
		i.Rest != "" && i.Subresource != "proxy",
		i.Verb == "watch" && i.Subresource != "":
		return nil, apistatus.PathNotFound()
	}
	answers := res.routes[route{i.Subresource, i.Named}]
	everywhere := res.Namespaced && i.Namespace == "" // all namespaces can be read at once, and no more
	if answers == nil || (everywhere && answers["list"] == nil) {
		return nil, apistatus.PathNotFound()
	}
	f := answers[i.Verb]
	switch {
	case f == nil,
		everywhere && i.Verb != "list" && i.Verb != "watch",
		i.Verb == "watch" && r.Method != http.MethodGet,
		i.Verb == "" && r.Method != http.MethodOptions:
		return nil, apistatus.MethodNotSupported(schema.GroupResource{Group: i.Group, Resource: i.Plural}, i.Verb)
	}
	if !i.Named {
		return f, nil
	}
	if i.Name == "" {
		return nil, apistatus.BadRequest("name must be provided")
	}
	if wrong := content.IsPathSegmentName(i.Name); len(wrong) > 0 {
		return nil, apistatus.BadRequest("Name parameter invalid: %q: %s", i.Name, strings.Join(wrong, ";"))
	}
	return f, nil
}

// routesOf is all that can be asked about a resource.
func (s *Server) routesOf(r *resource) map[route]verbs {
	if r.Virtual {
		return s.virtualRoutes(r)
	}
	table := map[route]verbs{
		{}: r.offered(verbs{
			"list": (*request).list, "watch": (*request).watch, "create": (*request).create, "deletecollection": (*request).deleteCollection,
		}),
		{named: true}: r.offered(verbs{
			"get": (*request).get, "watch": (*request).watch, "update": (*request).update, "patch": (*request).patch, "delete": (*request).delete,
		}),
	}
	for _, sub := range partsOf(r.Kind) {
		if v := s.subresource(r, &sub); v != nil {
			table[route{sub.Name, true}] = v
		}
	}
	return table
}

// offered are those of v that the kind has, nil if it has none.
func (r *resource) offered(v verbs) verbs {
	out := verbs{}
	for verb, f := range v {
		if r.Verbs == nil || slices.Contains(r.Verbs, verb) {
			out[verb] = f
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// virtualRoutes are those of a kind of which nothing is stored.
func (s *Server) virtualRoutes(r *resource) map[route]verbs {
	switch r.GroupKind() {
	case schema.GroupKind{Kind: "ComponentStatus"}:
		return map[route]verbs{{}: {"list": (*request).listComponents}, {named: true}: {"get": (*request).getComponent}}
	case metrics.NodeMetrics.GroupKind():
		return computedRoutes(func(r *request, name string) ([]api.Object, error) { return s.usage.NodeMetrics(r.Context(), name) })
	case metrics.PodMetrics.GroupKind():
		return computedRoutes(func(r *request, name string) ([]api.Object, error) {
			return s.usage.PodMetrics(r.Context(), r.Namespace, name)
		})
	case schema.GroupKind{Kind: "Binding"}:
		return map[route]verbs{{}: {"create": (*request).bind}}
	}
	answer := s.Virtual[r.GroupVersion().WithResource(r.Plural)]
	if answer == nil {
		return nil
	}
	return map[route]verbs{{}: {"create": func(r *request) error { return r.createVirtual(answer) }}}
}

// proxied has every method; to OPTIONS belongs no verb.
var proxied = connects((*nodeproxy.Proxy).Proxy, "get", "create", "update", "patch", "delete", "")

// ownSubresources are those which the server implements for one kind, by RESOURCE/NAME.
var ownSubresources = map[string]verbs{
	"pods/binding":     {"create": (*request).bindPod},
	"pods/eviction":    {"create": (*request).evict},
	"pods/log":         connects((*nodeproxy.Proxy).Log, "get"),
	"pods/exec":        connects((*nodeproxy.Proxy).Exec, "get", "create"),
	"pods/attach":      connects((*nodeproxy.Proxy).Exec, "get", "create"),
	"pods/portforward": connects((*nodeproxy.Proxy).PortForward, "get", "create"),
	"pods/proxy":       proxied,
	"services/proxy":   proxied,
	"nodes/proxy":      proxied,
}

// subresource is what can be asked of one subresource of a stored kind: one that the
// server implements, or another way to write the object.
func (s *Server) subresource(r *resource, sub *api.Subresource) verbs {
	name := r.Plural + "/" + sub.Name
	switch {
	case r.Group == "" && ownSubresources[name] != nil:
		return ownSubresources[name]
	case r.Group == "" && name == "serviceaccounts/token":
		if s.ServiceAccountToken == nil {
			return nil
		}
		return verbs{"create": (*request).createToken}
	case sub.Name == "status" && r.Storage().HasStatus:
		return partRoutes([]string{"get", "update", "patch"}, change{prepare: r.Storage().PrepareStatus, validate: r.Storage().ValidateStatus})
	case sub.Name == "scale" && r.Storage().Scale != nil:
		return verbs{"get": (*request).getScale, "update": (*request).updateScale, "patch": (*request).patchScale}
	case sub.Name == "rollback":
		return verbs{"create": (*request).rollback}
	case sub.Prepare != nil:
		return partRoutes(sub.Verbs, change{prepare: sub.Prepare, validate: sub.Validate})
	}
	return nil
}

// partRoutes read and write an object by the rules for a part of it.
func partRoutes(offered []string, rules change) verbs {
	all := verbs{
		"get":    (*request).get,
		"update": func(r *request) error { return r.updatePart(rules) },
		"patch":  func(r *request) error { return r.patchPart(rules) },
	}
	out := verbs{}
	for _, verb := range offered {
		out[verb] = all[verb]
	}
	return out
}
