package fieldmanager

import (
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

// paths are fields of an object, by their names.
type paths [][]string

// resetFields returns what a write to a subresource of a kind ("" for the resource itself) does
// not change: what the registry of upstream resets.
func resetFields(kind schema.GroupKind, subresource string, hasStatus bool) paths {
	if special, ok := specialResets[kind][subresource]; ok {
		return special
	}
	switch {
	case !hasStatus:
		return nil
	case subresource == "status":
		return paths{{"spec"}}
	case subresource == "":
		return paths{{"status"}}
	}
	return nil
}

// specialResets are those of kinds whose subresources write other fields than spec or status.
var specialResets = map[schema.GroupKind]map[string]paths{
	{Kind: "Pod"}:                       {"status": {{"spec"}, {"metadata", "deletionTimestamp"}, {"metadata", "ownerReferences"}}},
	{Kind: "Namespace"}:                 {"finalize": {{"status"}}},
	{Group: "apps", Kind: "Deployment"}: {"status": {{"spec"}, {"metadata", "labels"}}},
	{Group: "certificates.k8s.io", Kind: "CertificateSigningRequest"}: {
		"":         {{"spec"}, {"status"}},
		"status":   {{"spec"}, {"status", "conditions"}},
		"approval": {{"spec"}, {"status", "certificate"}},
	},
	{Group: "networking.k8s.io", Kind: "ServiceCIDR"}:   {"status": {{"metadata"}, {"spec"}}},
	{Group: "storage.k8s.io", Kind: "VolumeAttachment"}: {"status": {{"metadata"}, {"spec"}}},
	{Group: "resource.k8s.io", Kind: "ResourceClaim"}:   {"status": {{"metadata"}, {"spec"}}},
}

func (p paths) set() *fieldpath.Set {
	s := &fieldpath.Set{}
	for _, path := range p {
		parts := make([]any, len(path))
		for i, name := range path {
			parts[i] = name
		}
		s.Insert(fieldpath.MakePathOrDie(parts...))
	}
	return s
}

// split returns the whole fields of the object, and the rest as a set, nil if there is none.
func (p paths) split() (whole map[string]bool, rest *fieldpath.Set) {
	whole = map[string]bool{}
	var deeper paths
	for _, path := range p {
		if len(path) == 1 {
			whole[path[0]] = true
		} else {
			deeper = append(deeper, path)
		}
	}
	if deeper != nil {
		rest = deeper.set()
	}
	return whole, rest
}

// filters returns the paths as the library wants them, by version.
func (p paths) filters(versions []schema.GroupVersion) map[fieldpath.APIVersion]fieldpath.Filter {
	if len(p) == 0 {
		return nil
	}
	filters := map[fieldpath.APIVersion]fieldpath.Filter{}
	for _, gv := range versions {
		filters[fieldpath.APIVersion(gv.String())] = fieldpath.NewExcludeSetFilter(p.set())
	}
	return filters
}
