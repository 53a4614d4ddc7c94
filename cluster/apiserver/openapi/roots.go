package openapi

import (
	"reflect"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/version"
)

// root is a path that is no resource: a document of discovery, or the version of the server.
type root struct {
	document    string // of OpenAPI 3: "apis/apps"
	path        string
	id, tag     string
	description string
	answer      reflect.Type
	produces    []any // nil for the media types of objects
}

// rootsOf returns those of the groups and versions that are served.
func rootsOf(versions []schema.GroupVersion) []root {
	out := []root{
		{
			document: "version", path: "/version/", id: "getCodeVersion", tag: "version", description: "get the version information for this server",
			answer: reflect.TypeFor[version.Info](), produces: []any{"application/json"},
		},
		{document: "apis", path: "/apis/", id: "getAPIVersions", tag: "apis", description: "get available API versions", answer: reflect.TypeFor[metav1.APIGroupList]()},
	}
	seen := map[string]bool{}
	for _, gv := range versions {
		tag, at := groupTag(gv.Group), prefix(gv)
		title := strings.ToUpper(tag[:1]) + tag[1:]
		if !seen[gv.Group] {
			seen[gv.Group] = true
			of := root{document: "api", path: "/api/", id: "getCoreAPIVersions", tag: tag, description: "get available API versions", answer: reflect.TypeFor[metav1.APIVersions]()}
			if gv.Group != "" {
				of = root{
					document: "apis/" + gv.Group, path: "/apis/" + gv.Group + "/", id: "get" + title + "APIGroup", tag: tag,
					description: "get information of a group", answer: reflect.TypeFor[metav1.APIGroup](),
				}
			}
			out = append(out, of)
		}
		out = append(out, root{
			document: at[1:], path: at + "/", id: "get" + title + strings.ToUpper(gv.Version[:1]) + gv.Version[1:] + "APIResources", tag: tag + "_" + gv.Version,
			description: "get available resources", answer: reflect.TypeFor[metav1.APIResourceList](),
		})
	}
	return out
}

// addRoot writes the path of r.
func addRoot(paths doc, r root, s *schemas, w writer) {
	paths[r.path] = doc{"get": w.operation(operation{
		id: r.id, tag: r.tag, description: r.description, answer: s.ref(r.answer), produces: r.produces, protobuf: true,
	})}
}
