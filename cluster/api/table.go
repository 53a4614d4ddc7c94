package api

import (
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Table is the kinds that a server serves, with all their versions. It does not change:
// With and Without return other tables, and the kinds that stay are the same values there.
type Table struct {
	kinds      []*Kind
	served     []*Kind // kinds, and what their versions make of them behind
	byResource map[schema.GroupVersionResource]*Kind
	byKind     map[schema.GroupVersionKind]*Kind
}

// NewTable returns the table of these kinds.
func NewTable(kinds ...*Kind) (*Table, error) { return new(Table).With(kinds...) }

// With returns the table with further kinds. A name that two kinds would have is an error.
func (t *Table) With(add ...*Kind) (*Table, error) {
	n := &Table{kinds: slices.Concat(t.kinds, add), byResource: maps.Clone(t.byResource), byKind: maps.Clone(t.byKind)}
	if n.byKind == nil {
		n.byResource, n.byKind = map[schema.GroupVersionResource]*Kind{}, map[schema.GroupVersionKind]*Kind{}
	}
	versions := t.served[len(t.kinds):]
	for _, k := range add {
		if err := n.serve(k); err != nil {
			return nil, err
		}
		for i := range k.Versions {
			v := k.Versions[i].of(k)
			if err := n.serve(v); err != nil {
				return nil, err
			}
			versions = append(slices.Clip(versions), v)
		}
	}
	n.served = slices.Concat(n.kinds, versions)
	return n, nil
}

func (t *Table) serve(k *Kind) error {
	gvr := k.GroupVersion().WithResource(k.Plural)
	if t.byResource[gvr] != nil {
		return fmt.Errorf("there are two kinds of the resource %s", gvr)
	}
	if t.byKind[k.GroupVersionKind] != nil {
		return fmt.Errorf("there are two kinds %s", k.GroupVersionKind)
	}
	t.byResource[gvr], t.byKind[k.GroupVersionKind] = k, k
	return nil
}

// Without returns the table without some of its kinds and their versions.
func (t *Table) Without(remove ...*Kind) *Table {
	gone := func(k *Kind) bool { return slices.Contains(remove, k.Storage()) }
	n := &Table{
		kinds:      slices.DeleteFunc(slices.Clone(t.kinds), gone),
		served:     slices.DeleteFunc(slices.Clone(t.served), gone),
		byResource: maps.Clone(t.byResource), byKind: maps.Clone(t.byKind),
	}
	maps.DeleteFunc(n.byResource, func(_ schema.GroupVersionResource, k *Kind) bool { return gone(k) })
	maps.DeleteFunc(n.byKind, func(_ schema.GroupVersionKind, k *Kind) bool { return gone(k) })
	return n
}

// Kinds returns the kinds, each once, in the order in which they were added.
func (t *Table) Kinds() []*Kind { return slices.Clip(t.kinds) }

// Served returns the kinds in every version in which they are served: first as they are
// stored, then in the others, for which Kind.Stored is set.
func (t *Table) Served() []*Kind { return slices.Clip(t.served) }

// Lookup returns the kind, as it is served, of a path such as /apis/<group>/<version>/<plural>;
// nil if there is none.
func (t *Table) Lookup(group, version, plural string) *Kind {
	return t.byResource[schema.GroupVersionResource{Group: group, Version: version, Resource: plural}]
}

// ByGVK returns the kind, as it is served, of objects with this apiVersion and kind; nil if
// there is none.
func (t *Table) ByGVK(gvk schema.GroupVersionKind) *Kind { return t.byKind[gvk] }
