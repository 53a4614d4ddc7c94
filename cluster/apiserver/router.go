package apiserver

import (
	"net/http"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/validate/content"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/apiserver/apistatus"
	"wheelhouse/cluster/apiserver/nodeproxy"
)

// resolve returns the handler of a request, or the error when there is none. It
// and the authorizer read the same info, so that what is allowed is what is done.
func (s *Server) resolve(r *request) (handler, error) {
	i, res := r.Info, r.res
	switch {
	case r.asksForCustomResources():
		return (*request).noCustomResources, nil
	case res == nil && i.Plural != "":
		return nil, apistatus.ResourceNotFound(r.routes.table.Successor(schema.GroupVersion{Group: i.Group, Version: i.Version}, i.Plural))
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
		r.Method == http.MethodHead && i.Subresource != "proxy",
		i.Verb == "" && r.Method != http.MethodOptions:
		return nil, apistatus.MethodNotSupported()
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

// ownRoutes are what the server implements beyond storing objects. Of a stored kind those
// are served whose subresource the kind has.
var ownRoutes = map[schema.GroupResource]map[route]verbs{
	{Resource: "bindings"}:          {{}: {"create": (*request).bind}},
	{Resource: "componentstatuses"}: computedRoutes((*request).componentStatuses),
	{Resource: "nodes"}:             {{"proxy", true}: proxied},
	{Resource: "services"}:          {{"proxy", true}: proxied},
	{Resource: "serviceaccounts"}:   {{"token", true}: {"create": (*request).createToken}},
	{Resource: "pods"}: {
		{"binding", true}:     {"create": (*request).bindPod},
		{"eviction", true}:    {"create": func(r *request) error { return eviction{r}.evict() }},
		{"log", true}:         connects((*nodeproxy.Proxy).Log, "get"),
		{"exec", true}:        connects((*nodeproxy.Proxy).Exec, "get", "create"),
		{"attach", true}:      connects((*nodeproxy.Proxy).Exec, "get", "create"),
		{"portforward", true}: connects((*nodeproxy.Proxy).PortForward, "get", "create"),
		{"proxy", true}:       proxied,
	},
	{Group: "apps", Resource: "deployments"}:       {{"rollback", true}: {"create": (*request).rollback}},
	{Group: "extensions", Resource: "deployments"}: {{"rollback", true}: {"create": (*request).rollback}},
	{Group: "metrics.k8s.io", Resource: "nodes"}: computedRoutes(func(r *request, name string) ([]api.Object, error) {
		return r.s.usage.NodeMetrics(r.Context(), name)
	}),
	{Group: "metrics.k8s.io", Resource: "pods"}: computedRoutes(func(r *request, name string) ([]api.Object, error) {
		return r.s.usage.PodMetrics(r.Context(), r.Namespace, name)
	}),
}

// proxied has every method; to OPTIONS belongs no verb.
var proxied = connects((*nodeproxy.Proxy).Proxy, "get", "create", "update", "patch", "delete", "")

// routesOf returns the routes of a resource.
func (s *Server) routesOf(r *resource) map[route]verbs {
	table, k := map[route]verbs{}, r.Storage()
	for form, v := range ownRoutes[r.groupResource()] {
		if r.Virtual || r.Sub(form.subresource) != nil {
			table[form] = v
		}
	}
	if s.ServiceAccountToken == nil {
		delete(table, route{"token", true})
	}
	if answer := s.Virtual[k.GroupVersion().WithResource(k.Plural)]; answer != nil && len(table) == 0 {
		table[route{}] = verbs{"create": func(r *request) error { return r.createVirtual(answer) }}
	}
	if r.Virtual {
		return table
	}
	table[route{}] = r.offered(verbs{
		"list": (*request).list, "watch": (*request).watch, "create": (*request).create, "deletecollection": (*request).deleteCollection,
	})
	table[route{named: true}] = r.offered(verbs{
		"get": (*request).get, "watch": (*request).watch, "update": (*request).update, "patch": (*request).patch, "delete": (*request).delete,
	})
	if k.HasStatus {
		table[route{"status", true}] = writes([]string{"get", "update", "patch"}, change{prepare: k.PrepareStatus, validate: k.ValidateStatus})
	}
	if k.Scale != nil {
		table[route{"scale", true}] = verbs{
			"get":    func(r *request) error { return scaling{r}.getScale() },
			"update": func(r *request) error { return scaling{r}.updateScale() },
			"patch":  func(r *request) error { return scaling{r}.patchScale() },
		}
	}
	for _, sub := range r.Connect {
		if sub.Prepare != nil {
			table[route{sub.Name, true}] = writes(sub.Verbs, change{prepare: sub.Prepare, validate: sub.Validate})
		}
	}
	return table
}

// offered returns those of v that the kind has, nil if it has none.
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

// writes returns the routes that read and write an object by the rules of a subresource.
func writes(offered []string, rules change) verbs {
	all := verbs{
		"get":    (*request).get,
		"update": func(r *request) error { return r.updateSubresource(rules) },
		"patch":  func(r *request) error { return r.patchSubresource(rules) },
	}
	out := verbs{}
	for _, verb := range offered {
		out[verb] = all[verb]
	}
	return out
}
