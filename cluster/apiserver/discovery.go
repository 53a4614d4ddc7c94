package apiserver

import (
	"cmp"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	discoveryv2 "k8s.io/api/apidiscovery/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"wheelhouse/cluster/api"
	"wheelhouse/cluster/apiserver/apistatus"
	"wheelhouse/cluster/apiserver/negotiate"
)

const (
	discoveryGroup = "apidiscovery.k8s.io"
	discoveryList  = "APIGroupDiscoveryList"
)

func newDiscovery(kinds []*api.Kind) (*discovery, error) {
	d := &discovery{documents: map[string]*document{}}
	groups := groupKinds(kinds)
	var list metav1.APIGroupList
	aggregated := map[string]*discoveryv2.APIGroupDiscoveryList{"/api": {}, "/apis": {}}
	for _, g := range groups {
		for _, v := range g.versions {
			path := "/apis/" + v.gv.String()
			if g.name == "" {
				path = "/api/" + v.gv.Version
			}
			if err := d.add(path, legacyResources(v)); err != nil {
				return nil, err
			}
			d.paths = append(d.paths, path)
		}
		root := "/apis"
		if g.name == "" {
			root = "/api"
		} else {
			group := g.legacy()
			list.Groups = append(list.Groups, group)
			group.Kind, group.APIVersion = "APIGroup", "v1"
			if err := d.add("/apis/"+g.name, &group); err != nil {
				return nil, err
			}
		}
		aggregated[root].Items = append(aggregated[root].Items, g.aggregated())
	}
	list.Kind, list.APIVersion = "APIGroupList", "v1"
	versions := &metav1.APIVersions{Versions: []string{"v1"}, ServerAddressByClientCIDRs: []metav1.ServerAddressByClientCIDR{}}
	versions.Kind, versions.APIVersion = "APIVersions", ""
	if err := cmp.Or(d.add("/apis", &list), d.add("/api", versions)); err != nil {
		return nil, err
	}
	for root, l := range aggregated {
		for _, version := range []string{"v2", "v2beta1"} {
			l.Kind, l.APIVersion = discoveryList, discoveryGroup+"/"+version
			if err := d.add(root+"|"+version, l); err != nil {
				return nil, err
			}
		}
	}
	return d, nil
}

func (d *discovery) add(key string, doc any) error {
	body, err := json.Marshal(doc)
	if err != nil {
		return fmt.Errorf("encoding %s: %w", key, err)
	}
	d.documents[key] = &document{body: append(body, '\n'), etag: fmt.Sprintf(`"%X"`, sha512.Sum512(body))}
	return nil
}

// serveDiscovery answers /api, /apis, /api/V, /apis/G and /apis/G/V.
func (r *request) serveDiscovery() error {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return apistatus.MethodNotSupported()
	}
	path := strings.TrimSuffix(r.Path, "/")
	doc := r.routes.discovery.documents[path]
	if doc == nil {
		http.NotFound(r.w, r.Request)
		return nil
	}
	if path != "/api" && path != "/apis" {
		return r.writeDocument(doc, "application/json")
	}
	r.w.Header().Set("Vary", "Accept")
	for _, c := range negotiate.ParseAccept(r.Header.Get("Accept")) {
		if c.Params["as"] == discoveryList && c.Params["g"] == discoveryGroup {
			if d := r.routes.discovery.documents[path+"|"+c.Params["v"]]; d != nil && c.MediaType == "application/json" {
				return r.writeDocument(d, fmt.Sprintf("application/json;g=%s;v=%s;as=%s", discoveryGroup, c.Params["v"], discoveryList))
			}
			continue
		}
		break
	}
	return r.writeDocument(doc, "application/json")
}

func (r *request) writeDocument(d *document, contentType string) error {
	h := r.w.Header()
	h.Set("ETag", d.etag)
	h.Set("Cache-Control", "public")
	if r.Header.Get("If-None-Match") == d.etag {
		r.w.WriteHeader(http.StatusNotModified)
		return nil
	}
	if contentType != "application/json" {
		return r.writeBody(http.StatusOK, contentType, d.body)
	}
	body, media := d.body, negotiate.JSON
	if a, err := negotiate.Response(r.Request, negotiate.NoForms); err == nil && a.Media == negotiate.YAML {
		media = negotiate.YAML
	}
	body, err := negotiate.Transcode(body, media, negotiate.IsPretty(r.Request))
	if err != nil {
		return err
	}
	return r.writeBody(http.StatusOK, media.ContentType, body)
}

type groupInfo struct {
	name     string
	versions []*versionInfo
}

type versionInfo struct {
	gv    schema.GroupVersion
	kinds []*api.Kind
}

