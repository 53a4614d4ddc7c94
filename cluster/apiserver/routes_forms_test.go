package apiserver_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"wheelhouse/cluster/api"
)

func offered(verbs []string, virtual bool) []string {
	if verbs == nil && !virtual {
		return api.AllVerbs
	}
	return verbs
}

func subresourcesOf(k *api.Kind) []api.Subresource {
	subs := slices.Clone(k.Connect)
	parts := []string{"get", "patch", "update"}
	if k.HasStatus {
		subs = append(subs, api.Subresource{Name: "status", Verbs: parts})
	}
	if k.Scale != nil {
		subs = append(subs, api.Subresource{Name: "scale", Verbs: parts})
	}
	return subs
}

// path is one that is asked for; an odd one, which should lead nowhere, by fewer requests.
type path struct {
	string
	odd bool
}

// pathsOf are all forms of a kind's paths.
func pathsOf(k *api.Kind) []path {
	root := "/apis/" + k.Group + "/" + k.Version
	if k.Group == "" {
		root = "/api/" + k.Version
	}
	res := "/" + k.Plural
	var paths []path
	for _, namespace := range []string{"", "/namespaces/a"} {
		base := root + namespace + res
		paths = append(paths, path{base, false}, path{base + "/x", false}, path{base + "/only", true}, path{base + "/", true}, path{base + "//", true})
		for _, s := range subresourcesOf(k) {
			paths = append(paths, path{base + "/x/" + s.Name, false}, path{base + "/only/" + s.Name, true}, path{base + "/x/" + s.Name + "/deep", true}, path{base + "//" + s.Name, true})
		}
		paths = append(paths, path{base + "/x/nope", true}, path{base + "/x/x/deep", true}, path{base + "/..", true}, path{base + "/x%2Fy", true},
			path{root + namespace + strings.ToUpper(res), true})
		for _, prefix := range []string{"/watch", "/proxy"} {
			base := root + prefix + namespace + res
			paths = append(paths, path{base, true}, path{base + "/x", true}, path{base + "/x/status", true}, path{base + "/x/log", true})
		}
	}
	for _, base := range []string{
		root + "/namespaces/" + res, root + "/namespaces/a/namespaces/b" + res, root + "/namespaces/a/../b" + res, root + "/namespaces/.." + res,
		"/" + root + "/namespaces/a" + res, root + "/" + res,
	} {
		paths = append(paths, path{base, true}, path{base + "/x", true}, path{base + "/x/status", true})
	}
	return paths
}

const apply = "application/apply-patch+yaml"

// linesOf are the requests that are sent to a path.
func linesOf(k *api.Kind, p path) []line {
	const (
		initial = "timeoutSeconds=1&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan"
		stream  = "stdout=1&command=ls"
	)
	at := p.string
	plain := bodyOf(k, at, "x", "")
	lines := []line{
		{method: "GET", path: at},
		{method: "GET", path: at, upgrade: true, query: stream},
		{method: "DELETE", path: at},
		{method: "PUT", path: at, contentType: asJSON, body: plain},
		{method: "POST", path: at, contentType: asJSON, body: plain},
	}
	if strings.Contains(at, "/watch/") {
		lines[0].query, lines[1] = initial, line{method: "POST", path: at, query: initial, contentType: asJSON, body: plain}
	}
	if p.odd {
		return lines
	}
	if !strings.HasSuffix(at, "/log") && !strings.HasSuffix(at, "/proxy") {
		lines = append(lines,
			line{method: "GET", path: at, query: "watch=1&" + initial},
			line{method: "GET", path: at, query: "watch=true&fieldSelector=metadata.name%3Dx&" + initial},
			line{method: "WATCH", path: at, query: initial})
	}
	for _, method := range []string{"HEAD", "OPTIONS", "CONNECT", "LIST", "DELETECOLLECTION", "CREATE", "get"} {
		lines = append(lines, line{method: method, path: at, contentType: asJSON, body: plain})
	}
	lines = append(lines,
		line{method: "GET", path: at, query: "fieldSelector=metadata.name%3Dx"},
		line{method: "GET", path: at, query: "fieldSelector=metadata.name%3D%3Dx,metadata.namespace%3Db"},
		line{method: "GET", path: at, query: "fieldSelector=metadata.name%3Dx&fieldSelector=metadata.name%3Dz"},
		line{method: "GET", path: at, query: "FieldSelector=metadata.name%3Dx"},
		line{method: "DELETE", path: at, query: "fieldSelector=metadata.name%3Dx"},
		line{method: "POST", path: at, query: stream, contentType: asJSON, upgrade: true, body: plain},
		line{method: "POST", path: at, query: "fieldSelector=metadata.name%3Dx", contentType: asJSON, body: bodyOf(k, at, "new", "")},
		line{method: "PATCH", path: at + "new", query: "fieldManager=m", contentType: apply, body: bodyOf(k, at, "xnew", "")})
	for _, o := range [][2]string{{"x", ""}, {"x", "b"}, {"z", ""}, {"new", "a"}} {
		body := bodyOf(k, at, o[0], o[1])
		lines = append(lines,
			line{method: "POST", path: at, contentType: asJSON, body: body},
			line{method: "PUT", path: at, contentType: asJSON, body: body},
			line{method: "PATCH", path: at, contentType: "application/merge-patch+json", body: body},
			line{method: "PATCH", path: at, query: "fieldManager=m&force=1", contentType: apply, body: body})
	}
	return lines
}

// bodyOf is an object of the kind that a path wants.
func bodyOf(k *api.Kind, path, name, namespace string) string {
	gvk, rest := k.GroupVersionKind, ""
	for _, s := range subresourcesOf(k) {
		if strings.HasSuffix(path, "/"+s.Name) && s.Kind.Kind != "" {
			gvk = s.Kind
		}
	}
	if strings.HasSuffix(path, "/scale") && k.Scale != nil {
		gvk, rest = k.Scale.Kind(), `,"spec":{"replicas":3}`
	}
	switch gvk.Kind {
	case "Binding":
		rest = `,"target":{"name":"x"}`
	case "DeploymentRollback":
		return fmt.Sprintf(`{"apiVersion":%q,"kind":%q,"name":%q,"rollbackTo":{"revision":1}}`, gvk.GroupVersion(), gvk.Kind, name)
	}
	meta, _ := json.Marshal(metav1.ObjectMeta{Name: name, Namespace: namespace, Labels: map[string]string{"written": "yes"}}) // strings
	return fmt.Sprintf(`{"apiVersion":%q,"kind":%q,"metadata":%s%s}`, gvk.GroupVersion(), gvk.Kind, meta, rest)
}
