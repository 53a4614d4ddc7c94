package apiserver

import (
	"net/http"
	"net/url"
	"strings"

	"k8s.io/apimachinery/pkg/fields"
)

// info is what a request's line says, in the terms of the API.
type info struct {
	// IsResource: the path names a resource of a group, and the fields below are set;
	// else the path is one of the server's own (discovery, health, ...).
	IsResource  bool
	Verb        string // "get", "list", "watch", "create", ...; for other paths the method in lower case
	Group       string
	Version     string
	Namespace   string
	Plural      string
	Subresource string
	Name        string
	Rest        string // of the path, behind a proxy subresource; begins with "/" or is empty
	Path        string
}

// longRunning requests have no timeout and are not counted as in flight.
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
	if parts[0] == "namespaces" && len(parts) > 1 {
		i.Namespace = parts[1]
		if len(parts) > 2 && !namespaceParts[parts[2]] {
			parts = parts[2:]
		}
	}
	i.Plural = parts[0]
	if len(parts) > 1 {
		i.Name = parts[1]
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
	switch req.Method {
	case http.MethodPost:
		i.Verb = "create"
	case http.MethodPut:
		i.Verb = "update"
	case http.MethodPatch:
		i.Verb = "patch"
	case http.MethodGet, http.MethodHead:
		i.Verb = "get"
		if i.Subresource != "" {
			return
		}
		if isWatch(req.URL) || oldWatch {
			// `watch` of one name is a list of that name, with a selector
			i.Verb = "watch"
		} else if i.Name == "" {
			i.Verb = "list"
		}
	case http.MethodDelete:
		i.Verb = "delete"
		if i.Name == "" {
			i.Verb = "deletecollection"
		}
	}
	if i.Name == "" && req.URL.RawQuery != "" {
		i.Name = selectedName(req.URL)
	}
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
	return name
}

func isWatch(u *url.URL) bool {
	if !strings.Contains(u.RawQuery, "watch") {
		return false
	}
	switch v, ok := u.Query()["watch"]; {
	case !ok:
		return false
	default:
		return len(v) == 0 || (v[0] != "false" && v[0] != "0")
	}
}

// splitPath cuts a path at its slashes; empty parts do not count.
func splitPath(path string) []string {
	parts := make([]string, 0, 8)
	for part := range strings.SplitSeq(path, "/") {
		if part != "" {
			parts = append(parts, part)
		}
	}
	return parts
}