// groupKinds sorts kinds into groups and versions, which are in the order of the table of
// kinds, the core group first. Stored versions come before the others.
func groupKinds(kinds []*api.Kind) []*groupInfo {
	var groups []*groupInfo
	for _, k := range kinds {
		i := slices.IndexFunc(groups, func(g *groupInfo) bool { return g.name == k.Group })
		if i < 0 {
			groups = append(groups, &groupInfo{name: k.Group})
			i = len(groups) - 1
		}
		g := groups[i]
		j := slices.IndexFunc(g.versions, func(v *versionInfo) bool { return v.gv == k.GroupVersion() })
		if j < 0 {
			g.versions = append(g.versions, &versionInfo{gv: k.GroupVersion()})
			j = len(g.versions) - 1
		}
		g.versions[j].kinds = append(g.versions[j].kinds, k)
	}
	for _, g := range groups {
		for _, v := range g.versions {
			slices.SortFunc(v.kinds, func(a, b *api.Kind) int { return cmp.Compare(a.Plural, b.Plural) })
		}
	}
	slices.SortStableFunc(groups, func(a, b *groupInfo) int {
		return cmp.Compare(min(len(a.name), 1), min(len(b.name), 1))
	})
	return groups
}

func (g *groupInfo) legacy() metav1.APIGroup {
	group := metav1.APIGroup{Name: g.name}
	for _, v := range g.versions {
		group.Versions = append(group.Versions, metav1.GroupVersionForDiscovery{GroupVersion: v.gv.String(), Version: v.gv.Version})
	}
	group.PreferredVersion = group.Versions[0]
	return group
}

func (g *groupInfo) aggregated() discoveryv2.APIGroupDiscovery {
	d := discoveryv2.APIGroupDiscovery{ObjectMeta: metav1.ObjectMeta{Name: g.name}}
	for _, v := range g.versions {
		version := discoveryv2.APIVersionDiscovery{Version: v.gv.Version, Freshness: discoveryv2.DiscoveryFreshnessCurrent}
		for _, k := range v.kinds {
			version.Resources = append(version.Resources, aggregatedResource(k, v.gv))
		}
		d.Versions = append(d.Versions, version)
	}
	return d
}

func aggregatedResource(k *api.Kind, gv schema.GroupVersion) discoveryv2.APIResourceDiscovery {
	scope := discoveryv2.ScopeCluster
	if k.Namespaced {
		scope = discoveryv2.ScopeNamespace
	}
	d := discoveryv2.APIResourceDiscovery{
		Resource: k.Plural, SingularResource: k.Singular, Scope: scope, Verbs: verbsOf(k),
		ShortNames: k.Short, Categories: k.Categories, ResponseKind: responseKind(k.GroupVersionKind, gv),
	}
	for _, sub := range subresourcesOf(k) {
		d.Subresources = append(d.Subresources, discoveryv2.APISubresourceDiscovery{
			Subresource: sub.Name, Verbs: sub.Verbs, ResponseKind: responseKind(sub.Kind, gv),
		})
	}
	return d
}

// responseKind names group and version only where they are not the resource's own, as upstream.
func responseKind(gvk schema.GroupVersionKind, of schema.GroupVersion) *metav1.GroupVersionKind {
	if gvk.GroupVersion() == of {
		return &metav1.GroupVersionKind{Kind: gvk.Kind}
	}
	return &metav1.GroupVersionKind{Group: gvk.Group, Version: gvk.Version, Kind: gvk.Kind}
}

func verbsOf(k *api.Kind) []string {
	if k.Verbs == nil {
		return api.AllVerbs
	}
	return k.Verbs
}

// subresourcesOf returns all subresources of a kind: its own, status and scale.
func subresourcesOf(k *api.Kind) []api.Subresource {
	subs := slices.Clone(k.Connect)
	if k.HasStatus {
		subs = append(subs, api.Subresource{Name: "status", Kind: k.GroupVersionKind, Verbs: []string{"get", "patch", "update"}})
	}
	if k.Scale != nil {
		subs = append(subs, api.Subresource{Name: "scale", Kind: k.Scale.Kind(), Verbs: []string{"get", "patch", "update"}})
	}
	slices.SortFunc(subs, func(a, b api.Subresource) int { return cmp.Compare(a.Name, b.Name) })
	return subs
}

func legacyResources(v *versionInfo) *metav1.APIResourceList {
	list := &metav1.APIResourceList{GroupVersion: v.gv.String()}
	list.Kind = "APIResourceList"
	if v.gv.Group != "" { // as upstream
		list.APIVersion = "v1"
	}
	for _, k := range v.kinds {
		list.APIResources = append(list.APIResources, metav1.APIResource{
			Name: k.Plural, SingularName: k.Singular, Namespaced: k.Namespaced, Kind: k.Kind,
			Verbs: verbsOf(k), ShortNames: k.Short, Categories: k.Categories, StorageVersionHash: storageVersionHash(k),
		})
		for _, sub := range subresourcesOf(k) {
			r := metav1.APIResource{Name: k.Plural + "/" + sub.Name, Namespaced: k.Namespaced, Kind: sub.Kind.Kind, Verbs: sub.Verbs}
			if sub.Kind.GroupVersion() != v.gv {
				r.Group, r.Version = sub.Kind.Group, sub.Kind.Version
			}
			list.APIResources = append(list.APIResources, r)
		}
	}
	return list
}

// storageVersionHash changes when a kind is stored in another version. It is empty for a kind that is not stored.
func storageVersionHash(k *api.Kind) string {
	if k.Virtual {
		return ""
	}
	s := k.Storage()
	sum := sha256.Sum256([]byte(s.Group + "/" + s.Version + "/" + s.Kind))
	return base64.StdEncoding.EncodeToString(sum[:8])
}
