package namespace

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
)

// Resource is a kind whose objects can be listed and deleted.
type Resource struct {
	schema.GroupVersionResource
	Kind             string
	Namespaced       bool
	DeleteCollection bool
}

// Discover returns all kinds whose objects can be listed and deleted, each group in the
// version that the server prefers. If some groups cannot be read, it returns the others
// and an error.
func Discover(d discovery.DiscoveryInterface) ([]Resource, error) {
	groups, lists, err := d.ServerGroupsAndResources()
	preferred := map[string]string{}
	for _, g := range groups {
		preferred[g.Name] = g.PreferredVersion.Version
	}
	var out []Resource
	for _, list := range lists {
		gv, perr := schema.ParseGroupVersion(list.GroupVersion)
		if perr != nil {
			return nil, fmt.Errorf("discovery: %w", perr)
		}
		if v, ok := preferred[gv.Group]; ok && v != gv.Version {
			continue
		}
		for i := range list.APIResources {
			r := &list.APIResources[i]
			if !slices.Contains(r.Verbs, "list") || !slices.Contains(r.Verbs, "delete") {
				continue
			}
			out = append(out, Resource{
				GroupVersionResource: gv.WithResource(r.Name), Kind: r.Kind, Namespaced: r.Namespaced,
				DeleteCollection: slices.Contains(r.Verbs, "deletecollection"),
			})
		}
	}
	return withoutAliases(out), err
}

// withoutAliases returns in without the kinds of old groups that another group serves too.
func withoutAliases(in []Resource) []Resource {
	served := map[string]bool{}
	for _, r := range in {
		served[r.Group+"/"+r.Resource] = true
	}
	return slices.DeleteFunc(in, func(r Resource) bool {
		switch r.Group {
		case "extensions":
			return served["apps/"+r.Resource] || served["networking.k8s.io/"+r.Resource] || served["batch/"+r.Resource]
		case "events.k8s.io":
			return served["/"+r.Resource]
		}
		return false
	})
}
