// Package requestinfo parses the request line into the terms of the API: verb, group,
// version, namespace, resource, name and subresource.
//
// It reads the method and the URL only, never a body or the state of the cluster, and it
// reports no errors: a path that nothing serves has an Info too, since it is authorized
// before it is answered. Callers must not change an Info after Parse: the authorizer and
// the handlers read the same one, so that what is allowed is what is touched.
package requestinfo

import (
	"net/http"
	"net/url"
	"strings"

	"k8s.io/apimachinery/pkg/api/validate/content"
	"k8s.io/apimachinery/pkg/fields"

	"wheelhouse/cluster/apiserver/authz"
	"wheelhouse/cluster/client"
)

// Info is upstream's RequestInfo. It is made once and does not change.
type Info struct {
	// IsResource: the path names a resource of a group, and the fields below are set;
	// else the path is one of the server's own (discovery, health, ...).
	IsResource  bool
	Verb        string // "get", "list", "watch", "create", ...; for other paths the method in lower case
	Group       string
	Version     string
	Namespace   string // that the objects are in; a Namespace itself is in none
	Plural      string
	Subresource string
	// Name is the object's. Of a list or watch it is the one name that the field selector
	// allows, and no other object may be in the answer.
	Name string
	// named: the path has a place for the name, though it may be empty there.
	Named bool
	Rest  string // of the path, behind the subresource; begins with "/" or is empty
	Path  string
}

// LongRunning reports whether the request is a watch or another stream.
func (i *Info) LongRunning() bool {
	if i.Verb == "watch" {
		return true
	}
	switch i.Subresource {
	case "log", "exec", "attach", "portforward", "proxy":
		return true
	}
	return false
}

// Mutates reports whether the verb writes.
func (i *Info) Mutates() bool {
	switch i.Verb {
	case "create", "update", "patch", "delete", "deletecollection":
		return true
	}
	return false
}

// Parse returns the Info of a request line. The forms are
//
//	/api/v1/RESOURCE[/NAME[/SUBRESOURCE[/REST]]]
//	/api/v1/namespaces/NS/RESOURCE[/NAME[/SUBRESOURCE[/REST]]]
//	/apis/GROUP/VERSION/...                            likewise
//	/api/v1/{watch,proxy}/...                          the forms before 1.10
//
// It follows upstream's RequestInfoFactory exactly.
func Parse(req *http.Request) *Info {
	i := &Info{Path: req.URL.Path, Verb: strings.ToLower(req.Method)}
	parts := splitPath(req.URL.Path)
	switch {
	case len(parts) >= 3 && parts[0] == "api":
		i.Version, parts = parts[1], parts[2:]
	case len(parts) >= 4 && parts[0] == "apis":
		i.Group, i.Version, parts = parts[1], parts[2], parts[3:]
	default:
		return i
	}
	i.IsResource = true
	prefix := ""
	if (parts[0] == "watch" || parts[0] == "proxy") && len(parts) > 1 {
		prefix, parts = parts[0], parts[1:]
	}
	i.setPath(parts, prefix == "proxy")
	i.setVerb(req, prefix == "watch")
	return i
}

// namespaceSubresources are those of the kind Namespace; every other third segment of a
// path below /namespaces/ is a resource.
var namespaceSubresources = map[string]bool{"status": true, "finalize": true}

func (i *Info) setPath(parts []string, oldProxy bool) {
	if parts[0] == "namespaces" && len(parts) > 2 && !namespaceSubresources[parts[2]] {
		i.Namespace, parts = parts[1], parts[2:]
	}
	i.Plural = parts[0]
	if len(parts) > 1 {
		i.Name, i.Named = parts[1], true
	}
	rest := 3
	if oldProxy {
		i.Subresource, rest = "proxy", 2
	} else if len(parts) > 2 {
		i.Subresource = parts[2]
	}
	if len(parts) > rest {
		i.Rest = "/" + strings.Join(parts[rest:], "/")
	}
	if i.Subresource == "proxy" && len(parts) >= rest && strings.HasSuffix(i.Path, "/") && !strings.HasSuffix(i.Rest, "/") {
		i.Rest += "/"
	}
}

func (i *Info) setVerb(req *http.Request, oldWatch bool) {
	i.Verb = ""
	switch {
	case oldWatch: // by any method; the router answers GET only
		i.Verb = "watch"
	case req.Method == http.MethodPost:
		i.Verb = "create"
	case req.Method == http.MethodPut:
		i.Verb = "update"
	case req.Method == http.MethodPatch:
		i.Verb = "patch"
	case req.Method == http.MethodDelete && i.Name == "":
		i.Verb = "deletecollection"
	case req.Method == http.MethodDelete:
		i.Verb = "delete"
	case req.Method != http.MethodGet && req.Method != http.MethodHead:
	case i.Name != "":
		i.Verb = "get"
	default:
		i.Verb = "list"
		if isWatch(req.URL) {
			i.Verb = "watch"
		}
		if !i.Named && req.URL.RawQuery != "" {
			i.Name = selectedName(req.URL)
		}
	}
}

// Of returns a copy of i for one of the objects that the request is for.
func (i *Info) Of(namespace, name string) *Info {
	one := *i
	one.Namespace, one.Name = namespace, name
	return &one
}

// Attributes returns what the authorizer decides about: the object that the request names,
// and what the verb does to it. A Namespace counts as within itself, so that a role in it
// can allow reading it. That holds for the verb of the request alone; another verb that the
// request needs (create, for what is applied) is authorized where the object is.
func (i *Info) Attributes(user *client.User, verb string) authz.Attributes {
	a := authz.Attributes{
		User: user, Verb: verb, Namespace: i.Namespace, Group: i.Group, Version: i.Version,
		Resource: i.Plural, Subresource: i.Subresource, Name: i.Name, Path: i.Path, ResourceRequest: i.IsResource,
	}
	if i.Plural == "namespaces" && i.Named && i.Namespace == "" && verb == i.Verb {
		a.Namespace = i.Name
	}
	return a
}

// FieldSelector returns what the field selector of a list or watch narrows it to, for the
// authorizer; nil for other requests, and for a selector that cannot be parsed, which is
// answered with 400 later.
func (i *Info) FieldSelector(u *url.URL) fields.Requirements {
	if i.Verb == "list" || i.Verb == "watch" || i.Verb == "deletecollection" {
		if selector := fieldSelector(u); selector != nil {
			return selector.Requirements()
		}
	}
	return nil
}

func fieldSelector(u *url.URL) fields.Selector {
	if !strings.Contains(u.RawQuery, "fieldSelector") {
		return nil
	}
	selector, err := fields.ParseSelector(u.Query().Get("fieldSelector"))
	if err != nil {
		return nil
	}
	return selector
}

// selectedName returns the name in `fieldSelector=metadata.name=X`: rules that name
// objects hold for such lists and watches too.
func selectedName(u *url.URL) string {
	selector := fieldSelector(u)
	if selector == nil {
		return ""
	}
	name, _ := selector.RequiresExactMatch("metadata.name")
	if len(content.IsPathSegmentName(name)) > 0 {
		return ""
	}
	return name
}

func isWatch(u *url.URL) bool {
	if !strings.Contains(u.RawQuery, "watch") {
		return false
	}
	v, ok := u.Query()["watch"]
	return ok && !strings.EqualFold(v[0], "false") && v[0] != "0"
}

// splitPath cuts a path at its slashes. Empty parts count, but for those at both ends.
func splitPath(path string) []string {
	return strings.Split(strings.Trim(path, "/"), "/")
}
