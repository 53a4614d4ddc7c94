package apiserver

import (
	"net/http"
	"net/url"
	"strings"

	"k8s.io/apimachinery/pkg/api/validate/content"
	"k8s.io/apimachinery/pkg/fields"

	"wheelhouse/cluster/apiserver/authz"
	"wheelhouse/cluster/client"
)

// info is what a request asks for, in the terms of the API: upstream's RequestInfo. It is
// made once and does not change. The authorizer decides about it, and the handlers take
// from it which object they touch.
type info struct {
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
	named bool
	Rest  string // of the path, behind the subresource; begins with "/" or is empty
	Path  string
}

// longRunning requests are streams.
func (i *info) longRunning() bool {
	if i.Verb == "watch" {
		return true
	}
	switch i.Subresource {
	case "log", "exec", "attach", "portforward", "proxy":
		return true
	}
	return false
}

func (i *info) mutates() bool {
	switch i.Verb {
	case "create", "update", "patch", "delete", "deletecollection":
		return true
	}
	return false
}

// parseInfo reads a request's line. The forms are
//
//	/api/v1/RESOURCE[/NAME[/SUBRESOURCE[/REST]]]
//	/api/v1/namespaces/NS/RESOURCE[/NAME[/SUBRESOURCE[/REST]]]
//	/apis/GROUP/VERSION/...                            likewise
//	/api/v1/{watch,proxy}/...                          the forms of before 1.10
//
// It follows upstream's RequestInfoFactory to the letter, for paths that nobody serves
// too: they are authorized before they are answered with 404.
func parseInfo(req *http.Request) *info {
	i := &info{Path: req.URL.Path, Verb: strings.ToLower(req.Method)}
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

// namespaceParts are the subresources of the kind Namespace; every other third part
// of a path below /namespaces/ is a resource.
var namespaceParts = map[string]bool{"status": true, "finalize": true}

func (i *info) setPath(parts []string, oldProxy bool) {
	if parts[0] == "namespaces" && len(parts) > 2 && !namespaceParts[parts[2]] {
		i.Namespace, parts = parts[1], parts[2:]
	}
	i.Plural = parts[0]
	if len(parts) > 1 {
		i.Name, i.named = parts[1], true
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

func (i *info) setVerb(req *http.Request, oldWatch bool) {
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
		if !i.named && req.URL.RawQuery != "" {
			i.Name = selectedName(req.URL)
		}
	}
}

// of is the same about one of the objects that the request is for.
func (i *info) of(namespace, name string) *info {
	one := *i
	one.Namespace, one.Name = namespace, name
	return &one
}

// attributes are what the authorizer is asked about: the object that the request names,
// and what the verb does to it. A Namespace counts as within itself, so that a role in it
// can allow to read it. That holds for the verb of the request alone; what else it takes
// (to create what is applied) is asked for where the object is.
func (i *info) attributes(user *client.User, verb string) authz.Attributes {
	a := authz.Attributes{
		User: user, Verb: verb, Namespace: i.Namespace, Group: i.Group, Version: i.Version,
		Resource: i.Plural, Subresource: i.Subresource, Name: i.Name, Path: i.Path, ResourceRequest: i.IsResource,
	}
	if i.Plural == "namespaces" && i.named && i.Namespace == "" && verb == i.Verb {
		a.Namespace = i.Name
	}
	return a
}

// selectedName is the name in `fieldSelector=metadata.name=X`: rules that name
// objects hold for such lists and watches too.
func selectedName(u *url.URL) string {
	text := u.Query().Get("fieldSelector")
	if !strings.Contains(text, "metadata.name") {
		return ""
	}
	selector, err := fields.ParseSelector(text)
	if err != nil {
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
