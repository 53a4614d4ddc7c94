package ingress

import (
	"strings"
)

// Table has all routes and certificates at one time. It is immutable, but for the counters of its backends.
type Table struct {
	hosts     map[string]*host // by name, in lower case
	wildcards map[string]*host // by what follows the first label: ".example.com" for *.example.com
	anyHost   *host            // rules without a host
	fallback  *Backend         // the default backend; nil: none
	certs     certificates
}

// host has the paths of one host.
type host struct {
	exact    map[string]*Backend
	prefixes map[string]*Backend // without a last slash; "" is all paths
	depth    int                 // the most slashes of a prefix
	fallback *Backend            // of the Ingress that has rules for the host
}

// Match returns the backend of a request, nil if no rule and no default backend is for it. A host's own rules come before
// those of a wildcard, those before rules without a host; of several paths the longest matches, and of two that are
// equally long the exact one. (The rules are those of the API's documentation of Ingress.)
func (t *Table) Match(hostport, path string) *Backend {
	name := hostOf(hostport)
	candidates := [3]*host{t.hosts[name], nil, t.anyHost}
	if dot := strings.IndexByte(name, '.'); dot > 0 {
		candidates[1] = t.wildcards[name[dot:]]
	}
	for _, h := range candidates {
		if h == nil {
			continue
		}
		if b := h.match(path); b != nil {
			return b
		}
	}
	for _, h := range candidates {
		if h != nil && h.fallback != nil {
			return h.fallback
		}
	}
	return t.fallback
}

// match looks at as many elements of the path as the longest prefix has: a path of a thousand slashes costs no more.
func (h *host) match(path string) *Backend {
	if b := h.exact[path]; b != nil {
		return b
	}
	longest := h.prefixes[""]
	at := 1
	for range h.depth {
		if at > len(path) {
			break
		}
		end := len(path)
		if slash := strings.IndexByte(path[at:], '/'); slash >= 0 {
			end = at + slash
		}
		if b := h.prefixes[path[:end]]; b != nil {
			longest = b
		}
		at = end + 1
	}
	return longest
}

// hostOf returns the name in a Host header or a TLS server name: without port and last dot, in lower case.
func hostOf(hostport string) string {
	name := hostport
	if strings.HasPrefix(name, "[") { // an IPv6 address
		name, _, _ = strings.Cut(name[1:], "]")
	} else if colon := strings.LastIndexByte(name, ':'); colon >= 0 {
		name = name[:colon]
	}
	return strings.ToLower(strings.TrimSuffix(name, "."))
}
